/**
 * A rate limit that several processes hold together.
 *
 * Every process judges from what it knows, at once; what it let pass it tells the others a moment later, in one message for all
 * keys, and learns what they let pass. So a call waits for nobody, and together the processes let at most that much more through
 * than one would as they do in that moment. Where the others cannot be reached, each goes on with its own count: never without one.
 */
import { MemoryLimiter, type Rate, type Verdict } from "./gcra.ts";

export interface Spent {
  readonly key: string;
  /** What was taken, in milliseconds of the bucket's time. */
  readonly spentMs: number;
  /** The whole bucket, in the same measure. */
  readonly burstMs: number;
}

export interface LimitStore {
  /** Adds what was spent; answers for each entry how many milliseconds its bucket needs to be full again. */
  spend(entries: readonly Spent[]): Promise<readonly number[]>;
  clear(key: string): Promise<void>;
}

/** How long what passed is kept to oneself, in milliseconds. */
const tellAfterMs = 50;
/** In one message. */
const maxEntries = 5000;

export class SharedLimiter {
  readonly #rate: Rate;
  readonly #local: MemoryLimiter;
  readonly #store: LimitStore | undefined;
  readonly #prefix: string;
  readonly #now: () => number;
  #spent = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  /** @param store absent: this process alone. @param name of the limit: keys of several share a store. */
  constructor(
    rate: Rate,
    about: { readonly name: string; readonly now: () => number; readonly store?: LimitStore | undefined },
  ) {
    this.#rate = rate;
    this.#local = new MemoryLimiter(rate);
    this.#store = about.store;
    this.#prefix = `${about.name}\0`;
    this.#now = about.now;
  }

  /** @param now for who has just read the clock. */
  take(key: string, cost = 1, now = this.#now()): Verdict {
    const verdict = this.#local.take(key, now, cost);
    if (verdict.allowed && cost > 0 && this.#store !== undefined) this.#note(key, cost, this.#store);
    return verdict;
  }

  /** Forgets what a key has used up. */
  clear(key: string): void {
    this.#local.clear(key);
    this.#spent.delete(key);
    // A success that cannot be told leaves the others stricter than they need be.
    this.#store?.clear(this.#prefix + key).catch(() => undefined);
  }

  #note(key: string, cost: number, store: LimitStore): void {
    this.#spent.set(key, (this.#spent.get(key) ?? 0) + cost);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#tell(store);
    }, tellAfterMs).unref();
  }

  async #tell(store: LimitStore): Promise<void> {
    const entries = [...this.#spent].slice(0, maxEntries);
    this.#spent = new Map();
    const { burst, intervalMs } = this.#rate;
    const spent = entries.map(([key, cost]) => ({
      key: this.#prefix + key,
      spentMs: cost * intervalMs,
      burstMs: burst * intervalMs,
    }));
    try {
      const full = await store.spend(spent);
      const now = this.#now();
      for (const [index, [key]] of entries.entries()) {
        // What passed here since then nobody else knows yet.
        const since = (this.#spent.get(key) ?? 0) * intervalMs;
        this.#local.atLeast(key, now + (full[index] ?? 0) + since);
      }
    } catch {
      // The others are away: what this process counts itself stands.
    }
  }
}
