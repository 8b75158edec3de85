/**
 * The policies: what every call passes between its protocol and its handler, in this order and for these reasons.
 *
 * What judges by metadata comes first, so that nothing of a stranger's body is decoded. Policies judge calls and never see
 * bytes; what they need to know they ask for through the ports that they declare.
 */
import type { Registry } from "@bufbuild/protobuf";
import type { Door } from "#rpc/door.ts";
import type { Interceptor } from "#rpc/interceptor.ts";
import type { Method } from "#rpc/method.ts";
import { type AdmitOptions, createAdmission } from "./admit/admit.ts";
import { type AuditOptions, createAudit } from "./audit/audit.ts";
import { type AuthenticateOptions, createAuthenticate } from "./authenticate/authenticate.ts";
import { type AuthorizeOptions, createAuthorize, type RuleCompiler } from "./authorize/authorize.ts";
import { createDoor } from "./door/door.ts";
import { createIdempotency, type IdempotencyOptions } from "./idempotency/idempotency.ts";
import { migrations as idempotencyMigrations } from "./idempotency/store.ts";
import { createLimiter, type LimitOptions } from "./limit/limit.ts";
import { limitMigrations } from "./limit/store.ts";
import { createValidate, type ValidateOptions } from "./validate/validate.ts";

export { createAdmit, type Priority } from "./admit/admit.ts";
export { watchPressure } from "./admit/pressure.ts";
export type { AuditEntry, AuditSink } from "./audit/audit.ts";
export { Authenticator, type Credential, type Credentials } from "./authenticate/authenticator.ts";
export type { MethodRule } from "./authorize/authorize.ts";
export { createIdempotencyStore } from "./idempotency/store.ts";
export { createLimitStore } from "./limit/store.ts";
export { reasons } from "./reasons.ts";
export { constraintsOf, createValidate, isConstrained } from "./validate/validate.ts";

export const migrations = [...idempotencyMigrations, ...limitMigrations];

/** Loads what compiles rules: 15 MB that a contract without rules has no use for. @param registry of the messages in requests. */
export async function loadRules(registry: Registry): Promise<RuleCompiler> {
  const { compileRule } = await import("./authorize/rule.ts");
  return (method, expression) => compileRule(method, expression, registry);
}

export type PolicyOptions = Omit<
  AdmitOptions &
    AuthenticateOptions &
    AuthorizeOptions &
    LimitOptions &
    AuditOptions &
    ValidateOptions &
    IdempotencyOptions,
  "isPublic"
>;

export interface Policies {
  readonly interceptors: readonly Interceptor[];
  /** For protocols whose requests cost something before there is a call: the same limits and the same room. */
  readonly door: Door;
}

export function createPolicies(given: PolicyOptions): Policies {
  const options = { ...given, isPublic: (method: Method) => given.ruleOf(method)?.public === true };
  const admission = createAdmission(options);
  const limiter = createLimiter(options);
  const { authenticator, clock } = options;
  return {
    door: createDoor({ admission, clock, identified: { authenticator, limiter } }),
    interceptors: [
      admission.interceptor, // first: what cannot be carried is to cost nothing
      createAuthenticate(options), // all others judge by who calls
      limiter.interceptor, // who is refused below is counted too: guessing costs what calling costs
      createAudit(options), // refusals too, but not what is over the limit: a flood of refusals is no flood of rows
      createAuthorize(options), // before anything that costs: who may not is sent away for the price of a look into a set
      createValidate(options), // before anything is remembered of the call: a request that cannot be done takes no key
      createIdempotency(options), // last: only what would run is remembered
    ],
  };
}

/** Without authentication there is nobody to judge: what is asked is looked at all the same. */
export function createOpenPolicies(options: AdmitOptions & ValidateOptions): Policies {
  const admission = createAdmission(options);
  return {
    door: createDoor({ admission, clock: options.clock, identified: undefined }),
    interceptors: [admission.interceptor, createValidate(options)],
  };
}
