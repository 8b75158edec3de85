/**
 * Which workers hang. The parent asks each of them every few seconds whether it lives; one whose event loop is blocked for good answers
 * nothing, although its process goes on and the system gives it connections.
 *
 * Counted in questions and not in time: a parent that was stopped itself, or a machine that slept, takes nobody for hanging.
 */
import type { ChildProcess } from "node:child_process";
import { tell } from "./siblings.ts";

export interface PulseOptions {
  /** Between two questions, in milliseconds. */
  readonly everyMs: number;
  /** As many in a row without an answer: it hangs. */
  readonly unanswered: number;
  /** It is told of once. */
  hangs(child: ChildProcess): void;
}

/**
 * 30 seconds. No input may hold the thread for more than 250 ms; a full collection of a large heap, or a machine that swaps, takes seconds. What
 * comes back by itself is better than the calls that end with a process.
 */
export const pulseDefaults = { everyMs: 5000, unanswered: 6 };

export class Pulse {
  readonly #options: PulseOptions;
  /** Questions since its last answer. Absent: it has never answered, for example because its configuration is still read. */
  readonly #open = new WeakMap<ChildProcess, number>();

  constructor(options: PulseOptions) {
    this.#options = options;
  }

  /** @param living is asked for each time. It ends with the process. */
  start(living: () => Iterable<ChildProcess>): void {
    setInterval(() => {
      for (const child of living()) this.#ask(child);
    }, this.#options.everyMs).unref();
  }

  answered(child: ChildProcess): void {
    this.#open.set(child, 0);
  }

  #ask(child: ChildProcess): void {
    const open = this.#open.get(child);
    if (open === this.#options.unanswered) {
      this.#open.delete(child);
      this.#options.hangs(child);
      return;
    }
    if (open !== undefined) this.#open.set(child, open + 1);
    tell(child, { kind: "ping" });
  }
}
