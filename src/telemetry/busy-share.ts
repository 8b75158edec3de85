/**
 * How busy the event loop was lately: over the same last seconds for everybody who asks. Its share of the whole life says nothing after a day, and
 * one since the last look would be halved by a second scraper.
 */
import { type EventLoopUtilization, performance } from "node:perf_hooks";

/** What is looked back on: about what lies between two scrapes. */
export const busySeconds = 15;

type Look = () => EventLoopUtilization;

export class BusyShare {
  /** One a second, the oldest first. */
  readonly #looks: EventLoopUtilization[];
  readonly #look: Look;
  #nextAtMs: number;

  /** @param nowMs `std/clock` reading. @param look default: at this thread's loop. */
  constructor(nowMs: number, look: Look = () => performance.eventLoopUtilization()) {
    this.#look = look;
    this.#looks = [look()];
    this.#nextAtMs = nowMs + 1000;
  }

  /** Several times a second. */
  tick(nowMs: number): void {
    if (nowMs < this.#nextAtMs) return;
    this.#nextAtMs = nowMs + 1000;
    this.#looks.push(this.#look());
    if (this.#looks.length > busySeconds) this.#looks.shift();
  }

  /** 0 … 1; of a process that is younger, since it began to look. */
  get share(): number {
    const [from] = this.#looks;
    const now = this.#look();
    const active = now.active - (from?.active ?? 0);
    const all = active + now.idle - (from?.idle ?? 0);
    return all > 0 ? active / all : 0;
  }
}
