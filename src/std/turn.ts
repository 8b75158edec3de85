/**
 * How long the event loop has been at its current turn. What waits on a socket is read in one turn after the other, so this is how long,
 * at least, whoever comes next in the turn has already waited; the kernel does not say it.
 */
import type { Clock } from "./clock.ts";

export class Turn {
  readonly #clock: Clock;
  /** Negative between turns: nobody has asked yet. */
  #startedAtMs = -1;
  /** How long the turn before took, in milliseconds. */
  previousMs = 0;
  readonly #over = (): void => {
    this.previousMs = this.#clock.monotonic() - this.#startedAtMs;
    this.#startedAtMs = -1;
  };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Milliseconds since somebody first asked in this turn; 0: nobody has. */
  elapsedMs(now: number): number {
    if (this.#startedAtMs >= 0) return now - this.#startedAtMs;
    this.#startedAtMs = now;
    // Runs when all that was there to be read has been (the loop's check phase).
    setImmediate(this.#over);
    return 0;
  }
}
