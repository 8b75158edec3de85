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

export function createLimit(options: LimitOptions): Interceptor {
  const { rate, tenantRate, clock, limits } = options;
  const about = { now: () => clock.monotonic(), store: limits };
  const callers = rate && new SharedLimiter(rate, { ...about, name: "caller" });
  const tenants = tenantRate && new SharedLimiter(tenantRate, { ...about, name: "tenant" });
  if (callers === undefined && tenants === undefined) return (next) => next;
  const policy = rate && `"default";q=${rate.burst};w=${Math.ceil((rate.burst * rate.intervalMs) / 1000)}`;
  return (next, method) => {
    const cost = options.costOf(method);
    const callerCost = Math.min(cost, rate?.burst ?? cost);
    const tenantCost = Math.min(cost, tenantRate?.burst ?? cost);
    const judgeTenant = (call: Call, now: number): Verdict | Promise<Verdict> | undefined => {
      const { tenant } = call.principal;
      return tenant === "" ? undefined : tenants?.take(tenant, tenantCost, now);
    };
    return (call) => {
      const now = clock.monotonic();
      const own = callers?.take(bucketOf(call), callerCost, now);
      if (own instanceof Promise) return askedFor(call, own);
      demandOwn(call, policy, own);
      const shared = judgeTenant(call, now);
      if (shared instanceof Promise) return shared.then((verdict) => passTenant(call, verdict));
      demandShared(call, shared);
      return next(call);
    };

    /** The caller has taken more than this process may give without the others. */
    async function askedFor(call: Call, own: Promise<Verdict>) {
      demandOwn(call, policy, await own);
      return passTenant(call, await judgeTenant(call, clock.monotonic()));
    }

    function passTenant(call: Call, shared: Verdict | undefined) {
      demandShared(call, shared);
      return next(call);
    }
  };
}

/** @throws RpcError RATE_LIMITED. */
function demandOwn(call: Call, policy: string | undefined, verdict: Verdict | undefined): void {
  if (verdict === undefined || policy === undefined) return;
  tell(call, policy, verdict);
  if (!verdict.allowed) throw tooOften(call, verdict.retryAfterMs, "you call too often");
}

/** @throws RpcError RATE_LIMITED. */
function demandShared(call: Call, verdict: Verdict | undefined): void {
  if (verdict?.allowed === false) throw tooOften(call, verdict.retryAfterMs, "your tenant calls too often");
}

function tell({ responseHeaders: headers }: Call, policy: string, verdict: Verdict): void {
  headers.set("ratelimit-policy", policy);
  headers.set("ratelimit", `"default";r=${verdict.remaining};t=${Math.ceil(verdict.resetMs / 1000)}`);
}

function bucketOf({ principal, peer }: Call): string {
  return principal.name === "" ? `address ${peer.address}` : `${principal.tenant}\0${principal.name}`;
}

function tooOften(call: Call, waitMs: number, who: string): RpcError {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  // Beside the detail: every protocol with headers says it there too.
  call.responseHeaders.set("retry-after", String(seconds));
  return new RpcError("resource_exhausted", {
    reason: "RATE_LIMITED",
    message: `${who}; try again in ${seconds} s`,
    details: [create(RetryInfoSchema, { retryDelay: durationFromMs(seconds * 1000) })],
  });
}
