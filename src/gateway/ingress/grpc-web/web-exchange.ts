/** An exchange that gRPC's adapter takes for HTTP/2 with trailers, and that is a body with its trailers inside. */
import { type RpcError, toRpcError } from "#rpc/error.ts";
import type { Peer } from "#rpc/peer.ts";
import type { BodyListener, Exchange, RequestHeaders, ResponseHeaders } from "../exchange.ts";
import { secure } from "../rest/security-headers.ts";
import { Base64Decoder, Base64Encoder } from "./base64-stream.ts";

/** Flag of the frame that holds the trailers. */
const trailersFlag = 0x80;
/** Room that base64 takes, and line ends inside it. */
const textGrowth = 1.4;
const nothing = new Uint8Array(0);

/** As every answer that a browser may take for something else. */
const { "content-type": _type, "x-request-id": _id, ...ofBrowsers } = secure("", "");

export interface Flavour {
  /** As the answer repeats it. */
  readonly contentType: string;
  /** As gRPC has it. */
  readonly grpcType: string;
  /** Base64. */
  readonly text: boolean;
}

export class WebExchange implements Exchange {
  readonly http = 2;
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: RequestHeaders;
  readonly startedAtMs: number;
  readonly #inner: Exchange;
  readonly #flavour: Flavour;
  readonly #encoder: Base64Encoder | undefined;

  constructor(inner: Exchange, flavour: Flavour) {
    this.#inner = inner;
    this.#flavour = flavour;
    this.#encoder = flavour.text ? new Base64Encoder() : undefined;
    this.method = inner.method;
    this.path = inner.path;
    this.query = inner.query;
    this.startedAtMs = inner.startedAtMs;
    this.headers = { ...inner.headers, "content-type": flavour.grpcType };
  }

  get peer(): Peer {
    return this.#inner.peer;
  }

  get hasBody(): boolean {
    return this.#inner.hasBody;
  }

  get started(): boolean {
    return this.#inner.started;
  }

  get status(): number {
    return this.#inner.status;
  }

  get bytesIn(): number {
    return this.#inner.bytesIn;
  }

  get bytesOut(): number {
    return this.#inner.bytesOut;
  }

  get forwarded(): boolean {
    return this.#inner.forwarded;
  }

  get common(): ResponseHeaders | undefined {
    return this.#inner.common;
  }

  set common(headers: ResponseHeaders | undefined) {
    this.#inner.common = headers;
  }

  async readBody(maxBytes: number): Promise<Uint8Array> {
    return this.#plain(await this.#inner.readBody(this.#room(maxBytes)));
  }

  collectBody(maxBytes: number, done: BodyListener): void {
    this.#inner.collectBody(this.#room(maxBytes), (error, body) => {
      if (error !== undefined) {
        done(error, body);
        return;
      }
      let plain: Uint8Array;
      try {
        plain = this.#plain(body);
      } catch (thrown) {
        // Thrown from here it would be nobody's, and end the process.
        done(toRpcError(thrown), nothing);
        return;
      }
      done(undefined, plain);
    });
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    const decoder = this.#flavour.text ? new Base64Decoder() : undefined;
    for await (const chunk of this.#inner.chunks()) yield decoder === undefined ? chunk : decoder.push(chunk);
    decoder?.end();
  }

  reply(status: number, headers: ResponseHeaders, body: Uint8Array | string | undefined): void {
    this.#inner.reply(status, headers, body);
  }

  start(status: number, headers: ResponseHeaders): void {
    this.#inner.start(status, this.#dressed(headers));
  }

  write(chunk: Uint8Array | string): Promise<void> | undefined {
    return this.#inner.write(this.#encoded(chunk as Uint8Array));
  }

  end(trailers: ResponseHeaders = {}): void {
    this.#inner.endWith(this.#last(trailersFrame(trailers)));
  }

  endWith(chunk: Uint8Array, trailers: ResponseHeaders = {}): void {
    this.#inner.endWith(this.#last(Buffer.concat([chunk, trailersFrame(trailers)])));
  }

  /** Trailers-Only: what is gRPC's of the headers goes where all trailers go, so that clients find it in one place. */
  replyHeadersOnly(status: number, all: ResponseHeaders): void {
    const headers: ResponseHeaders = {};
    const trailers: ResponseHeaders = {};
    for (const [name, value] of Object.entries(all))
      if (name.startsWith("grpc-status") || name === "grpc-message") trailers[name] = value;
      else headers[name] = value;
    this.#inner.reply(status, this.#dressed(headers), this.#last(trailersFrame(trailers)));
  }

  reset(code?: number): void {
    this.#inner.reset(code);
  }

  onAbort(listener: () => void): void {
    this.#inner.onAbort(listener);
  }

  onStalled(listener: (error: RpcError) => void): void {
    this.#inner.onStalled(listener);
  }

  #room(maxBytes: number): number {
    return this.#flavour.text ? Math.ceil(maxBytes * textGrowth) : maxBytes;
  }

  #plain(body: Uint8Array): Uint8Array {
    if (!this.#flavour.text) return body;
    const decoder = new Base64Decoder();
    const plain = decoder.push(body);
    decoder.end();
    return plain;
  }

  #dressed(headers: ResponseHeaders): ResponseHeaders {
    return { ...headers, ...ofBrowsers, "content-type": this.#flavour.contentType };
  }

  #encoded(chunk: Uint8Array): Uint8Array {
    return this.#encoder === undefined ? chunk : this.#encoder.push(chunk);
  }

  #last(chunk: Uint8Array): Uint8Array {
    if (this.#encoder === undefined) return chunk;
    return Buffer.concat([this.#encoder.push(chunk), this.#encoder.end()]);
  }
}

/** `name: value` lines, names in lower case. */
function trailersFrame(trailers: ResponseHeaders): Buffer {
  const lines = Object.entries(trailers).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one) => `${name.toLowerCase()}: ${String(one)}\r\n`),
  );
  const text = Buffer.from(lines.join(""), "latin1");
  const frame = Buffer.allocUnsafe(5 + text.length);
  frame[0] = trailersFlag;
  frame.writeUInt32BE(text.length, 1);
  text.copy(frame, 5);
  return frame;
}
