/** Receives traces as a collector does: OTLP over HTTP, decoded with OpenTelemetry's own message definitions. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { createFileRegistry, fromBinary, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { compileProto } from "./compile-proto.ts";

/** The part of opentelemetry/proto/{common,resource,trace}/v1 and collector/trace/v1 that is sent, with its numbers. */
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
message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; } }`;

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

export interface OtlpReceiver {
  readonly url: string;
  readonly spans: readonly ReceivedSpan[];
  /** Of each request. */
  readonly headers: readonly Readonly<Record<string, unknown>>[];
  /** All bytes that came, as text. */
  text(): string;
  /** The spans that are as asked for; waits for the first. */
  find(is: (span: ReceivedSpan) => boolean): Promise<readonly ReceivedSpan[]>;
  close(): Promise<void>;
}

type Json = Readonly<Record<string, unknown>>;

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, compileProto("otlp.proto", proto)));
  const request = registry.getMessage("opentelemetry.test.ExportTraceServiceRequest")!;
  const spans: ReceivedSpan[] = [];
  const headers: Json[] = [];
  const bodies: Buffer[] = [];
  const receive = async (incoming: IncomingMessage, answer: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const raw = Buffer.concat(chunks);
    const body = incoming.headers["content-encoding"] === "gzip" ? gunzipSync(raw) : raw;
    const good =
      incoming.url === "/v1/traces" && incoming.headers["content-type"] === "application/x-protobuf";
    if (good) {
      headers.push(incoming.headers);
      bodies.push(body);
      spans.push(...spansOf(toJson(request, fromBinary(request, body)) as Json));
    }
    answer.writeHead(good ? 200 : 404, { "content-type": "application/x-protobuf" }).end();
  };
  const server = createServer((incoming, answer) => void receive(incoming, answer));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...{ spans, headers },
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
