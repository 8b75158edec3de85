/** The response half of REST for streams: raw pieces, one JSON text a line, server-sent events, or one JSON array. */
import type { DescField } from "@bufbuild/protobuf";
import { type HttpRoute, streamFields } from "#gateway/catalog/catalog.ts";
import type { CompiledType } from "#gateway/codec/codec.ts";
import type { Call } from "#rpc/call.ts";
import { type RpcError, toRpcError } from "#rpc/error.ts";
import type { Payload } from "#rpc/payload.ts";
import type { Exchange, ResponseHeaders } from "../exchange.ts";
import { Outbox } from "../outbox.ts";
import { httpBody, type StreamType } from "./accept.ts";
import { copyHeaders } from "./call-headers.ts";
import { statusJson } from "./error-body.ts";
import { eventTooLarge, isWithin } from "./event-size.ts";
import type { HttpBody } from "./reply.ts";
import { secure } from "./security-headers.ts";

export interface StreamAnswer {
  readonly responses: AsyncIterable<Payload>;
  readonly call: Call;
  readonly id: string;
  readonly type: StreamType;
  readonly heartbeatMs: number;
  /** Of a server-sent event; a larger one is the stream's error. */
  readonly maxEventBytes: number;
}

/** Longest wait for a first message before the status line goes out without it, in milliseconds. */
const holdStatusMs = 1000;
/** What server-sent events ask a client to wait before it comes again, in milliseconds. */
const retryMs = 2000;
/** The `id` of a stream that is over. Who comes again with it is told by 204 that there is nothing more, and stops by itself. */
export const endedId = "end";

/** An error before the first piece is an ordinary error answer. */
export async function replyStream(exchange: Exchange, route: HttpRoute, answer: StreamAnswer): Promise<void> {
  const writer = writerOf(exchange, route, answer);
  const held = setTimeout(() => writer.start(undefined), holdStatusMs);
  const { heartbeat } = writer;
  let quiet = true;
  // Whoever does not read is not told either that there is more: each beat would wait with its listeners behind the last.
  let waiting = false;
  const say = async (text: string): Promise<void> => {
    waiting = true;
    await exchange.write(text)?.catch(gone);
    waiting = false;
  };
  const beat =
    heartbeat === undefined
      ? undefined
      : setInterval(() => {
          if (quiet && !waiting && exchange.started) void say(heartbeat);
          quiet = true;
        }, answer.heartbeatMs);
  const stop = (): void => {
    clearTimeout(held);
    clearInterval(beat);
  };
  answer.call.onCancel(stop);
  exchange.onStalled((error) => answer.call.cancel(error));
  try {
    for await (const payload of answer.responses) {
      clearTimeout(held);
      quiet = false;
      waiting = true;
      await writer.write(payload);
      waiting = false;
    }
    stop();
    writer.end();
  } catch (thrown) {
    stop();
    if (!exchange.started) throw thrown;
    writer.fail(toRpcError(thrown));
  }
}

/** The client left while being told; there is nobody else to tell. */
function gone(): void {}

interface StreamWriter {
  /** What keeps a silent stream alive; undefined: nothing may be said between messages. */
  readonly heartbeat: string | undefined;
  start(first: Payload | undefined): void;
  write(payload: Payload): Promise<void> | undefined;
  end(): void;
  fail(error: RpcError): void;
}

function writerOf(exchange: Exchange, route: HttpRoute, answer: StreamAnswer): StreamWriter {
  if (route.method.output.desc.typeName === httpBody) return new RawWriter(exchange, answer);
  switch (answer.type) {
    case "text/event-stream":
      return new EventWriter(exchange, route, answer);
    case "application/json":
      return new ArrayWriter(exchange, route, answer);
    default:
      return new NdjsonWriter(exchange, route, answer);
  }
}

class RawWriter implements StreamWriter {
  readonly heartbeat = undefined;
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

/** What every stream of JSON begins with. */
function start(exchange: Exchange, answer: StreamAnswer, contentType: string): void {
  const headers: ResponseHeaders = secure(contentType, answer.id);
  headers["cache-control"] = "no-store, no-transform";
  headers["x-accel-buffering"] = "no";
  headers.vary = "accept";
  if (answer.call.hasResponseHeaders) copyHeaders(answer.call, headers);
  exchange.start(200, headers);
}

/** As `Outbox.added`: a text is made before anybody knows whether there is room for it. */
function put(outbox: Outbox, text: string): Promise<void> | undefined {
  const behind = outbox.room();
  outbox.text(text);
  return outbox.added() ?? behind;
}

function jsonOf(payload: Payload, { responseBody, method }: HttpRoute): string {
  return responseBody === undefined
    ? payload.text()
    : (method.output as CompiledType).encodeJsonField(payload.message(), responseBody);
}

/** One `{"result": …}` a line, an `{"error": …}` as the last of a stream that failed, an empty line as heartbeat. */
class NdjsonWriter implements StreamWriter {
  readonly heartbeat = "\n";
  readonly #exchange: Exchange;
  readonly #outbox: Outbox;
  readonly #route: HttpRoute;
  readonly #answer: StreamAnswer;

  constructor(exchange: Exchange, route: HttpRoute, answer: StreamAnswer) {
    this.#exchange = exchange;
    this.#outbox = new Outbox(exchange);
    this.#route = route;
    this.#answer = answer;
  }

  start(): void {
    if (!this.#exchange.started) start(this.#exchange, this.#answer, `${this.#answer.type}; charset=utf-8`);
  }

  write(payload: Payload): Promise<void> | undefined {
    this.start();
    return put(this.#outbox, `{"result":${jsonOf(payload, this.#route)}}\n`);
  }

  end(): void {
    this.start();
    this.#outbox.end();
  }

  fail(error: RpcError): void {
    this.#outbox.text(`{"error":${statusJson(error, this.#answer.id)}}\n`);
    this.#outbox.end();
  }
}

/** One array. One that failed has the error as its last element and is not closed: no parser takes it for complete. */
class ArrayWriter implements StreamWriter {
  readonly heartbeat = "\n";
  readonly #exchange: Exchange;
  readonly #outbox: Outbox;
  readonly #route: HttpRoute;
  readonly #answer: StreamAnswer;
  #separator = "[";

  constructor(exchange: Exchange, route: HttpRoute, answer: StreamAnswer) {
    this.#exchange = exchange;
    this.#outbox = new Outbox(exchange);
    this.#route = route;
    this.#answer = answer;
  }

  start(): void {
    if (!this.#exchange.started) start(this.#exchange, this.#answer, "application/json; charset=utf-8");
  }

  write(payload: Payload): Promise<void> | undefined {
    this.start();
    const piece = `${this.#separator}${jsonOf(payload, this.#route)}`;
    this.#separator = ",\n";
    return put(this.#outbox, piece);
  }

  end(): void {
    this.start();
    this.#outbox.text(this.#separator === "[" ? "[]" : "]");
    this.#outbox.end();
  }

  fail(error: RpcError): void {
    const last = `${this.#separator}{"error":${statusJson(error, this.#answer.id)}}\n`;
    this.#outbox.text(last);
    this.#outbox.end();
  }
}

/**
 * Server-sent events: `id` is the message's cursor and `event` its kind, where it has them. The last one is `end` or `error`.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
class EventWriter implements StreamWriter {
  readonly heartbeat = ":\n\n";
  readonly #exchange: Exchange;
  readonly #outbox: Outbox;
  readonly #route: HttpRoute;
  readonly #answer: StreamAnswer;
  readonly #cursor: DescField | undefined;
  readonly #event: DescField | undefined;

  constructor(exchange: Exchange, route: HttpRoute, answer: StreamAnswer) {
    this.#exchange = exchange;
    this.#outbox = new Outbox(exchange);
    this.#route = route;
    this.#answer = answer;
    const { cursor, event } = streamFields(route.method.output.desc);
    this.#cursor = cursor;
    this.#event = event;
  }

  start(): void {
    if (this.#exchange.started) return;
    start(this.#exchange, this.#answer, "text/event-stream; charset=utf-8");
    this.#outbox.text(`retry: ${retryMs}\n\n`);
    void this.#outbox.added()?.catch(gone);
  }

  write(payload: Payload): Promise<void> | undefined {
    this.start();
    const fields = this.#named(payload, this.#cursor, "id") + this.#named(payload, this.#event, "event");
    const event = `${fields}data: ${jsonOf(payload, this.#route)}\n\n`;
    const { maxEventBytes } = this.#answer;
    if (isWithin(event, maxEventBytes)) return put(this.#outbox, event);
    const error = eventTooLarge(maxEventBytes);
    this.#answer.call.cancel(error);
    throw error;
  }

  end(): void {
    this.start();
    this.#outbox.text(`id: ${endedId}\nevent: end\ndata: {}\n\n`);
    this.#outbox.end();
  }

  /** Who may come again keeps its place; for everybody else the stream is over. */
  fail(error: RpcError): void {
    const again = error.code === "unavailable" || error.code === "deadline_exceeded";
    const id = again ? "" : `id: ${endedId}\n`;
    this.#outbox.text(`${id}event: error\ndata: ${statusJson(error, this.#answer.id)}\n\n`);
    this.#outbox.end();
  }

  /** A line break would end the field, NUL makes clients ignore an id: neither belongs into either. */
  #named(payload: Payload, field: DescField | undefined, name: string): string {
    if (field === undefined) return "";
    const value = (payload.message() as unknown as Record<string, unknown>)[field.localName];
    if (typeof value !== "string" || value === "" || /[\r\n\0]/.test(value)) return "";
    return `${name}: ${value}\n`;
  }
}
