/**
 * How often: a bucket for every caller, filled again all the time. Methods that cost more take more.
 *
 * The bucket is the principal's, whatever credential it shows; callers without one share their address's. All callers of a tenant share
 * a second one. Every answer says what is left in the caller's own, a refusal when to try again.
 *
 * @see https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
 */
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { RetryInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import type { Call } from "#rpc/call.ts";
import type { Entry } from "#rpc/door.ts";
import { RpcError } from "#rpc/error.ts";
import type { Interceptor } from "#rpc/interceptor.ts";
import type { Method } from "#rpc/method.ts";
import type { Clock } from "#std/clock.ts";
import type { Rate, Verdict } from "#std/gcra.ts";
import { type LimitStore, SharedLimiter } from "#std/shared-limiter.ts";

export interface LimitOptions {
  /** Of each caller; undefined: no limit. */
  readonly rate: Rate | undefined;
  /** Of each tenant, all its callers together; undefined: no limit. */
  readonly tenantRate?: Rate | undefined;
  /** What the processes of an installation share; undefined: each counts for itself. */
  readonly limits?: LimitStore | undefined;
  readonly clock: Clock;
  /** How much of the bucket one call takes; at least 1. */
  costOf(method: Method): number;
}

export interface Limiter {
  readonly interceptor: Interceptor;
  /** Takes one for a request whose calls are still to come; theirs is paid with it. @throws RpcError RATE_LIMITED. */
  enter(entry: Entry): void;
}

export function createLimit(options: LimitOptions): Interceptor {
  return createLimiter(options).interceptor;
}

export function createLimiter(options: LimitOptions): Limiter {
  const { rate, tenantRate, clock, limits } = options;
  const about = { now: () => clock.monotonic(), store: limits };
  const callers = rate && new SharedLimiter(rate, { ...about, name: "caller" });
  const tenants = tenantRate && new SharedLimiter(tenantRate, { ...about, name: "tenant" });
  if (callers === undefined && tenants === undefined)
    return { interceptor: (next) => next, enter: () => undefined };
  const policy = rate && `"default";q=${rate.burst};w=${Math.ceil((rate.burst * rate.intervalMs) / 1000)}`;
  const take = (caller: Limited, bucket: string, costs: Costs): void => {
    const now = clock.monotonic();
    const verdict = callers?.take(bucket, costs.caller, now);
    if (verdict !== undefined && policy !== undefined) tell(caller, policy, verdict);
    // What costs nothing more was let in before.
    if (verdict?.allowed === false && costs.caller > 0)
      throw tooOften(caller, verdict.retryAfterMs, "you call too often");
    const { tenant } = caller.principal;
    if (tenant === "" || costs.tenant === 0) return;
    const shared = tenants?.take(tenant, costs.tenant, now);
    if (shared?.allowed === false) throw tooOften(caller, shared.retryAfterMs, "your tenant calls too often");
  };
  const costsOf = (cost: number): Costs => ({
    caller: Math.min(cost, rate?.burst ?? cost),
    tenant: Math.min(cost, tenantRate?.burst ?? cost),
  });
  const one = costsOf(1);
  return {
    interceptor: (next, method) => {
      const costs = costsOf(options.costOf(method));
      // What is left of them where one is paid.
      const rest = { caller: costs.caller - 1, tenant: costs.tenant - 1 };
      return (call) => {
        const bucket = bucketOf(call);
        take(call, bucket, call.entry?.redeem(bucket) === 1 ? rest : costs);
        return next(call);
      };
    },
    enter: (entry) => {
      const bucket = bucketOf(entry);
      take(entry, bucket, one);
      entry.pay(bucket);
    },
  };
}

/** What one is taken from, and what is told of it: a call, or what came to the door. */
type Limited = Pick<Call, "principal" | "peer" | "responseHeaders">;

/** How much of each bucket is taken. */
interface Costs {
  readonly caller: number;
  readonly tenant: number;
}

function tell({ responseHeaders: headers }: Limited, policy: string, verdict: Verdict): void {
  headers.set("ratelimit-policy", policy);
  headers.set("ratelimit", `"default";r=${verdict.remaining};t=${Math.ceil(verdict.resetMs / 1000)}`);
}

function bucketOf({ principal, peer }: Limited): string {
  return principal.name === "" ? `address ${peer.address}` : `${principal.tenant}\0${principal.name}`;
}

function tooOften(caller: Limited, waitMs: number, who: string): RpcError {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  // Beside the detail: every protocol with headers says it there too.
  caller.responseHeaders.set("retry-after", String(seconds));
  return new RpcError("resource_exhausted", {
    reason: "RATE_LIMITED",
    message: `${who}; try again in ${seconds} s`,
    details: [create(RetryInfoSchema, { retryDelay: durationFromMs(seconds * 1000) })],
  });
}
