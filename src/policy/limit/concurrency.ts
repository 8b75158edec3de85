/**
 * How many at once: calls that are being worked on in this process. One more than it can carry is sent away at once, where it would
 * otherwise make all of them wait.
 *
 * Streams wait for others most of their time and are not counted; whoever asks whether the process is well is always answered.
 */
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { RetryInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import { RpcError } from "#rpc/error.ts";
import type { Interceptor } from "#rpc/interceptor.ts";
import { hasUnaryReply } from "#rpc/method.ts";
import type { Reply } from "#rpc/reply.ts";

export interface ConcurrencyOptions {
  /** Unary calls at once; undefined: no limit. */
  readonly maxConcurrentCalls: number | undefined;
}

const healthService = "grpc.health.v1.Health";
const retryAfterMs = 1000;

export function createConcurrency({ maxConcurrentCalls: most }: ConcurrencyOptions): Interceptor {
  if (most === undefined) return (next) => next;
  let running = 0;
  const ended = (): void => {
    running -= 1;
  };
  return (next, method) => {
    if (!hasUnaryReply(method.kind) || method.service === healthService) return next;
    return (call) => {
      if (running >= most) throw overloaded(most);
      // An answer in the same turn never stands beside another call.
      const reply = next(call);
      if (!(reply instanceof Promise)) return reply;
      running += 1;
      return counted(reply, ended);
    };
  };
}

async function counted(reply: Promise<Reply>, ended: () => void): Promise<Reply> {
  try {
    return await reply;
  } finally {
    ended();
  }
}

function overloaded(most: number): RpcError {
  return new RpcError("unavailable", {
    reason: "OVERLOADED",
    message: `${most} calls are being worked on already; try again in ${retryAfterMs / 1000} s`,
    details: [create(RetryInfoSchema, { retryDelay: durationFromMs(retryAfterMs) })],
  });
}
