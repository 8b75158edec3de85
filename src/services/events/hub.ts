/**
 * Who follows the log of a tenant in this process: the latest events once for all of them, and a bell.
 *
 * A follower asks for what comes after its cursor when it can take more. What the shared tail still has costs nothing; a follower that
 * stayed behind reads the log itself. So a slow one keeps no event in memory, and a thousand of them read each new event once.
 */
import type { EventRow } from "./tables.ts";

export interface HubSource {
  /** In order. */
  read(tenant: string, after: number, limit: number): Promise<EventRow[]>;
}

/** Events of a tenant that are kept for all who follow. */
const tailLength = 1000;
const readAtOnce = 200;
/** How long an event of another process may stay unseen, in milliseconds. */
const lookEveryMs = 250;

export class Hub {
  readonly #source: HubSource;
  readonly #tails = new Map<string, Tail>();
  #timer: NodeJS.Timeout | undefined;
  #ended: Error | undefined;

  constructor(source: HubSource) {
    this.#source = source;
  }

  get followers(): number {
    let count = 0;
    for (const tail of this.#tails.values()) count += tail.followers;
    return count;
  }

  /** @param from number of the last event of the log. */
  follow(tenant: string, from: number): Follower {
    let tail = this.#tails.get(tenant);
    if (tail === undefined) {
      tail = new Tail(this.#source, tenant, from);
      this.#tails.set(tenant, tail);
    }
    tail.followers += 1;
    this.#timer ??= setInterval(() => this.#lookAll(), lookEveryMs).unref();
    const followed = tail;
    let left = false;
    let interrupted: Error | undefined;
    let settle: ((error: Error) => void) | undefined;
    return {
      next: (after) => followed.next(after),
      changed: (after) => {
        const ended = interrupted ?? this.#ended;
        if (ended !== undefined) return Promise.reject(ended);
        return followed.changed(after, (listener) => {
          settle = listener;
        });
      },
      interrupt: (error) => {
        interrupted ??= error;
        settle?.(error);
      },
      leave: () => {
        if (left) return;
        left = true;
        followed.followers -= 1;
        if (followed.followers > 0) return;
        this.#tails.delete(tenant);
        if (this.#tails.size > 0) return;
        clearInterval(this.#timer);
        this.#timer = undefined;
      },
    };
  }

  /** A tenant has new events. */
  ring(tenant: string): void {
    this.#tails.get(tenant)?.look();
  }

  /** Ends all who wait, and all who will. */
  end(error: Error): void {
    this.#ended = error;
    for (const tail of this.#tails.values()) tail.wake(error);
  }

  #lookAll(): void {
    for (const tail of this.#tails.values()) tail.look();
  }
}

export interface Follower {
  /** Events after a cursor, in order, at most a page; empty: there are none yet. */
  next(after: number): Promise<readonly EventRow[]> | readonly EventRow[];
  /** Settles when there are events after the cursor; rejects when it is interrupted, or the hub ends. One at a time. */
  changed(after: number): Promise<void>;
  /** Ends the wait of now, and those that come. */
  interrupt(error: Error): void;
  leave(): void;
}

class Tail {
  followers = 0;
  readonly #source: HubSource;
  readonly #tenant: string;
  readonly #waiting = new Set<(error: Error | undefined) => void>();
  /** The latest, in order and without gaps; those before `#head - #rows.length` are in the log alone. */
  #rows: EventRow[] = [];
  #head: number;
  #looking = false;
  #again = false;

  constructor(source: HubSource, tenant: string, head: number) {
    this.#source = source;
    this.#tenant = tenant;
    this.#head = head;
  }

  next(after: number): Promise<readonly EventRow[]> | readonly EventRow[] {
    if (after >= this.#head) return [];
    const first = this.#rows[0];
    if (first === undefined || after + 1 < first.number)
      return this.#source.read(this.#tenant, after, readAtOnce);
    const from = after + 1 - first.number;
    return this.#rows.slice(from, from + readAtOnce);
  }

  changed(after: number, interruptible: (settle: (error: Error) => void) => void): Promise<void> {
    if (after < this.#head) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const settle = (error: Error | undefined): void => {
        if (!this.#waiting.delete(settle)) return;
        if (error === undefined) resolve();
        else reject(error);
      };
      this.#waiting.add(settle);
      interruptible(settle);
    });
  }

  wake(error: Error | undefined): void {
    for (const settle of [...this.#waiting]) settle(error);
  }

  look(): void {
    this.#again = true;
    if (!this.#looking) void this.#look();
  }

  async #look(): Promise<void> {
    this.#looking = true;
    while (this.#again) {
      this.#again = false;
      try {
        const rows = await this.#source.read(this.#tenant, this.#head, readAtOnce);
        const last = rows.at(-1);
        if (last === undefined) continue;
        this.#again ||= rows.length === readAtOnce;
        this.#rows.push(...rows);
        if (this.#rows.length > tailLength * 2) this.#rows = this.#rows.slice(-tailLength);
        this.#head = last.number;
        this.wake(undefined);
      } catch {
        // A database that is away is asked again at the next look.
      }
    }
    this.#looking = false;
  }
}
