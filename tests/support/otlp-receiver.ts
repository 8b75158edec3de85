/** Receives traces and metrics as a collector does: OTLP over HTTP, decoded with OpenTelemetry's own message definitions. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { createFileRegistry, type FileRegistry, fromBinary, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { compileProto } from "./compile-proto.ts";

/** The part of opentelemetry/proto/{common,resource,trace,metrics}/v1 and collector/{trace,metrics}/v1 that is sent, with its numbers. */
const proto = `syntax = "proto3";
package opentelemetry.test;
message ExportTraceServiceRequest { repeated ResourceSpans resource_spans = 1; }
message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; string schema_url = 3; }
message Resource { repeated KeyValue attributes = 1; uint32 dropped_attributes_count = 2; }
message ScopeSpans { Scope scope = 1; repeated Span spans = 2; string schema_url = 3; }
message Scope { string name = 1; string version = 2; repeated KeyValue attributes = 3; }
message Span {
  bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; bytes parent_span_id = 4; string name = 5;
  int32 kind = 6; fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8;
  repeated KeyValue attributes = 9; uint32 dropped_attributes_count = 10; Status status = 15; fixed32 flags = 16;
}
message Status { string message = 2; int32 code = 3; }
message KeyValue { string key = 1; AnyValue value = 2; }
message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; } }
message ExportMetricsServiceRequest { repeated ResourceMetrics resource_metrics = 1; }
message ResourceMetrics { Resource resource = 1; repeated ScopeMetrics scope_metrics = 2; string schema_url = 3; }
message ScopeMetrics { Scope scope = 1; repeated Metric metrics = 2; string schema_url = 3; }
message Metric {
  string name = 1; string description = 2; string unit = 3;
  oneof data { Gauge gauge = 5; Sum sum = 7; Histogram histogram = 9; }
}
message Gauge { repeated NumberDataPoint data_points = 1; }
message Sum { repeated NumberDataPoint data_points = 1; int32 aggregation_temporality = 2; bool is_monotonic = 3; }
message Histogram { repeated HistogramDataPoint data_points = 1; int32 aggregation_temporality = 2; }
message NumberDataPoint {
  repeated KeyValue attributes = 7; fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3;
  oneof value { double as_double = 4; sfixed64 as_int = 6; }
}
message HistogramDataPoint {
  repeated KeyValue attributes = 9; fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; fixed64 count = 4;
  optional double sum = 5; repeated fixed64 bucket_counts = 6; repeated double explicit_bounds = 7;
}`;

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  /** 2: server. */
  readonly kind: number;
  readonly durationNs: bigint;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly status: { readonly code?: number; readonly message?: string };
  readonly resource: Readonly<Record<string, unknown>>;
  readonly scope: string;
}

/** One point of a metric, whatever its kind. */
export interface ReceivedPoint {
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly startNs: bigint;
  readonly timeNs: bigint;
  /** Of counters and gauges. */
  readonly value: number;
  readonly isInteger: boolean;
  /** Of histograms; each bucket alone. */
  readonly counts: readonly number[];
  readonly bounds: readonly number[];
  readonly sum: number;
  readonly count: number;
}

export interface ReceivedMetric {
  readonly name: string;
  readonly description: string;
  readonly unit: string;
  readonly kind: "gauge" | "sum" | "histogram";
  /** 2: cumulative. */
  readonly temporality: number;
  readonly isMonotonic: boolean;
  readonly points: readonly ReceivedPoint[];
}

export interface ReceivedPush {
  /** Monotonic, in milliseconds. */
  readonly atMs: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly resource: Readonly<Record<string, unknown>>;
  readonly scope: string;
  readonly metrics: ReadonlyMap<string, ReceivedMetric>;
}

/** Default: 200, with nothing to say. "never": it does not answer. */
export type Verdict =
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: Uint8Array }
  | "never";

export interface OtlpReceiver {
  readonly url: string;
  readonly spans: readonly ReceivedSpan[];
  readonly pushes: readonly ReceivedPush[];
  /** How pushes of metrics are answered from now on. */
  answerWith(verdict: (push: ReceivedPush) => Verdict): void;
  /** How spans are answered from now on; what is not accepted is not in `spans`. */
  answerSpansWith(verdict: (count: number) => Verdict): void;
  /** Pushes that wait for an answer, at most. */
  readonly mostAtOnce: number;
  /** The next push from now on, or the one of that number from the beginning. @throws Error when there is none within ten seconds. */
  push(number?: number): Promise<ReceivedPush>;
  /** Of each request. */
  readonly headers: readonly Readonly<Record<string, unknown>>[];
  /** All bytes that came, as text. */
  text(): string;
  /** The spans that are as asked for; waits for the first. */
  find(is: (span: ReceivedSpan) => boolean): Promise<readonly ReceivedSpan[]>;
  close(): Promise<void>;
}

type Json = Readonly<Record<string, unknown>>;

/** Compiled once for all. */
let registry: FileRegistry | undefined;

/** @param port default: any. */
export async function startOtlpReceiver(port = 0): Promise<OtlpReceiver> {
  registry ??= createFileRegistry(fromBinary(FileDescriptorSetSchema, compileProto("otlp.proto", proto)));
  const traces = registry.getMessage("opentelemetry.test.ExportTraceServiceRequest")!;
  const metrics = registry.getMessage("opentelemetry.test.ExportMetricsServiceRequest")!;
  const spans: ReceivedSpan[] = [];
  const pushes: ReceivedPush[] = [];
  const headers: Json[] = [];
  const bodies: Buffer[] = [];
  const waiting = { now: 0, most: 0 };
  let verdictOf: (push: ReceivedPush) => Verdict = () => ({ status: 200 });
  let spansVerdictOf: (count: number) => Verdict = () => ({ status: 200 });
  const receive = async (incoming: IncomingMessage, answer: ServerResponse): Promise<void> => {
    const atMs = performance.now();
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const raw = Buffer.concat(chunks);
    const body = incoming.headers["content-encoding"] === "gzip" ? gunzipSync(raw) : raw;
    const isProtobuf = incoming.headers["content-type"] === "application/x-protobuf";
    let verdict: Verdict = { status: isProtobuf ? 200 : 415 };
    if (isProtobuf && incoming.url === "/v1/traces") {
      headers.push(incoming.headers);
      bodies.push(body);
      const came = spansOf(toJson(traces, fromBinary(traces, body)) as Json);
      verdict = spansVerdictOf(came.length);
      if (verdict !== "never" && verdict.status === 200) spans.push(...came);
    } else if (isProtobuf && incoming.url === "/v1/metrics") {
      bodies.push(body);
      const message = toJson(metrics, fromBinary(metrics, body), { alwaysEmitImplicit: true }) as Json;
      const push = { ...pushOf(message), atMs, headers: incoming.headers };
      waiting.now += 1;
      waiting.most = Math.max(waiting.most, waiting.now);
      answer.once("close", () => {
        waiting.now -= 1;
      });
      verdict = verdictOf(push);
      pushes.push(push);
    } else verdict = { status: 404 };
    if (verdict === "never") return;
    answer
      .writeHead(verdict.status, { "content-type": "application/x-protobuf", ...verdict.headers })
      .end(verdict.body);
  };
  const server = createServer((incoming, answer) => void receive(incoming, answer));
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...{ spans, pushes, headers },
    answerWith: (verdict) => {
      verdictOf = verdict;
    },
    answerSpansWith: (verdict) => {
      spansVerdictOf = verdict;
    },
    get mostAtOnce() {
      return waiting.most;
    },
    push: async (number = pushes.length) => {
      for (let tries = 0; tries < 1000; tries += 1) {
        const found = pushes[number];
        if (found !== undefined) return found;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      throw new Error(`there were ${pushes.length} pushes of metrics`);
    },
    text: () => Buffer.concat(bodies).toString("latin1"),
    find: async (is) => {
      for (let tries = 0; tries < 200; tries += 1) {
        const found = spans.filter(is);
        if (found.length > 0) return found;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      return [];
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function spansOf(request: Json): ReceivedSpan[] {
  return list(request.resourceSpans).flatMap((resourceSpans) =>
    list(resourceSpans.scopeSpans).flatMap((scopeSpans) =>
      list(scopeSpans.spans).map((span) => ({
        traceId: hex(span.traceId),
        spanId: hex(span.spanId),
        parentSpanId: hex(span.parentSpanId),
        name: String(span.name),
        kind: Number(span.kind),
        durationNs: BigInt(String(span.endTimeUnixNano)) - BigInt(String(span.startTimeUnixNano)),
        attributes: attributesOf(span.attributes),
        status: (span.status ?? {}) as ReceivedSpan["status"],
        resource: attributesOf((resourceSpans.resource as Json | undefined)?.attributes),
        scope: String((scopeSpans.scope as Json | undefined)?.name),
      })),
    ),
  );
}

function pushOf(request: Json): Pick<ReceivedPush, "resource" | "scope" | "metrics"> {
  const [resourceMetrics = {}] = list(request.resourceMetrics);
  const [scopeMetrics = {}] = list(resourceMetrics.scopeMetrics);
  const all = list(scopeMetrics.metrics).map(metricOf);
  return {
    resource: attributesOf((resourceMetrics.resource as Json | undefined)?.attributes),
    scope: String((scopeMetrics.scope as Json | undefined)?.name),
    metrics: new Map(all.map((metric) => [metric.name, metric])),
  };
}

function metricOf(metric: Json): ReceivedMetric {
  const kind = (["gauge", "sum", "histogram"] as const).find((one) => one in metric)!;
  const data = metric[kind] as Json;
  return {
    ...{
      name: String(metric.name),
      description: String(metric.description),
      unit: String(metric.unit),
      kind,
    },
    temporality: Number(data.aggregationTemporality ?? 0),
    isMonotonic: data.isMonotonic === true,
    points: list(data.dataPoints).map((point) => ({
      attributes: attributesOf(point.attributes),
      startNs: BigInt(String(point.startTimeUnixNano)),
      timeNs: BigInt(String(point.timeUnixNano)),
      value: Number(point.asInt ?? point.asDouble),
      isInteger: "asInt" in point,
      counts: ((point.bucketCounts ?? []) as unknown[]).map(Number),
      bounds: ((point.explicitBounds ?? []) as unknown[]).map(Number),
      sum: Number(point.sum),
      count: Number(point.count),
    })),
  };
}

function list(value: unknown): readonly Json[] {
  return (value ?? []) as readonly Json[];
}

function hex(base64: unknown): string {
  return Buffer.from(String(base64 ?? ""), "base64").toString("hex");
}

function attributesOf(pairs: unknown): Record<string, unknown> {
  return Object.fromEntries(
    list(pairs).map(({ key, value }) => {
      const [[kind, given] = []] = Object.entries((value ?? {}) as Json);
      return [String(key), kind === "intValue" ? Number(given) : given];
    }),
  );
}
