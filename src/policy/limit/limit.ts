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
  enter(entry: Entry): Promise<void> | undefined;
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
  const judgeTenant = (
    caller: Limited,
    costs: Costs,
    now: number,
  ): Verdict | Promise<Verdict> | undefined => {
    const { tenant } = caller.principal;
    return tenant === "" || costs.tenant === 0 ? undefined : tenants?.take(tenant, costs.tenant, now);
  };
  /** The caller has taken more than this process may give without the others. */
  const askedFor = async (caller: Limited, costs: Costs, own: Promise<Verdict>): Promise<void> => {
    demandOwn(caller, policy, { costs, verdict: await own });
    demandShared(caller, await judgeTenant(caller, costs, clock.monotonic()));
  };
  /** A promise only where others have to be asked. */
  const take = (caller: Limited, bucket: string, costs: Costs): Promise<void> | undefined => {
    const now = clock.monotonic();
    const own = callers?.take(bucket, costs.caller, now);
    if (own instanceof Promise) return askedFor(caller, costs, own);
    demandOwn(caller, policy, { costs, verdict: own });
    const shared = judgeTenant(caller, costs, now);
    if (shared instanceof Promise) return shared.then((verdict) => demandShared(caller, verdict));
    demandShared(caller, shared);
    return undefined;
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
        const asked = take(call, bucket, call.entry?.redeem(bucket) === 1 ? rest : costs);
        return asked === undefined ? next(call) : asked.then(() => next(call));
      };
    },
    enter: (entry) => {
      const bucket = bucketOf(entry);
      const asked = take(entry, bucket, one);
      if (asked !== undefined) return asked.then(() => entry.pay(bucket));
      entry.pay(bucket);
      return undefined;
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

/** @throws RpcError RATE_LIMITED. */
function demandOwn(
  caller: Limited,
  policy: string | undefined,
  { verdict, costs }: { readonly verdict: Verdict | undefined; readonly costs: Costs },
): void {
  if (verdict === undefined || policy === undefined) return;
  tell(caller, policy, verdict);
  // What costs nothing more was let in before.
  if (!verdict.allowed && costs.caller > 0)
    throw tooOften(caller, verdict.retryAfterMs, "you call too often");
}

/** @throws RpcError RATE_LIMITED. */
function demandShared(caller: Limited, verdict: Verdict | undefined): void {
  if (verdict?.allowed === false) throw tooOften(caller, verdict.retryAfterMs, "your tenant calls too often");
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
