/**
 * Traces by OpenTelemetry: one server span a call, named and described by the semantic conventions for RPC, or for HTTP where the call came
 * to a route. The caller's `traceparent`, `tracestate` and `baggage` are read from the call's metadata, whatever protocol brought it; what
 * is said back is `traceparent`. A caller that decided about sampling is followed.
 *
 * @see https://opentelemetry.io/docs/specs/semconv/rpc/rpc-spans/
 * @see https://opentelemetry.io/docs/specs/semconv/http/http-spans/
 */
import {
  type Attributes,
  type Context,
  context,
  createContextKey,
  propagation,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  TraceFlags,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from "@opentelemetry/core";
import {
  ParentBasedSampler,
  RandomIdGenerator,
  type Sampler,
  SamplingDecision,
  type SamplingResult,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import type { Call } from "#rpc/call.ts";
import { codes, type ErrorCode, httpStatusOf } from "#rpc/code.ts";
import type { RpcError } from "#rpc/error.ts";
import type { Metadata } from "#rpc/metadata.ts";
import type { Protocol } from "#rpc/peer.ts";
import { resourceOf } from "./resource.ts";
import { SpanSender } from "./span-sender.ts";
import type { CallSpan, Tracing, TracingOptions, TracingParts } from "./tracing.ts";

/** Codes that are the server's failure; the others are the caller's and leave a server span's status unset. */
const serverErrors: ReadonlySet<ErrorCode> = new Set([
  ...(["unknown", "deadline_exceeded", "unimplemented", "internal", "unavailable", "data_loss"] as const),
]);

const systems: Readonly<Record<Exclude<Protocol, "rest">, string>> = {
  grpc: "grpc",
  "grpc-web": "grpc",
  connect: "connectrpc",
  websocket: "portico.websocket",
  graphql: "graphql",
  mcp: "jsonrpc",
};

interface OtelSpan extends CallSpan {
  readonly span: Span;
  readonly context: Context;
}

const fromMetadata: TextMapGetter<Metadata> = {
  get: (metadata, name) => metadata.get(name),
  keys: (metadata) => [...metadata.entries()].map(([name]) => name),
};

/** Says that a call without a caller's trace was chosen to begin one. */
const chosen = createContextKey("portico: chosen to be traced");
const chosenRoot = ROOT_CONTEXT.setValue(chosen, true);

/** For calls it was decided already; what services begin by themselves is decided by the id of its trace. */
class RootSampler implements Sampler {
  readonly #rest: TraceIdRatioBasedSampler;

  constructor(ratio: number) {
    this.#rest = new TraceIdRatioBasedSampler(ratio);
  }

  shouldSample(...given: Parameters<Sampler["shouldSample"]>): SamplingResult {
    if (given[0].getValue(chosen) === true) return { decision: SamplingDecision.RECORD_AND_SAMPLED };
    return this.#rest.shouldSample(given[0], given[1]);
  }

  toString(): string {
    return `Root{${this.#rest.toString()}}`;
  }
}

const ids = new RandomIdGenerator();

/**
 * The trace of a call that is not traced: it has ids only where a service's client passes them on, which tells others not to trace it
 * either. Most calls are of this kind; a span of the library would cost them three times as much (bench/policies.ts).
 */
class Untraced implements SpanContext {
  readonly traceFlags = TraceFlags.NONE;
  #traceId: string | undefined;
  #spanId: string | undefined;

  get traceId(): string {
    this.#traceId ??= ids.generateTraceId();
    return this.#traceId;
  }

  get spanId(): string {
    this.#spanId ??= ids.generateSpanId();
    return this.#spanId;
  }
}

function untraced(): OtelSpan {
  const span = trace.wrapSpanContext(new Untraced());
  const active = trace.setSpan(ROOT_CONTEXT, span);
  return { span, context: active, traceId: undefined, spanId: undefined, sampled: false };
}

export function openTelemetry(options: TracingOptions, parts: TracingParts): Tracing {
  const endpoint = `${options.endpoint.replace(/\/+$/, "")}/v1/traces`;
  const sender = new SpanSender({ ...parts, endpoint, headers: options.headers });
  const provider = new TracerProvider({
    resource: resourceOf(options),
    // The caller's decision stands, whoever it is: a trace in pieces helps nobody.
    sampler: new ParentBasedSampler({ root: new RootSampler(options.ratio) }),
    spanLimits: { attributeValueLengthLimit: 1024 },
    spanProcessors: [sender],
  });
  const propagator = new CompositePropagator({
    propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()],
  });
  // For what services do themselves: their spans become children of the call's, their clients say where they come from.
  const mine = trace.setGlobalTracerProvider(provider);
  propagation.setGlobalPropagator(propagator);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const { ratio, encrypted } = options;
  const about = { tracer: provider.getTracer("portico", options.version), encrypted };
  return {
    begin: (call) => {
      const { metadata } = call;
      const known = metadata.get("traceparent") !== undefined || metadata.get("baggage") !== undefined;
      if (!known && Math.random() >= ratio) return untraced();
      const parent = known ? propagator.extract(ROOT_CONTEXT, metadata, fromMetadata) : chosenRoot;
      return begin(call, parent, about);
    },
    run: (span, handler, call) =>
      span === undefined ? handler(call) : context.with((span as OtelSpan).context, handler, undefined, call),
    end: (span, call, error) => end((span as OtelSpan).span, call, error),
    families: () => sender.families(),
    close: async () => {
      if (mine) {
        trace.disable();
        propagation.disable();
        context.disable();
      }
      await provider.shutdown();
    },
  };
}

function begin(
  call: Call,
  parent: Context,
  { tracer, encrypted }: { readonly tracer: Tracer; readonly encrypted: boolean },
): OtelSpan {
  const { route } = call;
  const span = tracer.startSpan(
    call.protocol === "rest" && route !== undefined
      ? `${route.httpMethod} ${route.template}`
      : call.method.name,
    { kind: SpanKind.SERVER },
    parent,
  );
  const { traceId, spanId, traceFlags } = span.spanContext();
  const sampled = (traceFlags & TraceFlags.SAMPLED) !== 0;
  if (sampled) {
    span.setAttributes(attributesOf(call, encrypted));
    call.responseHeaders.set("traceparent", `00-${traceId}-${spanId}-01`);
  }
  return { span, context: trace.setSpan(parent, span), traceId, spanId, sampled };
}

/** Nothing that a caller chooses the content of, apart from the path: queries and metadata carry credentials. */
function attributesOf(call: Call, encrypted: boolean): Attributes {
  const { protocol, route, peer } = call;
  const common: Attributes = {
    "rpc.method": call.method.name,
    "client.address": peer.address,
    "network.peer.address": peer.address,
    "network.peer.port": peer.port,
    "portico.protocol": protocol,
    "portico.request_id": call.id,
  };
  if (protocol !== "rest") return { ...common, "rpc.system.name": systems[protocol] };
  return {
    ...common,
    "http.request.method": route?.httpMethod === "*" ? "_OTHER" : (route?.httpMethod ?? "_OTHER"),
    ...(route === undefined ? {} : { "http.route": route.template }),
    "url.path": call.path ?? "",
    "url.scheme": encrypted ? "https" : "http",
  };
}

function end(span: Span, call: Call, error: RpcError | undefined): void {
  if (!span.isRecording()) {
    span.end();
    return;
  }
  const { protocol, principal } = call;
  const code = error?.code ?? "ok";
  span.setAttribute(
    "portico.service_ms",
    Math.round((call.serviceEndedAtMs - call.serviceStartedAtMs) * 1000) / 1000,
  );
  if (principal.name !== "") span.setAttribute("enduser.id", principal.name);
  if (protocol === "rest")
    span.setAttribute("http.response.status_code", error === undefined ? 200 : httpStatusOf(error));
  else if (protocol !== "connect") span.setAttribute("rpc.status_code", codes[code].label);
  else if (error !== undefined) span.setAttribute("rpc.status_code", code);
  if (error !== undefined) {
    span.setAttribute("error.type", error.reason === "" ? code : error.reason);
    const failed = protocol === "rest" ? httpStatusOf(error) >= 500 : serverErrors.has(error.code);
    // The reason is public; a message may repeat what the caller sent.
    if (failed) span.setStatus({ code: SpanStatusCode.ERROR, message: error.reason });
  }
  span.end();
}
