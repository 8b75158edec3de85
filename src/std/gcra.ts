/**
 * Rate limits by the generic cell rate algorithm: one number a key, no windows, no timers.
 *
 * The number is the time at which the bucket will be full again ("theoretical arrival time"). A request of cost `c` moves it
 * by `c` intervals; one that would move it further than the burst allows is refused and changes nothing.
 *
 * @see https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
 */
export interface Rate {
  /** Requests that are allowed at once. */
  readonly burst: number;
  /** Milliseconds until one more is allowed. */
  readonly intervalMs: number;
}

export interface Verdict {
  readonly allowed: boolean;
  /** What is left of the burst. */
  readonly remaining: number;
  /** Until a request of the same cost is allowed; 0 where this one was. */
  readonly retryAfterMs: number;
  /** Until the burst is whole again. */
  readonly resetMs: number;
}

/** What of a request is no more than rounding: so little of one may be missing. */
const grain = 1e-4;

/** The arithmetic alone: for stores of every kind. @param arrival what is stored for the key; undefined: nothing. */
export function judge(
  rate: Rate,
  arrival: number | undefined,
  request: { readonly now: number; readonly cost: number },
): Verdict & { readonly arrival: number } {
  const { now, cost } = request;
  const { burst, intervalMs } = rate;
  // From now on and not from the clock's beginning: what is added to a time with fractions is rounded by as much as the time is large.
  const used = Math.max(0, (arrival ?? now) - now);
  const next = used + cost * intervalMs;
  const most = burst * intervalMs;
  const allowed = next <= most + grain * intervalMs;
  const kept = allowed ? next : used;
  return {
    allowed,
    arrival: now + kept,
    remaining: Math.max(0, Math.floor((most - kept) / intervalMs + grain)),
    retryAfterMs: allowed ? 0 : next - most,
    resetMs: kept,
  };
}

/** Of a bucket of which others have kept the count. @param usedMs what it needs to be full again, this call among it if it was allowed. */
export function verdictOf(
  { burst, intervalMs }: Rate,
  about: { readonly usedMs: number; readonly cost: number; readonly allowed: boolean },
): Verdict {
  const { usedMs, cost, allowed } = about;
  const most = burst * intervalMs;
  return {
    allowed,
    remaining: Math.max(0, Math.floor((most - usedMs) / intervalMs + grain)),
    // Never none: who may come at once would have been let in.
    retryAfterMs: allowed ? 0 : Math.max(1, usedMs + cost * intervalMs - most),
    resetMs: Math.max(0, usedMs),
  };
}

/** Keys in memory: at most `maxKeys`; the one that was asked for longest ago goes first. */
export class MemoryLimiter {
  readonly #rate: Rate;
  readonly #maxKeys: number;
  readonly #arrivals = new Map<string, number>();

  constructor(rate: Rate, maxKeys = 100_000) {
    this.#rate = rate;
    this.#maxKeys = maxKeys;
  }

  /** @param now milliseconds of any clock that does not go back. */
  take(key: string, now: number, cost = 1): Verdict {
    const judged = judge(this.#rate, this.#arrivals.get(key), { now, cost });
    const { arrival, allowed, remaining, retryAfterMs, resetMs } = judged;
    this.#put(key, arrival);
    // Field by field: a rest pattern would copy them through the runtime, at twice the cost of everything else here.
    return { allowed, remaining, retryAfterMs, resetMs };
  }

  /** What `take` would say. */
  look(key: string, now: number, cost = 1): Verdict {
    return judge(this.#rate, this.#arrivals.get(key), { now, cost });
  }

  /** Somebody else let calls of the key pass too: it is full no sooner than this. */
  atLeast(key: string, arrival: number): void {
    if ((this.#arrivals.get(key) ?? 0) < arrival) this.#put(key, arrival);
  }

  /** Forgets what a key has used up. */
  clear(key: string): void {
    this.#arrivals.delete(key);
  }

  #put(key: string, arrival: number): void {
    this.#arrivals.delete(key);
    this.#arrivals.set(key, arrival);
    if (this.#arrivals.size <= this.#maxKeys) return;
    const [oldest] = this.#arrivals.keys();
    if (oldest !== undefined) this.#arrivals.delete(oldest);
  }
}
