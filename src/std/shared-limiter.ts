/**
 * A rate limit that several processes hold together, in a store that they share.
 *
 * Every process has a small share of each bucket that it may take from without a word: such a call is judged at once, by what is known
 * of the others, and told a moment later, all keys in one message. A call beyond that share waits until the store has granted it,
 * together with all others that wait. So a caller of ordinary pace waits for nobody, and whatever comes at once `n` processes let
 * `n - 1` shares more through than one would; what was too much is paid back before anything else is let in. Exact limits have no
 * share: each call is counted before it runs.
 *
 * Where the store cannot be reached, a process goes on with its own count, never without one; an exact limit says that it cannot.
 */
import { MemoryLimiter, type Rate, type Verdict, verdictOf } from "./gcra.ts";

export interface Spent {
  readonly key: string;
  /** Cost of what was let pass already; negative: what was granted and not used. */
  readonly spent: number;
  /** Cost of what waits to be let pass. */
  readonly wanted: number;
}

export interface Granted {
  /** Of what was wanted: as much as there was room for, a whole number. */
  readonly granted: number;
  /** Milliseconds that the bucket now needs to be full again; more than a whole bucket's while something has to be paid back. */
  readonly fullInMs: number;
}

export interface LimitStore {
  /** Counts what was spent, whatever is left, then grants of what is wanted what there is room for; one answer for each entry. */
  spend(entries: readonly Spent[], rate: Rate): Promise<readonly Granted[]>;
  clear(key: string): Promise<void>;
}

/** How long what passed is kept to oneself, in milliseconds. */
const tellAfterMs = 50;
/** In one message. */
const maxEntries = 5000;
/** How long a call waits for the store, in milliseconds: longer ago than any answer of one that is well. */
const patienceMs = 1000;
/**
 * What a process may take of a bucket before the others hear of it: this part of the burst, at least one. With the usual burst of two
 * seconds it is the pace of 125 ms, and a message takes 50 and an answer's time: who keeps the pace does not wait.
 */
const aheadOfBurst = 1 / 16;

interface Waiting {
  readonly cost: number;
  resolve(verdict: Verdict): void;
  reject(error: unknown): void;
}

/** What the store has not heard of a key, or has not answered yet. */
interface Pending {
  /** Let pass since the last message. */
  fresh: number;
  /** In the message that is out. */
  told: number;
  /** In the next message. */
  waiting: Waiting[];
  /** In the message that is out somebody waits. */
  asked: boolean;
}

interface Told {
  readonly key: string;
  readonly pending: Pending;
  readonly waiting: readonly Waiting[];
}

export class SharedLimiter {
  readonly #rate: Rate;
  readonly #local: MemoryLimiter;
  readonly #store: LimitStore | undefined;
  readonly #prefix: string;
  readonly #now: () => number;
  readonly #exact: boolean;
  readonly #ahead: number;
  readonly #pending = new Map<string, Pending>();
  /** When the next message leaves; undefined: there is nothing to tell, or one is out. */
  #timer: NodeJS.Timeout | undefined;
  #next: NodeJS.Immediate | undefined;
  #telling = false;
  /** Somebody is in no message yet. */
  #waits = false;
  /** The last message was not answered, or not in time. */
  #away = false;

  /**
   * @param store absent: this process alone. @param name of the limit: keys of several share a store. @param exact every call is counted
   *   in the store before it runs: for what is slow anyway.
   */
  constructor(
    rate: Rate,
    about: {
      readonly name: string;
      readonly now: () => number;
      readonly store?: LimitStore | undefined;
      readonly exact?: boolean;
    },
  ) {
    this.#rate = rate;
    this.#local = new MemoryLimiter(rate);
    this.#store = about.store;
    this.#prefix = `${about.name}\0`;
    this.#now = about.now;
    this.#exact = about.exact === true;
    this.#ahead = this.#exact ? 0 : Math.max(1, Math.floor(rate.burst * aheadOfBurst));
  }

  /**
   * At once, where the store need not be asked.
   *
   * @param cost at most the burst. @param now for who has just read the clock. @throws whatever the store throws, of exact limits alone.
   */
  take(key: string, cost = 1, now = this.#now()): Verdict | Promise<Verdict> {
    // What costs nothing is told of nobody.
    if (this.#store === undefined || cost === 0) return this.#local.take(key, now, cost);
    const pending = this.#pending.get(key);
    if (this.#isFree(pending, cost)) {
      const verdict = this.#local.take(key, now, cost);
      if (verdict.allowed) this.#note(key, pending, cost);
      return verdict;
    }
    // Nothing is known here of an exact limit.
    if (this.#exact) return this.#ask(key, cost);
    // Others can only have taken more than is known here.
    const verdict = this.#local.look(key, now, cost);
    return verdict.allowed ? this.#ask(key, cost) : verdict;
  }

  /** Forgets what a key has used up. */
  clear(key: string): void {
    this.#local.clear(key);
    const pending = this.#pending.get(key);
    if (pending !== undefined) pending.fresh = 0;
    // A success that cannot be told leaves the others stricter than they need be.
    this.#store?.clear(this.#prefix + key).catch(() => undefined);
  }

  /** Nobody need be asked: nothing that may be granted in this moment is missing in what is known here, and little is what the others miss. */
  #isFree(pending: Pending | undefined, cost: number): boolean {
    if (this.#away && !this.#exact) return true;
    if (pending === undefined) return cost <= this.#ahead;
    return (
      !pending.asked && pending.waiting.length === 0 && pending.fresh + pending.told + cost <= this.#ahead
    );
  }

  #note(key: string, pending: Pending | undefined, cost: number): void {
    if (pending === undefined) this.#pending.set(key, { fresh: cost, told: 0, waiting: [], asked: false });
    else pending.fresh += cost;
    if (this.#timer === undefined && !this.#telling) this.#tellLater();
  }

  #ask(key: string, cost: number): Promise<Verdict> {
    return new Promise((resolve, reject) => {
      const pending = this.#pending.get(key) ?? { fresh: 0, told: 0, waiting: [], asked: false };
      this.#pending.set(key, pending);
      pending.waiting.push({ cost, resolve, reject });
      this.#waits = true;
      // In the next turn: what was read together is asked for together.
      if (!this.#telling) this.#next ??= setImmediate(() => void this.#tell());
    });
  }

  #tellLater(): void {
    this.#timer = setTimeout(() => void this.#tell(), tellAfterMs).unref();
  }

  /** One message at a time: what comes while it is out goes with the next. */
  async #tell(): Promise<void> {
    const store = this.#store;
    if (store === undefined || this.#telling) return;
    this.#telling = true;
    clearTimeout(this.#timer);
    if (this.#next !== undefined) clearImmediate(this.#next);
    this.#timer = undefined;
    this.#next = undefined;
    const batch = this.#nextBatch();
    let late = false;
    const patience = setTimeout(() => {
      late = true;
      this.#goOn(batch);
    }, patienceMs).unref();
    // There is no going on without the store: the call's own deadline ends its wait, or the store's.
    if (this.#exact) clearTimeout(patience);
    try {
      const answers = await store.spend(
        batch.map(({ key, pending, waiting }) => ({
          ...{ key: this.#prefix + key, spent: pending.told },
          wanted: waiting.reduce((sum, { cost }) => sum + cost, 0),
        })),
        this.#rate,
      );
      this.#away = false;
      // Who was not waited for has been judged without: what was granted is given back.
      for (const [index, told] of batch.entries())
        this.#hear(late ? { ...told, waiting: [] } : told, answers[index]);
    } catch (error) {
      if (this.#exact) for (const { waiting } of batch) for (const { reject } of waiting) reject(error);
      else if (!late) this.#goOn(batch);
    } finally {
      clearTimeout(patience);
      this.#settle(batch);
    }
  }

  #nextBatch(): Told[] {
    const batch: Told[] = [];
    for (const [key, pending] of this.#pending) {
      batch.push({ key, pending, waiting: pending.waiting });
      pending.told = pending.fresh;
      pending.fresh = 0;
      pending.asked = pending.waiting.length > 0;
      pending.waiting = [];
      if (batch.length === maxEntries) break;
    }
    this.#waits &&= batch.length < this.#pending.size;
    return batch;
  }

  #hear({ key, pending, waiting }: Told, answer: Granted | undefined): void {
    const fullInMs = answer?.fullInMs ?? 0;
    let left = answer?.granted ?? 0;
    for (const { cost, resolve } of waiting) {
      const allowed = cost <= left;
      if (allowed) left -= cost;
      resolve(verdictOf(this.#rate, { usedMs: fullInMs, cost, allowed }));
    }
    pending.fresh -= left;
    if (this.#exact) return;
    // What passed here since then nobody else knows yet.
    const since = pending.fresh * this.#rate.intervalMs;
    this.#local.atLeast(key, this.#now() + fullInMs + since);
  }

  /** The others are away, or slow: what this process counts itself stands, for who waits in the message and for who came since. */
  #goOn(batch: readonly Told[]): void {
    this.#away = true;
    const now = this.#now();
    const goOn = (key: string, pending: Pending, waiting: readonly Waiting[]): void => {
      for (const { cost, resolve } of waiting) {
        const verdict = this.#local.take(key, now, cost);
        if (verdict.allowed) pending.fresh += cost;
        resolve(verdict);
      }
    };
    for (const { key, pending, waiting } of batch) goOn(key, pending, waiting);
    for (const [key, pending] of this.#pending) {
      goOn(key, pending, pending.waiting);
      pending.waiting = [];
    }
    this.#waits = false;
  }

  #settle(batch: readonly Told[]): void {
    this.#telling = false;
    for (const { key, pending } of batch) {
      pending.told = 0;
      pending.asked = false;
      this.#pending.delete(key);
      // Behind those whose turn was not yet.
      if (pending.waiting.length > 0 || pending.fresh !== 0) this.#pending.set(key, pending);
    }
    if (this.#waits || this.#pending.size > maxEntries) this.#next = setImmediate(() => void this.#tell());
    else if (this.#pending.size > 0) this.#tellLater();
  }
}
