/**
 * How many at once: a limit that finds itself. Work that takes longer than it does when there is little of it is waiting for something
 * that is used up; the limit then shrinks in proportion, and grows again by a few at a time while work takes as long as it should.
 *
 * Kinds of work are compared with themselves alone, so that slow ones beside quick ones say nothing.
 *
 * @see https://github.com/Netflix/concurrency-limits (Gradient2), https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/adaptive_concurrency_filter
 */

export interface GradientOptions {
  /** The limit never falls below this. Default 16: what is in flight on the way to a good database. */
  readonly least?: number;
  readonly most: number;
  /** Default 250, or `most` where that is less: a burst at the start is nobody's overload. */
  readonly initial?: number;
}

/** How fast what is expected rises where work has become slower for good: two percent a second. */
const raisePerMs = 0.00002;

/** How long one kind of work takes. */
export class Baseline {
  /** When there is little to do, in milliseconds; undefined: never seen so far. */
  #unhurriedMs: number | undefined;
  #shortestMs = Number.POSITIVE_INFINITY;
  #observedAtMs = 0;

  /** What one piece should take, in milliseconds. */
  get expectedMs(): number {
    return this.#unhurriedMs ?? 2 * this.#shortestMs;
  }

  /** @param unhurried little was going on beside it. @param now monotonic, in milliseconds. */
  observe(ms: number, unhurried: boolean, now: number): void {
    if (ms < this.#shortestMs) this.#shortestMs = ms;
    if (!unhurried) return;
    const before = this.#unhurriedMs ?? ms;
    const sinceMs = now - this.#observedAtMs;
    this.#observedAtMs = now;
    // Down with each that was quicker, up by the clock alone: a queue that builds up must not become the rule while it does.
    const step =
      ms < before ? (ms - before) * 0.05 : Math.min((ms - before) * 0.01, before * sinceMs * raisePerMs);
    this.#unhurriedMs = before + step;
  }
}

/** A window is judged when it has both: enough to be no accident, and long enough for a change to show. */
const windowCount = 20;
const windowMs = 50;
/** How much longer than expected is still as it should be: work differs. */
const tolerance = 1.5;
/** Of each window's answer this much is taken, so that no single one decides; of one that is lower, more: those who wait do so now. */
const smoothing = { up: 0.2, down: 0.9 };
/** One that took this many times longer counts as this many: it may wait for something of its own. */
const mostRatio = 20;

export class GradientLimit {
  readonly #least: number;
  readonly #most: number;
  #limit: number;
  #count = 0;
  #ratios = 0;
  #busiest = 0;
  #windowFrom = 0;

  constructor({ least = 16, most, initial = 250 }: GradientOptions) {
    this.#least = Math.min(least, most);
    this.#most = most;
    this.#limit = Math.min(initial, most);
  }

  /** How many at once. */
  get limit(): number {
    return Math.floor(this.#limit);
  }

  /** A piece of work is done. @param running how many there were beside it, itself too. @param now monotonic, in milliseconds. */
  observe(baseline: Baseline, ms: number, { running, now }: { running: number; now: number }): void {
    baseline.observe(ms, running * 2 <= this.#limit, now);
    this.#ratios += Math.min(mostRatio, ms / Math.max(baseline.expectedMs, 0.001));
    this.#count += 1;
    this.#busiest = Math.max(this.#busiest, running);
    if (this.#count >= windowCount && now - this.#windowFrom >= windowMs) this.#adjust(now);
  }

  #adjust(now: number): void {
    const gradient = Math.max(0.5, Math.min(1, (tolerance * this.#count) / this.#ratios));
    // A limit that nobody comes near is no reason to raise it.
    const wanted = gradient < 1 || this.#busiest * 2 > this.#limit;
    if (wanted) {
      const next = this.#limit * gradient + Math.sqrt(this.#limit);
      const smooth =
        this.#limit + (next - this.#limit) * (next < this.#limit ? smoothing.down : smoothing.up);
      this.#limit = Math.max(this.#least, Math.min(this.#most, smooth));
    }
    this.#count = 0;
    this.#ratios = 0;
    this.#busiest = 0;
    this.#windowFrom = now;
  }
}
