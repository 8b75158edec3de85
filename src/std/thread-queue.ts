/**
 * The one thread of the process, for work that takes a part of it that can be felt: a little at a time, and between two times whatever has come
 * meanwhile is read. Work that comes when nothing waits runs where it is, at once; other work waits here, in the order it came in.
 *
 * How much may wait is said in milliseconds of the thread: always `usualMs`, and for a burst what the thread has saved up while nothing
 * waited. So a burst is done and not refused, and a queue that stands has used up what there was and is short.
 *
 * @see https://queue.acm.org/detail.cfm?id=2209336 ("Controlling Queue Delay": a queue that stands, not one that is there, is too long)
 */
import type { Clock } from "./clock.ts";

/** How long the thread is at such work before it looks what else has come, in milliseconds: half of whom it then refuses have waited less than that. */
const sliceMs = 4;
/** What may always wait, in milliseconds of work: a dozen callers with 2 ms each are no queue. */
const usualMs = 25;
/** What can be saved up for a burst, in milliseconds: people take an answer after that for one at once. */
const mostSavedMs = 100;
/** What part of the time in which nothing waits is saved: after a second of it, when those who were sent away come back, the whole of a burst. */
const savedShare = 0.1;

const nothing = Promise.resolve();

interface Waiting {
  readonly costMs: number;
  start(): void;
}

export class ThreadQueue {
  readonly #clock: Clock;
  readonly #waiting: Waiting[] = [];
  /** What all that wait will take, in milliseconds. */
  #backlogMs = 0;
  #savedMs = mostSavedMs;
  #accountedAtMs: number;
  /** When work began in this turn of the event loop, in milliseconds; negative: it has not. */
  #turnFromMs = -1;
  /** Whether those that wait get the thread in this turn or the next. */
  #serving = false;
  /** What the one that has the thread now goes on with. */
  #held: Promise<unknown> = nothing;
  /** When they last had it, in milliseconds. */
  #servedAtMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#accountedAtMs = clock.monotonic();
  }

  /** How many pieces of work wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Whether work may run at once: nothing waits, and in this turn there was little so far. Otherwise it is to `wait`. */
  isFree(now: number): boolean {
    if (this.#waiting.length > 0) return false;
    if (this.#turnFromMs >= 0) return now - this.#turnFromMs < sliceMs;
    this.#turnFromMs = now;
    // Runs when all that was there to be read has been (the loop's check phase).
    setImmediate(this.#turnOver);
    return true;
  }

  /** Whether no more may wait. @param strained no burst is taken, whatever was saved. */
  isFull(now: number, strained: boolean): boolean {
    if (this.#backlogMs < usualMs) return false;
    this.#account(now);
    return strained || this.#backlogMs >= usualMs + this.#savedMs;
  }

  /**
   * Resolves when its turn has come: what the caller then does in the first microtask is what is counted as its part of the thread.
   * @param costMs what it will take of the thread, in milliseconds.
   */
  wait(costMs: number, now: number): Promise<void> {
    this.#account(now);
    this.#backlogMs += costMs;
    if (!this.#serving) {
      this.#serving = true;
      this.#servedAtMs = now;
      setImmediate(this.#serve);
    }
    return new Promise((start) => this.#waiting.push({ costMs, start }));
  }

  /**
   * Its part of the thread goes on after the first microtask, until this settles, which has to be soon. Without a turn that it waited for there is nothing to hold.
   */
  hold(until: Promise<unknown>): void {
    this.#held = until;
  }

  readonly #turnOver = (): void => {
    this.#turnFromMs = -1;
  };

  readonly #serve = (): void => {
    const now = this.#clock.monotonic();
    // As long as was spent on reading and refusing, so that no flood takes more than half of the thread.
    const readMs = Math.min(now - this.#servedAtMs, usualMs);
    void this.#serveUntil(now + Math.max(sliceMs, readMs), now);
  };

  async #serveUntil(end: number, from: number): Promise<void> {
    let now = from;
    for (let next = this.#take(now); next !== undefined; next = now < end ? this.#take(now) : undefined) {
      this.#held = nothing;
      next.start();
      // What it does is a microtask that stands before the rest of this.
      await nothing;
      await this.#held;
      now = this.#clock.monotonic();
    }
    this.#servedAtMs = now;
    this.#serving = this.#waiting.length > 0;
    if (this.#serving) setImmediate(this.#serve);
  }

  #take(now: number): Waiting | undefined {
    this.#account(now);
    const first = this.#waiting.shift();
    // No sum of fractions is left over where nothing is.
    this.#backlogMs = this.#waiting.length === 0 ? 0 : this.#backlogMs - (first?.costMs ?? 0);
    return first;
  }

  /** Saves while nothing waits, spends while more does than usual. */
  #account(now: number): void {
    const ms = now - this.#accountedAtMs;
    this.#accountedAtMs = now;
    if (this.#waiting.length === 0) this.#savedMs = Math.min(mostSavedMs, this.#savedMs + ms * savedShare);
    else if (this.#backlogMs > usualMs) this.#savedMs = Math.max(0, this.#savedMs - ms);
  }
}
