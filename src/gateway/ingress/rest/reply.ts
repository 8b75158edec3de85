/** The response half of REST: one message, a stream of them, or an error. */
import type { Message } from "@bufbuild/protobuf";
import type { HttpRoute } from "#gateway/catalog/catalog.ts";
import type { CompiledType } from "#gateway/codec/codec.ts";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import type { Call } from "#rpc/call.ts";
import { httpStatusOf } from "#rpc/code.ts";
import { type RpcError, toRpcError } from "#rpc/error.ts";
import type { Payload } from "#rpc/payload.ts";
import type { Exchange, ResponseHeaders } from "../exchange.ts";
import { httpBody } from "./accept.ts";
import { errorBody, errorHeaders, statusJson } from "./error-body.ts";
import { etagOf, isUnmodified } from "./etag.ts";
import { matchPath } from "./plane-prefix.ts";
import { secure } from "./security-headers.ts";

/** What handlers may say in HTTP's own words; everything else they set stays inside (gRPC carries it all). */
const allowedHeaders: ReadonlySet<string> = new Set([
  "accept-ranges",
  "cache-control",
  "content-disposition",
  "content-language",
  "content-range",
  "etag",
  "idempotent-replayed",
  "last-modified",
  "location",
  "ratelimit",
  "ratelimit-policy",
  "retry-after",
]);

export interface UnaryAnswer {
  readonly payload: Payload;
  readonly call: Call;
  readonly id: string;
}

export function replyMessage(exchange: Exchange, route: HttpRoute, answer: UnaryAnswer): void {
  const { payload, call, id } = answer;
  const { output } = route.method;
  const headers = secure("application/json; charset=utf-8", id);
  if (call.hasResponseHeaders) copyHeaders(call, headers);
  if (output.desc.typeName === httpBody) {
    const body = payload.message() as HttpBody;
    headers["content-type"] = body.contentType || "application/octet-stream";
    exchange.reply(headers["content-range"] === undefined ? 200 : 206, headers, body.data);
    return;
  }
  const etag = etagOf(output.desc, payload.message());
  if (etag !== undefined) headers.etag = etag;
  if (etag !== undefined && isUnmodified(exchange, etag)) {
    exchange.reply(304, headers, undefined);
    return;
  }
  const { responseBody } = route;
  const body =
    responseBody === undefined
      ? payload.text()
      : (output as CompiledType).encodeJsonField(payload.message(), responseBody);
  exchange.reply(200, headers, body);
}

type HttpBody = Message & { readonly contentType: string; readonly data: Uint8Array };

function copyHeaders(call: Call, headers: ResponseHeaders): void {
  for (const [name, value] of call.responseHeaders.entries()) {
    if (allowedHeaders.has(name) && typeof value === "string") headers[name] = value;
  }
}

export interface StreamAnswer {
  readonly responses: AsyncIterable<Payload>;
  readonly call: Call;
  readonly id: string;
}

/** Longest wait for a first message before the status line goes out without it, in milliseconds. */
const holdStatusMs = 1000;

/** Raw pieces for HttpBody, NDJSON for everything else. An error before the first piece is an ordinary error answer. */
export async function replyStream(exchange: Exchange, route: HttpRoute, answer: StreamAnswer): Promise<void> {
  const raw = route.method.output.desc.typeName === httpBody;
  const writer = raw ? new RawWriter(exchange, answer) : new NdjsonWriter(exchange, route, answer);
  const held = setTimeout(() => writer.start(undefined), holdStatusMs);
  answer.call.onCancel(() => clearTimeout(held));
  try {
    for await (const payload of answer.responses) {
      clearTimeout(held);
      await writer.write(payload);
    }
    clearTimeout(held);
    writer.end();
  } catch (thrown) {
    clearTimeout(held);
    if (!exchange.started) throw thrown;
    writer.fail(toRpcError(thrown));
  }
}

interface StreamWriter {
  start(first: Payload | undefined): void;
  write(payload: Payload): Promise<void> | undefined;
  end(): void;
  fail(error: RpcError): void;
}

class RawWriter implements StreamWriter {
  readonly #exchange: Exchange;
  readonly #answer: StreamAnswer;

  constructor(exchange: Exchange, answer: StreamAnswer) {
    this.#exchange = exchange;
    this.#answer = answer;
  }

  start(first: Payload | undefined): void {
    if (this.#exchange.started) return;
    const contentType = first === undefined ? "" : (first.message() as HttpBody).contentType;
    const headers = secure(contentType || "application/octet-stream", this.#answer.id);
    if (this.#answer.call.hasResponseHeaders) copyHeaders(this.#answer.call, headers);
    this.#exchange.start(headers["content-range"] === undefined ? 200 : 206, headers);
  }

  write(payload: Payload): Promise<void> | undefined {
    this.start(payload);
    const { data } = payload.message() as HttpBody;
    return data.length === 0 ? undefined : this.#exchange.write(data);
  }

  end(): void {
    this.start(undefined);
    this.#exchange.end();
  }

  /** Raw bytes have no room for an error: the body ends visibly incomplete. */
  fail(): void {
    this.#exchange.reset();
  }
}

class NdjsonWriter implements StreamWriter {
  readonly #exchange: Exchange;
  readonly #route: HttpRoute;
  readonly #answer: StreamAnswer;

  constructor(exchange: Exchange, route: HttpRoute, answer: StreamAnswer) {
    this.#exchange = exchange;
    this.#route = route;
    this.#answer = answer;
  }

  start(): void {
    if (this.#exchange.started) return;
    const headers = secure("application/x-ndjson; charset=utf-8", this.#answer.id);
    headers["x-accel-buffering"] = "no";
    if (this.#answer.call.hasResponseHeaders) copyHeaders(this.#answer.call, headers);
    this.#exchange.start(200, headers);
  }

  write(payload: Payload): Promise<void> | undefined {
    this.start();
    const { responseBody, method } = this.#route;
    const json =
      responseBody === undefined
        ? payload.text()
        : (method.output as CompiledType).encodeJsonField(payload.message(), responseBody);
    return this.#exchange.write(`{"result":${json}}\n`);
  }

  end(): void {
    this.start();
    this.#exchange.end();
  }

  fail(error: RpcError): void {
    void this.#exchange.write(`{"error":${statusJson(error, this.#answer.id)}}\n`)?.catch(() => {
      // The client left while being told; there is nobody else to tell.
    });
    this.#exchange.end();
  }
}

/** What of a call's headers is said beside an error too. */
const errorHeaderNames = ["content-range", "idempotent-replayed", "ratelimit", "ratelimit-policy"] as const;

export function replyError(
  exchange: Exchange,
  error: RpcError & { readonly httpStatus?: number },
  about: { readonly id: string; readonly call?: Call | undefined },
): void {
  const status = error.httpStatus ?? httpStatusOf(error);
  const headers = errorHeaders(exchange, error, about.id);
  if (about.call?.hasResponseHeaders === true) {
    for (const name of errorHeaderNames) {
      const value = about.call.responseHeaders.get(name);
      if (value !== undefined) headers[name] = value;
    }
  }
  exchange.reply(status, headers, errorBody(exchange, error, { status, id: about.id }));
}

/** OPTIONS of a path that exists: 204 with what it allows. */
export function replyOptions(exchange: Exchange, runtime: Runtime, id: string): void {
  const { match } = matchPath(runtime.catalog, "OPTIONS", exchange.path);
  const headers = secure("text/plain; charset=utf-8", id);
  if (match.kind === "method_not_allowed") headers.allow = match.allow.join(", ");
  exchange.replyHeadersOnly(204, headers);
}
