/**
 * Ends calls that take too long, and calls that were cancelled, whether or not their handler watches its signal.
 *
 * A client may ask for less time than the default and for more up to the maximum. Streams have no default deadline:
 * a watch may go on for days; one that the client asked for holds until the last message.
 */
import type { Call } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import type { Interceptor } from "#rpc/interceptor.ts";
import type { Method } from "#rpc/method.ts";
import type { Payload } from "#rpc/payload.ts";
import type { Reply } from "#rpc/reply.ts";
import type { Clock } from "#std/clock.ts";

export interface DeadlineOptions {
  readonly clock: Clock;
  /** Longest time of a unary call whose client asked for nothing, in milliseconds. Default 15 000. */
  readonly defaultMs?: number;
  /** Longest time any client may ask for, in milliseconds. Default 300 000. */
  readonly maximumMs?: number;
  /** What a method's contract says instead. */
  of?(method: Method): MethodDeadline;
}

export interface MethodDeadline {
  /** For calls whose client asks for nothing, in milliseconds; undefined: the contract does not say. */
  readonly defaultMs: number | undefined;
  /** The longest that a client may ask for, in milliseconds; undefined: the contract does not say. */
  readonly maximumMs: number | undefined;
}

export function createDeadline(options: DeadlineOptions): Interceptor {
  const { defaultMs = 15_000, maximumMs: longestMs = 300_000 } = options;
  return (next, method) => {
    const own = options.of?.(method);
    const maximumMs = own?.maximumMs ?? longestMs;
    const usual = own?.defaultMs ?? (method.kind === "unary" ? defaultMs : undefined);
    const fallback = usual === undefined ? undefined : Math.min(usual, maximumMs);
    return (call) => {
      const allowed = call.timeoutMs === undefined ? fallback : Math.min(call.timeoutMs, maximumMs);
      if (allowed === undefined) return waiting(next(call), call, undefined);
      const left = allowed - (options.clock.monotonic() - call.startedAtMs);
      if (left <= 0) {
        const error = tooLate(allowed);
        call.cancel(error);
        throw error;
      }
      const reply = next(call);
      // An answer that is there already cannot be late: no timer, no listener.
      if (!(reply instanceof Promise) && reply.kind === "unary") return reply;
      return waiting(
        reply,
        call,
        setTimeout(() => call.cancel(tooLate(allowed)), left),
      );
    };
  };
}

function waiting(
  reply: Reply | Promise<Reply>,
  call: Call,
  timer: NodeJS.Timeout | undefined,
): Reply | Promise<Reply> {
  if (!(reply instanceof Promise)) return untilItsEnd(reply, timer);
  return new Promise((resolve, reject) => {
    call.onCancel((error) => {
      clearTimeout(timer);
      reject(error);
    });
    reply.then(
      (value) => resolve(untilItsEnd(value, timer)),
      (error) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}

/** A unary reply ends the wait; a stream is given its time until the last message. */
function untilItsEnd(reply: Reply, timer: NodeJS.Timeout | undefined): Reply {
  if (timer === undefined) return reply;
  if (reply.kind === "stream") return { kind: "stream", responses: clearAtEnd(reply.responses, timer) };
  clearTimeout(timer);
  return reply;
}

async function* clearAtEnd(
  responses: AsyncIterable<Payload>,
  timer: NodeJS.Timeout,
): AsyncGenerator<Payload> {
  try {
    yield* responses;
  } finally {
    clearTimeout(timer);
  }
}

function tooLate(allowedMs: number): RpcError {
  return new RpcError("deadline_exceeded", {
    reason: "DEADLINE_EXCEEDED",
    message: `the call took longer than its deadline of ${Math.ceil(allowedMs)} ms; ask for more time or for less work`,
  });
}
