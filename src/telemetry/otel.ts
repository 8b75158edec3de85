/**
 * Traces by OpenTelemetry: one server span a call, or a request that may be several, whose calls are then inside it; and one of what was
 * refused before it was a call. The caller's `traceparent`, `tracestate` and `baggage` are read from the call's metadata, whatever protocol
 * brought it; what is said back is `traceparent`. A caller that decided about sampling is followed. What spans say is in span-attributes.ts.
 */
import {
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
import type { RpcError } from "#rpc/error.ts";
import type { Metadata } from "#rpc/metadata.ts";
import type { Refusal, TraceHeaders } from "#rpc/refusal.ts";
import type { RequestHead, TracedRequest } from "#rpc/request.ts";
import { resourceOf } from "./resource.ts";
import {
  attributesOfCall,
  attributesOfRefusal,
  attributesOfRequest,
  type End,
  endOf,
  nameOfCall,
  nameOfRefusal,
  type ServerPlace,
} from "./span-attributes.ts";
import { SpanSender } from "./span-sender.ts";
import type { CallSpan, Tracing, TracingOptions, TracingParts } from "./tracing.ts";

interface OtelSpan extends CallSpan {
  readonly span: Span;
  readonly context: Context;
}

const fromMetadata: TextMapGetter<Metadata> = {
  get: (metadata, name) => metadata.get(name),
  keys: (metadata) => [...metadata.entries()].map(([name]) => name),
};

const fromHeaders: TextMapGetter<TraceHeaders> = {
  get: (headers, name) => headers[name as keyof TraceHeaders],
  keys: (headers) => Object.keys(headers),
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
  const { ratio } = options;
  const about = { tracer: provider.getTracer("portico", options.version), place: options };
  /** Undefined: nobody decided to trace it, and chance does not either. */
  const parentOf = (metadata: Metadata): Context | undefined => {
    if (metadata.get("traceparent") !== undefined || metadata.get("baggage") !== undefined)
      return propagator.extract(ROOT_CONTEXT, metadata, fromMetadata);
    return Math.random() < ratio ? chosenRoot : undefined;
  };
  return {
    begin: (call) => {
      const request = call.part?.trace as OtelRequest | undefined;
      if (request?.sampled === false) return request;
      const parent = request?.context ?? parentOf(call.metadata);
      return parent === undefined ? untraced() : begin(call, parent, about);
    },
    request: (head) => {
      const parent = parentOf(head.metadata);
      return new OtelRequest(parent === undefined ? untraced() : beginRequest(head, parent, about), head);
    },
    refused: (refusal, durationMs) => {
      const request = refusal.request as OtelRequest | undefined;
      if (request !== undefined) {
        request.end(refusal.error);
        return request;
      }
      const known = refusal.trace?.traceparent !== undefined;
      if (!known && Math.random() >= ratio) return undefined;
      const parent = known ? propagator.extract(ROOT_CONTEXT, refusal.trace, fromHeaders) : chosenRoot;
      return traceRefusal(refusal, { ...about, parent, durationMs });
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

interface About {
  readonly tracer: Tracer;
  readonly place: ServerPlace;
}

function begin(call: Call, parent: Context, { tracer, place }: About): OtelSpan {
  const { part } = call;
  const isInside = part?.trace !== undefined;
  const kind = isInside ? SpanKind.INTERNAL : SpanKind.SERVER;
  const begun = opened(tracer.startSpan(nameOfCall(call), { kind }, parent), parent);
  if (!begun.sampled) return begun;
  begun.span.setAttributes(attributesOfCall(call, place));
  // Of a request with several the answer says its own.
  if (!isInside) call.responseHeaders.set("traceparent", traceparentOf(begun));
  return begun;
}

/** By the conventions, until it is known what the operation is: clients choose the names of their own. */
const unknownOperation = "GraphQL Operation";

function beginRequest(head: RequestHead, parent: Context, { tracer, place }: About): OtelSpan {
  const begun = opened(tracer.startSpan(unknownOperation, { kind: SpanKind.SERVER }, parent), parent);
  if (begun.sampled) begun.span.setAttributes(attributesOfRequest(head, place));
  return begun;
}

function opened(span: Span, parent: Context): OtelSpan {
  const { traceId, spanId, traceFlags } = span.spanContext();
  const sampled = (traceFlags & TraceFlags.SAMPLED) !== 0;
  return { span, context: trace.setSpan(parent, span), traceId, spanId, sampled };
}

function traceparentOf({ traceId, spanId }: CallSpan): string {
  return `00-${traceId}-${spanId}-01`;
}

class OtelRequest implements TracedRequest, OtelSpan {
  readonly span: Span;
  readonly context: Context;
  readonly traceId: string | undefined;
  readonly spanId: string | undefined;
  readonly sampled: boolean;
  readonly #head: RequestHead;

  constructor({ span, context: active, traceId, spanId, sampled }: OtelSpan, head: RequestHead) {
    this.span = span;
    this.context = active;
    this.traceId = traceId;
    this.spanId = spanId;
    this.sampled = sampled;
    this.#head = head;
  }

  get traceparent(): string | undefined {
    return this.sampled ? traceparentOf(this) : undefined;
  }

  named(operation: string, name: string | undefined): void {
    if (!this.sampled) return;
    this.span.updateName(operation);
    this.span.setAttribute("graphql.operation.type", operation);
    if (name !== undefined) this.span.setAttribute("graphql.operation.name", name);
  }

  end(error: RpcError | undefined): void {
    if (!this.span.isRecording()) return;
    if (error !== undefined) finish(this.span, endOf(this.#head.protocol, error), error);
    this.span.end();
  }
}

/** It is over before anybody hears of it. */
function traceRefusal(
  refusal: Refusal,
  { tracer, place, parent, durationMs }: About & { readonly parent: Context; readonly durationMs: number },
): CallSpan {
  const ended = Date.now();
  const options = { kind: SpanKind.SERVER, startTime: ended - durationMs };
  const begun = opened(tracer.startSpan(nameOfRefusal(refusal), options, parent), parent);
  if (begun.sampled) {
    begun.span.setAttributes(attributesOfRefusal(refusal, place));
    const { protocol, error, httpStatus, principal } = refusal;
    if (principal !== undefined && principal.name !== "")
      begun.span.setAttribute("enduser.id", principal.name);
    finish(begun.span, endOf(protocol, error, httpStatus), error);
  }
  begun.span.end(ended);
  return begun;
}

function end(span: Span, call: Call, error: RpcError | undefined): void {
  if (!span.isRecording()) {
    span.end();
    return;
  }
  const { protocol, principal } = call;
  span.setAttribute(
    "portico.service_ms",
    Math.round((call.serviceEndedAtMs - call.serviceStartedAtMs) * 1000) / 1000,
  );
  if (principal.name !== "") span.setAttribute("enduser.id", principal.name);
  finish(span, endOf(protocol, error, call.httpStatus), error);
  span.end();
}

/** The reason is public; a message may repeat what the caller sent. */
function finish(span: Span, { attributes, failed }: End, error: RpcError | undefined): void {
  span.setAttributes(attributes);
  if (failed) span.setStatus({ code: SpanStatusCode.ERROR, message: error?.reason ?? "" });
}
