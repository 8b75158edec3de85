/** The response half of REST: one message or an error; streams are in stream-reply.ts. */
import type { Message } from "@bufbuild/protobuf";
import type { HttpRoute } from "#gateway/catalog/catalog.ts";
import type { CompiledType } from "#gateway/codec/codec.ts";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import type { Call } from "#rpc/call.ts";
import { httpStatusOf } from "#rpc/code.ts";
import type { RpcError } from "#rpc/error.ts";
import type { Payload } from "#rpc/payload.ts";
import type { Clock } from "#std/clock.ts";
import type { Exchange } from "../exchange.ts";
import { httpBody } from "./accept.ts";
import { copyHeaders } from "./call-headers.ts";
import { errorBody, errorHeaders } from "./error-body.ts";
import { etagOf, isUnmodified } from "./etag.ts";
import { matchPath } from "./plane-prefix.ts";
import { sayPlanned } from "./planned.ts";
import { prettyJson } from "./pretty.ts";
import { secure } from "./security-headers.ts";

export interface UnaryAnswer {
  readonly payload: Payload;
  readonly call: Call;
  readonly id: string;
  readonly pretty: boolean;
  serverUrl(): string;
  /** Tells the client how long it took; undefined: it does not. */
  readonly timing: Timing | undefined;
}

/** `Server-Timing` of a call until now. @see https://www.w3.org/TR/server-timing/ */
export type Timing = (call: Call) => string;

/** To the hundredth of a millisecond: a number in short digits costs a tenth of one with all of them. */
export function createTiming(clock: Clock): Timing {
  return (call) => {
    const now = clock.monotonic();
    const { serviceStartedAtMs: started, serviceEndedAtMs: ended } = call;
    // One that does not hear of its end is still at it.
    const service = (ended >= started ? ended : now) - started;
    const gateway = now - call.dispatchedAtMs - service;
    return `gateway;dur=${Math.round(gateway * 100) / 100}, service;dur=${Math.round(service * 100) / 100}`;
  };
}

export function replyMessage(exchange: Exchange, route: HttpRoute, answer: UnaryAnswer): void {
  const { payload, call, id, timing } = answer;
  const { output } = route.method;
  const headers = secure("application/json; charset=utf-8", id);
  if (call.hasResponseHeaders) copyHeaders(call, headers);
  if (output.desc.typeName === httpBody) {
    const body = payload.message() as HttpBody;
    headers["content-type"] = body.contentType || "application/octet-stream";
    if (timing !== undefined) headers["server-timing"] = timing(call);
    exchange.reply(headers["content-range"] === undefined ? 200 : 206, headers, body.data);
    return;
  }
  const etag = etagOf(output.desc, payload.message());
  if (etag !== undefined) headers.etag = etag;
  if (etag !== undefined && isUnmodified(exchange, etag)) {
    if (timing !== undefined) headers["server-timing"] = timing(call);
    exchange.reply(304, headers, undefined);
    return;
  }
  const { responseBody, rest } = route;
  const status =
    rest === undefined
      ? 200
      : sayPlanned(exchange, route, rest, {
          ...{ call, headers, message: payload.message() },
          serverUrl: answer.serverUrl,
        });
  if (status === 204) {
    delete headers["content-type"];
    exchange.replyHeadersOnly(204, headers);
    return;
  }
  const body =
    responseBody === undefined
      ? payload.text()
      : (output as CompiledType).encodeJsonField(payload.message(), responseBody);
  // After the body is made: that is the gateway's work too.
  if (timing !== undefined) headers["server-timing"] = timing(call);
  exchange.reply(status, headers, answer.pretty ? prettyJson(body) : body);
}

export type HttpBody = Message & { readonly contentType: string; readonly data: Uint8Array };

/** What of a call's headers is said beside an error too. */
const errorHeaderNames = [
  "content-range",
  "deprecation",
  "idempotent-replayed",
  "link",
  "ratelimit",
  "ratelimit-policy",
  "sunset",
  "traceparent",
] as const;

export function replyError(
  exchange: Exchange,
  error: RpcError & { readonly httpStatus?: number },
  about: {
    readonly id: string;
    readonly call?: Call | undefined;
    readonly pretty?: boolean;
    readonly timing?: Timing | undefined;
  },
): void {
  const status = error.httpStatus ?? httpStatusOf(error);
  const headers = errorHeaders(exchange, error, about.id);
  if (about.call?.hasResponseHeaders === true) {
    for (const name of errorHeaderNames) {
      const value = about.call.responseHeaders.get(name);
      if (value !== undefined) headers[name] = value;
    }
  }
  const body = errorBody(exchange, error, { status, id: about.id });
  if (about.call !== undefined && about.timing !== undefined)
    headers["server-timing"] = about.timing(about.call);
  exchange.reply(status, headers, about.pretty === true ? prettyJson(body) : body);
}

/** To an EventSource that comes again after the end: by its standard, 204 stops it. */
export function replyNothingMore(exchange: Exchange, id: string): void {
  exchange.replyHeadersOnly(204, secure("text/plain; charset=utf-8", id));
}

/** OPTIONS of a path that exists: 204 with what it allows. */
export function replyOptions(exchange: Exchange, runtime: Runtime, id: string): void {
  const { match } = matchPath(runtime.catalog, "OPTIONS", exchange.path);
  const headers = secure("text/plain; charset=utf-8", id);
  if (match.kind === "method_not_allowed") headers.allow = match.allow.join(", ");
  exchange.replyHeadersOnly(204, headers);
}
