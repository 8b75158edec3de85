/**
 * What happened: one access line a call, rate, errors and duration per method and protocol, what the gateway itself takes, and traces.
 *
 * An interceptor watches calls from outside every other; it changes nothing but the answer's `traceparent`. Lines are JSON on standard
 * output. Metrics are Prometheus text, and pushed where somebody asks for that; labels are method, protocol and code only, so the contract bounds
 * their number. Credentials are never written: metadata enters no log, and what a contract marks as sensitive is masked. Traces cost nothing
 * where nobody receives them.
 */
import type { Registry } from "@bufbuild/protobuf";
import type { Call } from "#rpc/call.ts";
import type { Interceptor } from "#rpc/interceptor.ts";
import type { Refusal } from "#rpc/refusal.ts";
import type { Clock } from "#std/clock.ts";
import { bodyOf } from "./bodies.ts";
import { CallMetrics } from "./call-metrics.ts";
import { Counters, type Family, gauge, labels, noLabels } from "./instruments.ts";
import { createLog, type Line, type Log, type LogLevel, lineOf, refusalLineOf, type Times } from "./log.ts";
import { ProcessMetrics } from "./process-metrics.ts";
import { linesOf } from "./prometheus.ts";
import { type MetricsPushOptions, Pusher } from "./pushing.ts";
import { type PoolState, StoreMetrics } from "./store-metrics.ts";
import { traceOf } from "./trace.ts";
import type { Tracing, TracingOptions, TracingParts } from "./tracing.ts";
import { type Watched, watch } from "./watch.ts";

export type { LogLevel } from "./log.ts";
export { mergeMetrics, type WorkerText } from "./merge.ts";
export type { MetricsPushOptions } from "./pushing.ts";
export type { PoolState } from "./store-metrics.ts";
export type { TracingOptions } from "./tracing.ts";

/** What of the log can be changed while the process runs. */
export interface LogSettings {
  readonly level: LogLevel;
  /** Part of the calls whose bodies are written, 0 … 1. */
  readonly bodyRatio: number;
}

/** For whoever turns work away that is no call yet: connections, sockets, streams. Calls are counted by their error's reason. */
export interface Turned {
  /**
   * @param what one of a few words, such as `connection`.
   * @param why what there was too much of, in one word. Default: its number.
   */
  shed(what: string, why?: string): void;
  limited(what: string): void;
}

/** What is asked when metrics are; compose.ts knows who can tell. */
export interface Sources {
  connections(): number;
  webSockets(): number;
  pool(): PoolState | undefined;
}

export interface Telemetry {
  /** Belongs outermost. */
  readonly interceptor: Interceptor;
  /** What came and never became a call. */
  refused(refusal: Refusal): void;
  readonly turned: Turned;
  /** The storage's port. */
  readonly store: StoreMetrics;
  readonly logSettings: LogSettings;
  changeLog(settings: Partial<LogSettings>): void;
  /** Whom the metrics ask; before that those numbers are not there, and nothing is pushed. */
  watchSources(sources: Sources): void;
  /** Prometheus text exposition format 0.0.4. */
  renderMetrics(): string;
  /** Writes and sends what is still buffered, and pushes what was counted a last time. */
  close(): Promise<void>;
}

export interface TelemetryOptions {
  readonly logLevel: LogLevel;
  /** Default 0: bodies are not written. */
  readonly logBodyRatio?: number;
  /** In the place of standard output. */
  readonly logFile?: string;
  readonly clock: Clock;
  /** For messages inside `google.protobuf.Any`. */
  readonly registry: Registry;
  readonly random?: () => number;
  /** Undefined: nobody receives traces. */
  readonly tracing?: TracingOptions | undefined;
  /** Undefined: metrics are only there to be asked for. */
  readonly push?: MetricsPushOptions | undefined;
}

/** Reasons that say that something was turned away for load, and what it is then called. Calls are told of by who turns them away. */
const shedReasons: ReadonlyMap<string, string> = new Map([["SOCKETS_LIMITED", "socket"]]);
const limitedReasons: ReadonlyMap<string, string> = new Map([["RATE_LIMITED", "call"]]);

/** Of streams that are told to go on elsewhere. */
const planned: ReadonlySet<string> = new Set(["SERVER_DRAINING"]);

export async function createTelemetry(options: TelemetryOptions): Promise<Telemetry> {
  const { tracing, push, clock, random = Math.random } = options;
  const log = createLog(options.logLevel, options.logFile);
  const traced = tracing && (await loadTracing(tracing, { clock, random, log }));
  const watcher = new Watcher(options, log, traced);
  if (push !== undefined) await watcher.pushTo(push);
  return watcher;
}

/** Loads OpenTelemetry. */
async function loadTracing(options: TracingOptions, parts: TracingParts): Promise<Tracing> {
  const { openTelemetry } = await import("./otel.ts");
  return openTelemetry(options, parts);
}

class Watcher implements Telemetry {
  readonly interceptor: Interceptor;
  readonly turned: Turned;
  readonly store = new StoreMetrics();
  readonly #options: TelemetryOptions;
  readonly #tracing: Tracing | undefined;
  readonly #random: () => number;
  readonly #log: Log;
  readonly #calls = new CallMetrics();
  readonly #process: ProcessMetrics;
  readonly #shed = new Counters();
  readonly #limited = new Counters();
  #sources: Sources | undefined;
  #pusher: Pusher | undefined;
  #bodyRatio: number;
  /** Whether access lines are written: pino's own answer costs every call two look-ups. */
  #writesLines: boolean;

  constructor(options: TelemetryOptions, log: Log, tracing: Tracing | undefined) {
    this.#options = options;
    this.#tracing = tracing;
    this.#random = options.random ?? Math.random;
    this.#log = log;
    this.#writesLines = this.#log.isLevelEnabled("info");
    this.#process = new ProcessMetrics(options.clock);
    this.#bodyRatio = options.logBodyRatio ?? 0;
    this.turned = {
      shed: (what, why = "number") => this.#shed.add(`${what} ${why}`),
      limited: (what) => this.#limited.add(what),
    };
    this.interceptor = (next, method) => {
      const isStream = method.kind !== "unary";
      const series = this.#calls.method(method.name, isStream);
      return watch(next, method, {
        tracing,
        begin: (call) => this.#calls.opened(call.protocol, isStream),
        sample: () => this.#bodyRatio > 0 && this.#random() < this.#bodyRatio,
        finish: (call) => {
          const times = this.#timesOf(call);
          this.#calls.closed(call.protocol, isStream, times.gatewayMs);
          const error = call.failedBy;
          const watched = call.watched as Watched | undefined;
          const counts = isStream && watched !== undefined ? watched : unaryCounts;
          series.observe(call.protocol, {
            code: error?.code ?? "ok",
            durationMs: times.durationMs,
            bytesIn: call.bytesIn,
            bytesOut: call.bytesOut,
            messagesIn: counts.messagesIn,
            messagesOut: error !== undefined && !isStream ? 0 : counts.messagesOut,
            planned: error !== undefined && planned.has(error.reason),
          });
          if (error !== undefined) this.#failed(error.reason);
          if (watched?.span !== undefined) tracing?.end(watched.span, call, error);
          this.#write(call, { times, watched });
        },
      });
    };
  }

  get logSettings(): LogSettings {
    return { level: this.#log.level as LogLevel, bodyRatio: this.#bodyRatio };
  }

  changeLog({ level, bodyRatio }: Partial<LogSettings>): void {
    if (level !== undefined) this.#log.level = level;
    this.#writesLines = this.#log.isLevelEnabled("info");
    if (bodyRatio !== undefined) this.#bodyRatio = bodyRatio;
  }

  watchSources(sources: Sources): void {
    this.#sources = sources;
    this.#pusher?.start();
  }

  /** Loads OpenTelemetry. */
  async pushTo(options: MetricsPushOptions): Promise<void> {
    const { openMetricsReceiver } = await import("./otlp-metrics.ts");
    const { clock } = this.#options;
    const { startedAtSeconds } = this.#process;
    this.#pusher = new Pusher({
      ...{ clock, random: this.#random, intervalMs: options.intervalMs, timeoutMs: options.timeoutMs },
      receiver: openMetricsReceiver(options, { clock, startedAtSeconds }),
      families: () => this.#families(),
      log: this.#log,
    });
  }

  refused(refusal: Refusal): void {
    const { protocol, method, error, bytesIn, bytesOut } = refusal;
    const durationMs = this.#options.clock.monotonic() - refusal.startedAtMs;
    this.#calls
      .method(method?.name, method !== undefined && method.kind !== "unary")
      .observe(protocol, { code: error.code, durationMs, bytesIn, bytesOut, messagesIn: 0, messagesOut: 0 });
    this.#failed(error.reason);
    if (error.code === "internal") this.#log.error(refusalLineOf(refusal, durationMs), "call failed");
    else if (this.#writesLines) this.#log.info(refusalLineOf(refusal, durationMs), "call");
  }

  renderMetrics(): string {
    return `${linesOf(this.#families()).join("\n")}\n`;
  }

  async close(): Promise<void> {
    await Promise.all([this.#pusher?.close(), this.#tracing?.close()]);
    this.#process.close();
    await this.#log.end();
  }

  /** Everything that is counted, as it is now. */
  #families(): Family[] {
    const sources = this.#sources;
    return [
      ...this.#calls.families(),
      {
        kind: "counter",
        name: "portico_shed_total",
        help: "Work that was turned away because there was too much.",
        series: this.#shed.entries().map(([key, value]) => {
          const [what = "", why = ""] = key.split(" ");
          return { labels: labels({ what, why }), value };
        }),
      },
      {
        kind: "counter",
        name: "portico_limited_total",
        help: "Work that was turned away because its sender sent too much.",
        series: this.#limited.series("what"),
      },
      {
        kind: "counter",
        name: "portico_log_lines_dropped_total",
        help: "Lines of the log that were not written because those before them were not read.",
        series: [{ labels: noLabels, value: this.#log.dropped() }],
      },
      ...(this.#tracing?.families() ?? []),
      gauge("portico_connections_open", "Connections on both ports.", sources?.connections()),
      gauge("portico_websockets_open", "WebSockets.", sources?.webSockets()),
      ...this.store.families(sources?.pool()),
      ...this.#process.families(),
    ];
  }

  #timesOf(call: Call): Times {
    const now = this.#options.clock.monotonic();
    const { serviceStartedAtMs: started, serviceEndedAtMs: ended, dispatchedAtMs } = call;
    // A service that goes on after its call is over had all the time until now; one that never began had none.
    const serviceMs = started === call.startedAtMs ? 0 : (ended >= started ? ended : now) - started;
    // A query's calls begin when it asks for them, not when it came.
    const beganAtMs = call.protocol === "graphql" ? dispatchedAtMs : call.startedAtMs;
    return { durationMs: now - beganAtMs, serviceMs, gatewayMs: now - dispatchedAtMs - serviceMs };
  }

  #failed(reason: string): void {
    this.#calls.failed(reason);
    const shed = shedReasons.get(reason);
    if (shed !== undefined) this.turned.shed(shed);
    const limited = limitedReasons.get(reason);
    if (limited !== undefined) this.#limited.add(limited);
  }

  #write(call: Call, { times, watched }: { times: Times; watched: Watched | undefined }): void {
    const error = call.failedBy;
    const failed = error?.code === "internal";
    if (!failed && !this.#writesLines) return;
    const span = watched?.span;
    const about: Line = {
      ...{ error, times },
      messagesIn: watched?.messagesIn ?? 1,
      messagesOut: watched?.messagesOut ?? 1,
      traceId: span?.traceId ?? traceOf(call)?.traceId,
      spanId: span?.sampled === true ? span.spanId : undefined,
      bodies: watched?.sampled === true ? this.#bodiesOf(call, watched) : undefined,
    };
    if (failed) this.#log.error(lineOf(call, about), "call failed");
    else this.#log.info(lineOf(call, about), "call");
  }

  /** Of streams the first message in each direction. */
  #bodiesOf(call: Call, watched: Watched): { request: unknown; response: unknown } {
    const { registry } = this.#options;
    const request = call.kind === "unary" ? call.request : watched.firstIn;
    return { request: bodyOf(request, registry), response: bodyOf(watched.firstOut, registry) };
  }
}

const unaryCounts = { messagesIn: 1, messagesOut: 1 };
