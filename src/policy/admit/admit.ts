/**
 * What this process can carry: one call more than that is sent away at once, where it would otherwise make all of them wait.
 *
 * Two things can be used up. What calls *wait for* (a database, a worker, another service): there are too many of them at once, and they
 * take longer than they should; `GradientLimit` finds how many that are. And the one *thread* that all of them share: what comes next in a turn
 * of the event loop has waited for all before it; where that is so for a while, a turn takes calls for `turnMs` and sends away the rest.
 * A call that costs less than its refusal is never sent away: it would not make anybody's wait shorter.
 *
 * Whoever asks whether the process is well is always answered, and who administers it for longer than others. Streams wait for others
 * most of their time and are not counted.
 *
 * @see https://queue.acm.org/detail.cfm?id=2209336 ("Controlling Queue Delay": a queue that stands, not one that is there, is too long)
 */
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { RetryInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import { RpcError } from "#rpc/error.ts";
import type { Handler, Interceptor } from "#rpc/interceptor.ts";
import type { Method } from "#rpc/method.ts";
import type { Reply } from "#rpc/reply.ts";
import type { Clock } from "#std/clock.ts";
import { Baseline, GradientLimit } from "#std/gradient-limit.ts";
import { Turn } from "#std/turn.ts";
import type { Pressure } from "./pressure.ts";

export interface AdmitOptions {
  /** Unary calls at once; undefined: no limit, and none is looked for. */
  readonly maxConcurrentCalls: number | undefined;
  /** Whether fewer than that may be enough. */
  readonly adaptive: boolean;
  readonly pressure: Pressure;
  readonly clock: Clock;
  /** Who is sent away last. */
  priorityOf(method: Method): Priority;
  /** A unary method that waits for something to happen where its caller asks it to: as little counted as a stream. Default: none. */
  waits?(method: Method): boolean;
  /** A call was sent away. */
  onShed?(method: Method, why: ShedReason): void;
}

/** Normal ones first, urgent ones later, health never. */
export type Priority = "normal" | "urgent" | "health";
export type ShedReason = "concurrency" | "turn" | "heap";

const retryAfterMs = 1000;
/** How long a turn goes on taking calls while a queue stands, in milliseconds: a dozen callers with calls of 2 ms are no queue. */
const turnMs = 25;
/** A queue stands when no turn has been shorter than `turnMs` for this long, in milliseconds: a burst is no queue. */
const standingMs = 250;
/** What calls have to cost for their refusal to be cheaper, in milliseconds: four times what a refusal costs (0.05, REST). */
const worthMs = 0.2;
/** Urgent calls may go this far over the limit of all others. */
const urgentShare = 1.25;

/** One for all: its stack would be a tenth of what a refusal costs, and nobody reads it. */
const overloaded = new RpcError("unavailable", {
  reason: "OVERLOADED",
  message: `this process has as much to do as it can carry; nothing was done; try again in ${retryAfterMs / 1000} s`,
  details: [create(RetryInfoSchema, { retryDelay: durationFromMs(retryAfterMs) })],
});

export function createAdmit(options: AdmitOptions): Interceptor {
  if (options.maxConcurrentCalls === undefined) return (next) => next;
  const gate = new Gate(options, options.maxConcurrentCalls);
  return (next, method) => {
    const priority = options.priorityOf(method);
    if (priority === "health") return next;
    // A call whose requests are still to come waits for its own client.
    if (method.kind !== "unary" || options.waits?.(method) === true) return gate.stream(next, method);
    return gate.unary(next, method, priority === "urgent");
  };
}

class Gate {
  readonly #options: AdmitOptions;
  readonly #most: number;
  readonly #found: GradientLimit;
  readonly #turn: Turn;
  /** Calls that wait for something. */
  #running = 0;
  /** When a turn last had time left, in milliseconds. */
  #calmAtMs = 0;

  constructor(options: AdmitOptions, most: number) {
    this.#options = options;
    this.#most = most;
    this.#found = new GradientLimit({ most });
    this.#turn = new Turn(options.clock);
  }

  stream(next: Handler, method: Method): Handler {
    return (call) => {
      if (this.#options.pressure.heapFull) throw this.#shed(method, "heap");
      return next(call);
    };
  }

  unary(next: Handler, method: Method, urgent: boolean): Handler {
    const { clock } = this.#options;
    const baseline = new Baseline();
    /** What one call takes of the thread, in milliseconds. */
    let costMs = 0;
    return (call) => {
      const startedAtMs = clock.monotonic();
      const why = this.#refusal(startedAtMs, costMs, urgent);
      if (why !== undefined) throw this.#shed(method, why);
      const reply = next(call);
      costMs += (clock.monotonic() - startedAtMs - costMs) * 0.1;
      // An answer in the same turn never stands beside another call.
      if (!(reply instanceof Promise)) return reply;
      this.#running += 1;
      return this.#counted(reply, { baseline, startedAtMs, running: this.#running });
    };
  }

  #refusal(now: number, costMs: number, urgent: boolean): ShedReason | undefined {
    const { pressure, adaptive } = this.#options;
    const stands = this.#stands(now);
    if (pressure.heapFull && !urgent) return "heap";
    const limit = adaptive ? this.#found.limit : this.#most;
    if (this.#running >= (urgent ? Math.min(this.#most, limit * urgentShare) : limit)) return "concurrency";
    return stands && costMs > worthMs && !urgent ? "turn" : undefined;
  }

  /** Whether there is a queue that stands, and this turn has done its part of it. */
  #stands(now: number): boolean {
    const elapsedMs = this.#turn.elapsedMs(now);
    if (elapsedMs === 0 && this.#turn.previousMs < turnMs && !this.#options.pressure.late)
      this.#calmAtMs = now;
    return elapsedMs > turnMs && now - this.#calmAtMs > standingMs;
  }

  #shed(method: Method, why: ShedReason): RpcError {
    this.#options.onShed?.(method, why);
    return overloaded;
  }

  async #counted(
    reply: Promise<Reply>,
    { baseline, startedAtMs, running }: { baseline: Baseline; startedAtMs: number; running: number },
  ): Promise<Reply> {
    try {
      return await reply;
    } finally {
      this.#running -= 1;
      const now = this.#options.clock.monotonic();
      this.#found.observe(baseline, now - startedAtMs, { running, now });
    }
  }
}
