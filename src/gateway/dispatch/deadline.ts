/**
 * Ends calls that take too long, and calls that were cancelled, whether or not their handler watches its signal.
 *
 * A client may ask for less time than the default and for more up to the maximum. Streams have no default deadline:
 * a watch may go on for days; one that the client asked for holds until the last message.
 */
import type { Call } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import type { Handler, Interceptor } from "#rpc/interceptor.ts";
import type { Payload } from "#rpc/payload.ts";
import type { Reply } from "#rpc/reply.ts";
import type { Clock } from "#std/clock.ts";

export interface DeadlineOptions {
  readonly clock: Clock;
  /** Longest time of a unary call whose client asked for nothing, in milliseconds. Default 15 000. */
  readonly defaultMs?: number;
  /** Longest time any client may ask for, in milliseconds. Default 300 000. */
  readonly maximumMs?: number;
}

export function createDeadline(options: DeadlineOptions): Interceptor {
  const defaultMs = options.defaultMs ?? 15_000;
  const maximumMs = options.maximumMs ?? 300_000;
  return (next, method) => {
    const fallback = method.kind === "unary" ? defaultMs : undefined;
    return (call) => {
      const allowed = call.timeoutMs === undefined ? fallback : Math.min(call.timeoutMs, maximumMs);
      if (allowed === undefined) return run(next, call, undefined);
      const left = allowed - (options.clock.monotonic() - call.startedAtMs);
      if (left <= 0) {
        const error = tooLate(allowed);
        call.cancel(error);
        return Promise.reject(error);
      }
      return run(
        next,
        call,
        setTimeout(() => call.cancel(tooLate(allowed)), left),
      );
    };
  };
}

function run(next: Handler, call: Call, timer: NodeJS.Timeout | undefined): Promise<Reply> {
  return new Promise((resolve, reject) => {
    call.onCancel((error) => {
      clearTimeout(timer);
      reject(error);
    });
    next(call).then(
      (reply) => {
        if (reply.kind === "unary") {
          clearTimeout(timer);
          resolve(reply);
        } else {
          resolve(
            timer === undefined ? reply : { kind: "stream", responses: clearAtEnd(reply.responses, timer) },
          );
        }
      },
      (error) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
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
