/**
 * The policies: what every call passes between its protocol and its handler, in this order and for these reasons.
 *
 * What judges by metadata comes first, so that nothing of a stranger's body is decoded. Policies judge calls and never see
 * bytes; what they need to know they ask for through the ports that they declare.
 */
import type { Interceptor } from "#rpc/interceptor.ts";
import { type AuthenticateOptions, createAuthenticate } from "./authenticate/authenticate.ts";
import { type AuthorizeOptions, createAuthorize } from "./authorize/authorize.ts";
import { createLimit, type LimitOptions } from "./limit/limit.ts";

export type { Credential, Credentials } from "./authenticate/authenticate.ts";
export type { MethodRule } from "./authorize/authorize.ts";
export { reasons } from "./reasons.ts";

export type PolicyOptions = Omit<AuthenticateOptions, "isPublic"> & AuthorizeOptions & LimitOptions;

export function createPolicies(options: PolicyOptions): readonly Interceptor[] {
  return [
    createAuthenticate({ ...options, isPublic: (method) => options.ruleOf(method)?.public === true }), // first: all others judge by who calls
    createLimit(options), // who is refused below is counted too: guessing costs what calling costs
    createAuthorize(options), // before anything that costs: who may not is sent away for the price of a look into a set
  ];
}
