/**
 * How often: a bucket for every caller, filled again all the time. Methods that cost more take more.
 *
 * The bucket is the principal's, whatever credential it shows; callers without one share their address's. Every answer says what is left,
 * a refusal when to try again.
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
import { MemoryLimiter, type Rate } from "#std/gcra.ts";

export interface LimitOptions {
  /** Undefined: no limit. */
  readonly rate: Rate | undefined;
  readonly clock: Clock;
  /** How much of the bucket one call takes; at least 1. */
  costOf(method: Method): number;
}

export function createLimit(options: LimitOptions): Interceptor {
  const { rate, clock } = options;
  if (rate === undefined) return (next) => next;
  const limiter = new MemoryLimiter(rate);
  const policy = `"default";q=${rate.burst};w=${Math.ceil((rate.burst * rate.intervalMs) / 1000)}`;
  return (next, method) => {
    const cost = Math.min(options.costOf(method), rate.burst);
    return (call) => {
      const verdict = limiter.take(bucketOf(call), clock.monotonic(), cost);
      const headers = call.responseHeaders;
      headers.set("ratelimit-policy", policy);
      headers.set("ratelimit", `"default";r=${verdict.remaining};t=${Math.ceil(verdict.resetMs / 1000)}`);
      if (verdict.allowed) return next(call);
      throw tooOften(verdict.retryAfterMs);
    };
  };
}

function bucketOf({ principal, peer }: Call): string {
  return principal.name === "" ? `address ${peer.address}` : `${principal.tenant}\0${principal.name}`;
}

function tooOften(waitMs: number): RpcError {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  return new RpcError("resource_exhausted", {
    reason: "RATE_LIMITED",
    message: `too many calls; try again in ${seconds} s`,
    details: [create(RetryInfoSchema, { retryDelay: durationFromMs(seconds * 1000) })],
  });
}
