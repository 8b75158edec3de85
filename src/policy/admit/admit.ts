/**
 * What this process can carry: one call more than that is sent away at once, where it would otherwise make all of them wait.
 *
 * Two things can be used up. What calls *wait for* (a database, a worker, another service): there are too many of them at once, and they
 * take longer than they should; `GradientLimit` finds how many that are. And the one *thread* that all of them share: calls that cost a part of it
 * that can be felt wait for each other in a `ThreadQueue`, so that what comes meanwhile is read, and what would wait too long is sent away, between
 * two of them. A call that costs less than its refusal neither waits nor is sent away: it would not make anybody's wait shorter.
 *
 * Whoever asks whether the process is well is always answered, and who administers it for longer than others. Streams wait for others
 * most of their time and are not counted.
 */
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { RetryInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import type { Call } from "#rpc/call.ts";
import type { Door, Work } from "#rpc/door.ts";
import { RpcError } from "#rpc/error.ts";
import type { Handler, Interceptor } from "#rpc/interceptor.ts";
import type { Method } from "#rpc/method.ts";
import type { Reply } from "#rpc/reply.ts";
import type { Clock } from "#std/clock.ts";
import { Baseline, GradientLimit } from "#std/gradient-limit.ts";
import { ThreadQueue } from "#std/thread-queue.ts";
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
  /** A call was sent away, or work that is no call: then there is no method. */
  onShed?(method: Method | undefined, why: ShedReason): void;
}

/** Normal ones first, urgent ones later, health never. */
export type Priority = "normal" | "urgent" | "health";
export type ShedReason = "concurrency" | "turn" | "heap";

const retryAfterMs = 1000;
/** What calls have to cost for their refusal to be cheaper, in milliseconds: four times what a refusal costs (0.05, REST). */
const worthMs = 0.2;
/** More than so many times the usual was something else's time, such as a collection of garbage; where one in ten is like that, it is usual. */
const outlier = 10;
/** Pieces of work that is no call that may wait whatever they cost: one client has so many at once, and the first ones of a process cost many times the usual. */
const fewWaiting = 8;
/** Urgent calls may go this far over the limit of all others. */
const urgentShare = 1.25;
/**
 * So many are let in whatever else runs: a limit that has just fallen is still exceeded by those that were let in before. As many as the least
 * limit (std/gradient-limit.ts): a few people who look, each second of a pause.
 */
const urgentLeast = 16;

/** One for all: its stack would be a tenth of what a refusal costs, and nobody reads it. */
const overloaded = new RpcError("unavailable", {
  reason: "OVERLOADED",
  message: `this process has as much to do as it can carry; nothing was done; try again in ${retryAfterMs / 1000} s`,
  details: [create(RetryInfoSchema, { retryDelay: durationFromMs(retryAfterMs) })],
});

export interface Admission {
  readonly interceptor: Interceptor;
  /** Of the door. */
  readonly run: Door["run"];
}

export function createAdmit(options: AdmitOptions): Interceptor {
  return createAdmission(options).interceptor;
}

export function createAdmission(options: AdmitOptions): Admission {
  if (options.maxConcurrentCalls === undefined)
    return { interceptor: (next) => next, run: (_work, run) => run() };
  const gate = new Gate(options, options.maxConcurrentCalls);
  return {
    run: (work, run) => gate.run(work, run),
    interceptor: (next, method) => {
      const priority = options.priorityOf(method);
      if (priority === "health") return next;
      // A call whose requests are still to come waits for its own client.
      if (method.kind !== "unary" || options.waits?.(method) === true) return gate.stream(next, method);
      return gate.unary(next, method, priority === "urgent");
    },
  };
}

class Gate {
  readonly #options: AdmitOptions;
  readonly #most: number;
  readonly #found: GradientLimit;
  readonly #thread: ThreadQueue;
  /** Work that is no call. */
  readonly #works = new Map<Work, Pieces>();
  /** Calls that wait for something, and those in the queue that will. */
  #running = 0;
  /** The urgent ones among them. */
  #urgent = 0;

  constructor(options: AdmitOptions, most: number) {
    this.#options = options;
    this.#most = most;
    this.#found = new GradientLimit({ most });
    this.#thread = new ThreadQueue(options.clock);
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
    /** How many places a call takes while it waits for something: none where the last was answered in the turn it ran in. */
    let places = 0;
    const run = (call: Call, startedAtMs: number): Reply | Promise<Reply> => {
      const reply = next(call);
      const tookMs = clock.monotonic() - startedAtMs;
      costMs = averaged(costMs, tookMs);
      const waits = reply instanceof Promise;
      places = waits ? 1 : 0;
      // An answer in the same turn never stands beside another call.
      if (!waits) return reply;
      this.#running += 1;
      if (urgent) {
        this.#urgent += 1;
        const over = (): void => {
          this.#urgent -= 1;
        };
        void reply.then(over, over);
      }
      return this.#counted(reply, { baseline, startedAtMs, running: this.#running });
    };
    return (call) => {
      const now = clock.monotonic();
      const costly = costMs > worthMs && !urgent;
      const why = this.#refusal(now, { costly, urgent, thread: this.#thread });
      if (why !== undefined) throw this.#shed(method, why);
      if (!costly || this.#thread.isFree(now)) return run(call, now);
      const taken = places;
      this.#running += taken;
      return this.#thread.wait(costMs, now).then(() => {
        this.#running -= taken;
        // Nobody waits for it any more.
        if (call.canceledBy !== undefined) throw call.canceledBy;
        return run(call, clock.monotonic());
      });
    };
  }

  /** Takes no place while it waits: what it waits for are calls, which take theirs. */
  run<T>(work: Work, run: () => T | Promise<T>): T | Promise<T> {
    const { clock } = this.#options;
    const now = clock.monotonic();
    const pieces = this.#piecesOf(work);
    const { costMs, thread } = pieces;
    const costly = costMs > worthMs;
    const counts = costly && thread.waiting >= fewWaiting;
    const why = this.#refusal(now, { costly: counts, urgent: false, thread });
    if (why !== undefined) throw this.#shed(undefined, why);
    if (!costly || thread.isFree(now)) return measured(pieces, run, clock);
    return thread.wait(costMs, now).then(() => {
      return measured(pieces, run, clock);
    });
  }

  #piecesOf(work: Work): Pieces {
    const known = this.#works.get(work);
    if (known !== undefined) return known;
    const made: Pieces = { costMs: 0, thread: new ThreadQueue(this.#options.clock) };
    this.#works.set(work, made);
    return made;
  }

  #refusal(
    now: number,
    about: { readonly costly: boolean; readonly urgent: boolean; readonly thread: ThreadQueue },
  ): ShedReason | undefined {
    const { costly, urgent, thread } = about;
    const { pressure, adaptive } = this.#options;
    if (pressure.heapFull && !urgent) return "heap";
    const limit = adaptive ? this.#found.limit : this.#most;
    const share = Math.max(urgentLeast, limit * (urgentShare - 1));
    if (urgent && this.#running < this.#most && this.#urgent < share) return undefined;
    if (this.#running >= (urgent ? Math.min(this.#most, limit * urgentShare) : limit)) return "concurrency";
    return costly && thread.isFull(now, pressure.late) ? "turn" : undefined;
  }

  #shed(method: Method | undefined, why: ShedReason): RpcError {
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

/** Pieces of work of one kind that is no call. */
interface Pieces {
  /** What one takes of the thread, in milliseconds. */
  costMs: number;
  /** Their own: however many wait, calls wait for each other alone, and both get their part of the thread. */
  readonly thread: ThreadQueue;
}

/** Until it is done or waits for something: steps that follow each other at once are one piece. */
function measured<T>(pieces: Pieces, run: () => T | Promise<T>, clock: Clock): T | Promise<T> {
  const startedAtMs = clock.monotonic();
  const note = (): void => {
    pieces.costMs = averaged(pieces.costMs, clock.monotonic() - startedAtMs);
  };
  let result: T | Promise<T>;
  try {
    result = run();
  } catch (thrown) {
    note();
    throw thrown;
  }
  if (result instanceof Promise) pieces.thread.hold(idle(result).then(note));
  else note();
  return result;
}

function averaged(beforeMs: number, tookMs: number): number {
  return beforeMs + (Math.min(tookMs, outlier * beforeMs + worthMs) - beforeMs) * 0.1;
}

/** When it is done, or nothing of it can go on before the sockets are looked at. */
function idle(result: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const over = (): void => resolve();
    result.then(over, over);
    // What is asked for in a microtask for the next tick comes when there are no microtasks left.
    queueMicrotask(() => process.nextTick(over));
  });
}
