/**
 * Pushes what is counted to whoever receives it, every while: one push at a time, again where the receiver says "later", the last when the
 * process ends. A receiver that is away costs one line in the log; nobody waits for it. What is counted only grows, so a push that was lost
 * is made good by the next.
 */
import { setTimeout as wait } from "node:timers/promises";
import type { Clock } from "#std/clock.ts";
import type { Family } from "./instruments.ts";
import { scrubbed } from "./scrub.ts";

export interface MetricsPushOptions {
  /** Of the OTLP/HTTP receiver, with its path. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly intervalMs: number;
  /** Of one push with all its attempts. */
  readonly timeoutMs: number;
  readonly serviceName: string;
  readonly version: string;
  /** One of several processes that are told the same. */
  readonly isWorker: boolean;
}

/** What of an accepted request was not taken. */
export interface Rejected {
  readonly count: number;
  /** For the log. */
  readonly text: string;
}

/** What became of one attempt; `why` is for the log. */
export type Sent =
  | { readonly kind: "accepted"; readonly rejected?: Rejected }
  /** It would be again. */
  | { readonly kind: "refused"; readonly why: string }
  | { readonly kind: "later"; readonly why: string; readonly afterMs?: number };

/** Where it goes, and how it is written there. */
export interface MetricsReceiver {
  /** For the log: without credentials. */
  readonly place: string;
  encode(families: readonly Family[]): Uint8Array;
  /** Never rejects. */
  send(body: Uint8Array, signal: AbortSignal): Promise<Sent>;
  close(): void;
}

export interface PusherOptions {
  readonly receiver: MetricsReceiver;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly random: () => number;
  families(): readonly Family[];
  readonly log: Record<"info" | "warn", (about: object, message: string) => void>;
}

/** How long the end of the process waits for the last push at most, in milliseconds: of the ten seconds that containers usually get. */
const lastPushMs = 5000;
/** Before the second attempt, in milliseconds; twice as long before each after it, up to the second figure. */
const firstBackoffMs = 1000;
const longestBackoffMs = 10_000;
/** Whoever asks for more, in milliseconds, is asked all the same: a mistake would end all pushes. */
const longestRetryAfterMs = 3600 * 1000;
/** Why a push was stopped: the last one has all that it has. */
const superseded = Symbol("superseded");

export class Pusher {
  readonly #options: PusherOptions;
  #timer: NodeJS.Timeout | undefined;
  /** The push that is on its way; set by #begin, cleared when it is over. */
  #current: { readonly done: Promise<void>; readonly stop: AbortController } | undefined;
  /** When the receiver wants to be asked again, in the clock's monotonic milliseconds. */
  #notBeforeMs = 0;
  #failing = false;
  #rejected = false;

  constructor(options: PusherOptions) {
    this.#options = options;
  }

  /** From now on, the first after one interval. */
  start(): void {
    const { intervalMs, timeoutMs } = this.#options;
    this.#timer = setInterval(() => {
      if (this.#current === undefined && this.#mayAsk()) void this.#begin(timeoutMs, true);
    }, intervalMs).unref();
  }

  /** The last push, if it ever began: not where the receiver asked to be left alone, and with one attempt where it was away before. */
  async close(): Promise<void> {
    const { receiver, timeoutMs } = this.#options;
    if (this.#timer !== undefined) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      this.#current?.stop.abort(superseded);
      await this.#current?.done;
      if (this.#mayAsk()) await this.#begin(Math.min(timeoutMs, lastPushMs), !this.#failing);
    }
    receiver.close();
  }

  #mayAsk(): boolean {
    return this.#options.clock.monotonic() >= this.#notBeforeMs;
  }

  #begin(budgetMs: number, patient: boolean): Promise<void> {
    const stop = new AbortController();
    const timer = setTimeout(
      () => stop.abort(new Error(`it was not pushed within ${budgetMs} ms`)),
      budgetMs,
    );
    const done = this.#push(stop.signal, { budgetMs, patient })
      // What cannot be encoded is our mistake; it must not end the process.
      .catch((error: unknown) => this.#failed(String(error)))
      .finally(() => {
        clearTimeout(timer);
        this.#current = undefined;
      });
    this.#current = { done, stop };
    return done;
  }

  async #push(
    signal: AbortSignal,
    { budgetMs, patient }: { readonly budgetMs: number; readonly patient: boolean },
  ): Promise<void> {
    const { receiver, families, clock, random } = this.#options;
    const until = clock.monotonic() + budgetMs;
    const body = receiver.encode(families());
    for (let backoffMs = firstBackoffMs; ; backoffMs = Math.min(backoffMs * 2, longestBackoffMs)) {
      const sent = await receiver.send(body, signal);
      if (sent.kind === "accepted") return this.#accepted(sent.rejected);
      if (signal.reason === superseded) return;
      const afterMs = sent.kind === "later" ? Math.min(sent.afterMs ?? 0, longestRetryAfterMs) : 0;
      this.#notBeforeMs = clock.monotonic() + afterMs;
      const pauseMs = Math.max(afterMs, backoffMs * (0.8 + 0.4 * random()));
      const again = sent.kind === "later" && patient && clock.monotonic() + pauseMs < until;
      if (!again) return this.#failed(signal.aborted ? String(signal.reason.message) : sent.why);
      await wait(pauseMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
    }
  }

  #accepted(rejected: Rejected | undefined): void {
    const { log, receiver } = this.#options;
    if (this.#failing) log.info({ endpoint: receiver.place }, "metrics are pushed again");
    this.#failing = false;
    if (rejected !== undefined && !this.#rejected)
      log.warn(
        { endpoint: receiver.place, reason: scrubbed(rejected.text) },
        "pushed metrics were not all taken",
      );
    this.#rejected = rejected !== undefined;
  }

  /** Said once, until it works again. */
  #failed(why: string): void {
    const { log, receiver } = this.#options;
    if (!this.#failing)
      log.warn({ endpoint: receiver.place, reason: scrubbed(why) }, "metrics cannot be pushed");
    this.#failing = true;
  }
}
