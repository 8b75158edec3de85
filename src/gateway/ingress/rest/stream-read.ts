/**
 * A client's stream over REST: `application/x-ndjson` with a message a line, or one JSON array, taken apart as it comes. Over HTTP/2 a bidi
 * stream may be answered while it is still being sent.
 */
import type { HttpRoute } from "#gateway/catalog/catalog.ts";
import { RpcError } from "#rpc/error.ts";
import { BytesPayload, type Payload } from "#rpc/payload.ts";
import { bodyTooLarge } from "../body-limit.ts";
import type { Exchange } from "../exchange.ts";

const ndjson = /^application\/((x-)?ndjson|jsonl)\s*(;|$)/i;
const json = /^application\/json\s*(;|$)/i;

/** @throws RpcError before the first message where the content type, the path or the query is wrong. */
export function streamedRequests(
  exchange: Exchange,
  route: HttpRoute,
  { query, maxBytes }: { readonly query: string; readonly maxBytes: number },
): AsyncIterable<Payload> {
  const contentType = String(exchange.headers["content-type"] ?? "");
  const lines = ndjson.test(contentType);
  if (!lines && !json.test(contentType))
    throw new RpcError("invalid_argument", {
      reason: "CONTENT_TYPE_UNSUPPORTED",
      message:
        "content-type: this method takes a stream of messages: application/x-ndjson, one a line, or application/json, an array of them",
      metadata: { accepts: "application/x-ndjson, application/json" },
    });
  if (exchange.headers["content-encoding"] !== undefined)
    throw new RpcError("invalid_argument", {
      reason: "ENCODING_UNSUPPORTED",
      message: "content-encoding: a stream of messages is taken uncompressed",
      metadata: { accepts: "identity" },
    });
  if (query !== "" || route.variables.length > 0)
    throw new RpcError("invalid_argument", {
      reason: "FIELD_UNKNOWN",
      message: "a stream of messages has its fields in the messages; leave the query away",
    });
  return messages(exchange, route, lines ? new LineSplitter(maxBytes) : new ArraySplitter(maxBytes));
}

async function* messages(exchange: Exchange, route: HttpRoute, splitter: Splitter): AsyncGenerator<Payload> {
  for await (const chunk of exchange.chunks())
    for (const text of splitter.push(chunk)) yield new BytesPayload(route.method.input, text, "json");
  for (const text of splitter.end()) yield new BytesPayload(route.method.input, text, "json");
}

/** Pieces in, the JSON texts that are complete out. Holds at most one message and one piece. */
export interface Splitter {
  push(chunk: Uint8Array): Iterable<Uint8Array>;
  end(): Iterable<Uint8Array>;
}

const lineFeed = 0x0a;

export class LineSplitter implements Splitter {
  readonly #maxBytes: number;
  #held: Uint8Array[] = [];
  #size = 0;

  /** @param maxBytes of one line. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  *push(chunk: Uint8Array): Generator<Uint8Array> {
    let from = 0;
    for (let at = chunk.indexOf(lineFeed); at !== -1; at = chunk.indexOf(lineFeed, from)) {
      this.#hold(chunk.subarray(from, at));
      from = at + 1;
      yield* this.#take();
    }
    this.#hold(chunk.subarray(from));
  }

  end(): Generator<Uint8Array> {
    return this.#take();
  }

  #hold(piece: Uint8Array): void {
    this.#size += piece.length;
    if (this.#size > this.#maxBytes) throw bodyTooLarge(this.#maxBytes);
    if (piece.length > 0) this.#held.push(piece);
  }

  /** An empty line is nothing. */
  *#take(): Generator<Uint8Array> {
    const line = this.#held.length === 1 ? this.#held[0] : Buffer.concat(this.#held, this.#size);
    this.#held = [];
    this.#size = 0;
    if (line?.some((byte) => !isSpace(byte)) === true) yield line;
  }
}

const [quote, backslash, comma, open, close] = [0x22, 0x5c, 0x2c, 0x5b, 0x5d] as const;
const [openBrace, closeBrace] = [0x7b, 0x7d] as const;

/** The elements of one array. What is inside an element is the codec's to judge; here only strings and brackets are followed. */
export class ArraySplitter implements Splitter {
  readonly #maxBytes: number;
  #element: Uint8Array[] = [];
  #size = 0;
  #state: "before" | "first" | "element" | "next" | "after" = "before";
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** @param maxBytes of one element. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  *push(chunk: Uint8Array): Generator<Uint8Array> {
    let from = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      const byte = chunk[at] ?? 0;
      if (this.#state === "element") {
        if (!this.#isOver(byte)) continue;
        this.#hold(chunk.subarray(from, at));
        yield this.#take();
        this.#state = byte === comma ? "next" : "after";
      } else if (!isSpace(byte)) {
        from = at;
        this.#between(byte);
      }
    }
    if (this.#state === "element") this.#hold(chunk.subarray(from));
  }

  end(): Iterable<Uint8Array> {
    if (this.#state !== "after") throw malformed("the array is not closed");
    return [];
  }

  /** Outside of elements. */
  #between(byte: number): void {
    if (this.#state === "before") {
      if (byte !== open) throw malformed("the body has to be an array of messages");
      this.#state = "first";
    } else if (this.#state === "first" && byte === close) this.#state = "after";
    else if (this.#state === "after") throw malformed("something follows the array");
    else if (byte === comma || byte === close) throw malformed("an element is missing");
    else {
      this.#state = "element";
      this.#isOver(byte);
    }
  }

  /** Whether this byte of an element is the first behind it. */
  #isOver(byte: number): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (byte === backslash) this.#escaped = true;
      else if (byte === quote) this.#inString = false;
      return false;
    }
    if (byte === quote) this.#inString = true;
    else if (byte === open || byte === openBrace) this.#depth += 1;
    else if (this.#depth === 0) return byte === comma || byte === close;
    else if (byte === close || byte === closeBrace) this.#depth -= 1;
    return false;
  }

  #hold(piece: Uint8Array): void {
    this.#size += piece.length;
    if (this.#size > this.#maxBytes) throw bodyTooLarge(this.#maxBytes);
    this.#element.push(piece);
  }

  #take(): Uint8Array {
    const element = Buffer.concat(this.#element, this.#size);
    this.#element = [];
    this.#size = 0;
    return element;
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === lineFeed || byte === 0x0d || byte === 0x09;
}

function malformed(message: string): RpcError {
  return new RpcError("invalid_argument", { reason: "MESSAGE_MALFORMED", message });
}
