/**
 * Sends ended spans to whoever receives them, in batches, one at a time. A batch that finds nobody stays first in the queue and is tried again
 * with growing pauses; the queue is bounded, and what finds no room in it is dropped and counted. A receiver that is away costs one line in the
 * log; no call waits for it, and the end of the process no longer than for pushed metrics.
 */
import { setTimeout as wait } from "node:timers/promises";
import { TraceFlags } from "@opentelemetry/api";
import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import type { ReadableSpan, SpanProcessor } from "@opentelemetry/sdk-trace";
import type { Clock } from "#std/clock.ts";
import { type Family, noLabels } from "./instruments.ts";
import { createSender, traces } from "./otlp-sender.ts";
import type { Rejected, Sent } from "./pushing.ts";
import { scrubbed } from "./scrub.ts";

export interface SpanSenderOptions {
  /** Of the OTLP/HTTP receiver, with its path. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Record<"info" | "warn", (about: object, message: string) => void>;
}

/** Those of OpenTelemetry's own processor. */
const batchSize = 512;
const mostQueued = 2048;
/** How long a span may wait for others, in milliseconds. */
const gatherMs = 1000;
/** After a batch that was not taken, in milliseconds; twice as long each time, up to the second. */
const firstPauseMs = 1000;
const longestPauseMs = 10_000;
/** Whoever asks for more, in milliseconds, is asked all the same. */
const longestRetryAfterMs = 3600 * 1000;
/** How long the end of the process waits for what is left, in milliseconds: as long as for the last push of metrics. */
const endMs = 5000;

export class SpanSender implements SpanProcessor {
  readonly #options: SpanSenderOptions;
  readonly #sender: ReturnType<typeof createSender>;
  /** Oldest first; those on their way stay here until they are taken. */
  readonly #queue: ReadableSpan[] = [];
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #pauseMs = firstPauseMs;
  /** When the receiver wants to be asked again, in the clock's monotonic milliseconds. */
  #notBeforeMs = 0;
  #failing = false;
  #rejecting = false;
  #closed = false;
  #sent = 0;
  #dropped = 0;
  /** Of these, when the receiver was last there. */
  #droppedBefore = 0;

  constructor(options: SpanSenderOptions) {
    this.#options = options;
    this.#sender = createSender(options, traces);
  }

  onStart(): void {
    // Only what has ended is sent.
  }

  onEnd(span: ReadableSpan): void {
    if ((span.spanContext().traceFlags & TraceFlags.SAMPLED) === 0) return;
    if (this.#closed || this.#queue.length >= mostQueued) {
      this.#dropped += 1;
      return;
    }
    this.#queue.push(span);
    if (this.#sending !== undefined) return;
    if (this.#queue.length >= batchSize && !this.#failing) void this.#begin();
    else this.#timer ??= setTimeout(() => void this.#begin(), gatherMs).unref();
  }

  async forceFlush(): Promise<void> {
    do await this.#begin();
    while (this.#queue.length > 0 && !this.#failing);
  }

  /** Sends what is left: not where the receiver asked to be left alone, and with one attempt where it was away before. */
  async shutdown(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    const { signal } = this.#stop;
    const late = setTimeout(
      () => this.#stop.abort(new Error(`they were not sent within ${endMs} ms`)),
      endMs,
    );
    await this.#sending;
    const patient = !this.#failing;
    while (this.#queue.length > 0 && !signal.aborted && this.#mayAsk()) {
      if (await this.#attempt()) continue;
      if (!patient) break;
      await wait(this.#pauseMs, undefined, { signal }).catch(() => undefined);
    }
    clearTimeout(late);
    this.#sender.close();
    this.#lost();
  }

  families(): Family[] {
    const counter = (name: string, help: string, value: number): Family => ({
      ...{ kind: "counter", name, help },
      series: [{ labels: noLabels, value }],
    });
    return [
      counter("portico_spans_sent_total", "Spans that the receiver of traces took.", this.#sent),
      counter(
        "portico_spans_dropped_total",
        "Spans that were not sent: the receiver of traces was away, or did not want them.",
        this.#dropped,
      ),
    ];
  }

  #mayAsk(): boolean {
    return this.#options.clock.monotonic() >= this.#notBeforeMs;
  }

  /** One batch now, and the next when it is its time. */
  #begin(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sending ??= this.#attempt()
      .then(() => undefined)
      .finally(() => {
        this.#sending = undefined;
        if (this.#queue.length === 0 || this.#closed) return;
        const { clock, random } = this.#options;
        const full = this.#queue.length >= batchSize;
        const usualMs = this.#failing ? this.#pauseMs * (0.8 + 0.4 * random()) : full ? 0 : gatherMs;
        const pauseMs = Math.max(usualMs, this.#notBeforeMs - clock.monotonic());
        this.#timer = setTimeout(() => void this.#begin(), pauseMs).unref();
      });
    return this.#sending;
  }

  /** @returns whether it was taken. Never rejects. */
  async #attempt(): Promise<boolean> {
    const batch = this.#queue.slice(0, batchSize);
    if (batch.length === 0) return true;
    const { signal } = this.#stop;
    const sent = await this.#send(batch);
    if (sent.kind !== "later") this.#queue.splice(0, batch.length);
    if (sent.kind === "accepted") {
      this.#accepted(batch.length, sent.rejected);
      return true;
    }
    if (sent.kind === "refused") this.#dropped += batch.length;
    else {
      const afterMs = Math.min(sent.afterMs ?? 0, longestRetryAfterMs);
      this.#notBeforeMs = this.#options.clock.monotonic() + afterMs;
    }
    this.#failed(signal.aborted ? String(signal.reason.message) : sent.why);
    return false;
  }

  async #send(batch: ReadableSpan[]): Promise<Sent> {
    try {
      const body = ProtobufTraceSerializer.serializeRequest(batch);
      if (body === undefined) return { kind: "refused", why: "they could not be encoded" };
      return await this.#sender.send(body, this.#stop.signal);
    } catch (error) {
      // What cannot be encoded is our mistake; it must not end the process.
      return { kind: "refused", why: String(error) };
    }
  }

  #accepted(count: number, rejected: Rejected | undefined): void {
    const { log } = this.#options;
    const endpoint = this.#sender.place;
    const refused = Math.min(count, rejected?.count ?? 0);
    this.#sent += count - refused;
    this.#dropped += refused;
    this.#pauseMs = firstPauseMs;
    if (this.#failing)
      log.info({ endpoint, dropped: this.#dropped - this.#droppedBefore }, "traces are sent again");
    this.#failing = false;
    this.#droppedBefore = this.#dropped;
    if (rejected !== undefined && !this.#rejecting)
      log.warn({ endpoint, reason: scrubbed(rejected.text) }, "spans were not all taken");
    this.#rejecting = rejected !== undefined;
  }

  /** Said once, until it works again. */
  #failed(why: string): void {
    const about = { endpoint: this.#sender.place, reason: scrubbed(why) };
    if (this.#failing) this.#pauseMs = Math.min(this.#pauseMs * 2, longestPauseMs);
    else this.#options.log.warn(about, "traces cannot be sent");
    this.#failing = true;
  }

  #lost(): void {
    const spans = this.#queue.length;
    this.#queue.length = 0;
    this.#dropped += spans;
    const dropped = this.#dropped - this.#droppedBefore;
    if (dropped > 0)
      this.#options.log.warn({ endpoint: this.#sender.place, dropped }, "spans were lost at the end");
  }
}
