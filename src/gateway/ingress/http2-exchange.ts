/** An exchange over HTTP/2, on node:http2's stream API. */
import type {
  IncomingHttpHeaders,
  OutgoingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";
import { clientGone } from "#rpc/call.ts";
import type { RpcError } from "#rpc/error.ts";
import type { Peer } from "#rpc/peer.ts";
import { bodyTooLarge, bodyTooSlow, saysTooLarge, waitsForContinue } from "./body-limit.ts";
import { type BodyOwner, readChunks, WholeBody } from "./body-reader.ts";
import {
  addCommon,
  type BodyListener,
  type Exchange,
  type RequestHeaders,
  type ResponseHeaders,
  type ServerAbout,
} from "./exchange.ts";
import { Room } from "./room.ts";
import { type Guarded, type Watched, watchedOf } from "./session-guard.ts";
import { readerStalled } from "./stalled.ts";
import { certificatesOf } from "./tls.ts";

/** RFC 9113 section 7. */
const noError = 0;

/**
 * A stream's exchange, so that its listeners are shared functions: none is made per call, and a stream that node holds on
 * to after its end holds nothing of the call. 24,000 calls a second make 3 KB less garbage each.
 */
const owner = Symbol("exchange");
type Owned = ServerHttp2Stream & { [owner]: Http2Exchange };

function onStreamClose(this: Owned): void {
  this[owner].closed();
}

function onStreamAborted(this: Owned): void {
  this[owner].aborted();
}

function onWantTrailers(this: Owned): void {
  this[owner].sendTrailers();
}

function onBodyData(this: Owned, chunk: Buffer): void {
  this[owner].take(chunk);
}

function onDroppedData(this: Owned, chunk: Buffer): void {
  this[owner].drop(chunk);
}

function onBodyEnd(this: Owned): void {
  this[owner].bodyEnded();
}

/** Resets surface as errors too; whoever waits hears of them through "close". */
function swallow(): void {}

const peerOf = Symbol("peer");

function peerOfSocket(session: ServerHttp2Session): Peer {
  const { socket } = session;
  const peer = { address: socket.remoteAddress ?? "", port: socket.remotePort ?? 0 };
  const certificates = session.encrypted ? certificatesOf(session.socket as Socket) : undefined;
  return certificates === undefined ? peer : { ...peer, certificates };
}

/** One a connection: the socket of a session is behind a proxy that costs more than the rest of a call's head. */
function sessionPeer(stream: ServerHttp2Stream): Peer {
  const session = stream.session as (ServerHttp2Session & { [peerOf]?: Peer }) | undefined;
  if (session === undefined) return { address: "", port: 0 };
  session[peerOf] ??= peerOfSocket(session);
  return session[peerOf];
}

interface Http2Arrival {
  readonly startedAtMs: number;
  /** As proxies in front say; undefined: the connection's. */
  readonly address: string | undefined;
  readonly server: ServerAbout;
}

export class Http2Exchange implements Exchange, Guarded, BodyOwner {
  readonly http = 2;
  common: ResponseHeaders | undefined;
  forwarded = false;
  bytesOut = 0;
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: RequestHeaders;
  readonly hasBody: boolean;
  readonly startedAtMs: number;
  readonly #server: ServerAbout;
  readonly #stream: ServerHttp2Stream;
  readonly #watched: Watched | undefined;
  /** As proxies in front say. */
  readonly #address: string | undefined;
  #trailers: ResponseHeaders | undefined;
  #body: WholeBody | undefined;
  #abort: (() => void) | undefined;
  #stalled: ((error: RpcError) => void) | undefined;
  #room: Room | undefined;
  /** The answer ends with trailers, which node:http2 asks for after the last byte of the body. */
  #trailing = false;
  #bytesOfPieces = 0;

  constructor(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    { startedAtMs, address, server }: Http2Arrival,
  ) {
    this.#server = server;
    this.#stream = stream;
    this.#address = address;
    this.headers = headers;
    this.startedAtMs = startedAtMs;
    this.method = headers[":method"] ?? "GET";
    const target = headers[":path"] ?? "/";
    const mark = target.indexOf("?");
    this.path = mark === -1 ? target : target.slice(0, mark);
    this.query = mark === -1 ? "" : target.slice(mark + 1);
    this.hasBody = !stream.endAfterHeaders;
    this.#watched = watchedOf(stream.session);
    this.#watched?.opened(this);
    (stream as Owned)[owner] = this;
    stream.on("error", swallow);
    stream.on("close", onStreamClose);
  }

  get peer(): Peer {
    const peer = sessionPeer(this.#stream);
    return this.#address === undefined ? peer : { ...peer, address: this.#address, port: 0 };
  }

  get bytesIn(): number {
    return this.#body === undefined ? this.#bytesOfPieces : this.#body.size;
  }

  get started(): boolean {
    return this.#stream.headersSent;
  }

  readBody(maxBytes: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.collectBody(maxBytes, (error, body) => (error === undefined ? resolve(body) : reject(error)));
    });
  }

  collectBody(maxBytes: number, done: BodyListener): void {
    const stream = this.#stream;
    const body = new WholeBody(maxBytes, done, this);
    this.#body = body;
    if (stream.destroyed) {
      body.gone();
      return;
    }
    stream.on("data", onBodyData);
    stream.on("end", onBodyEnd);
    if (!waitsForContinue(this.headers)) return;
    if (saysTooLarge(this.headers, maxBytes)) body.fail(bodyTooLarge(maxBytes));
    else this.#askForBody();
  }

  #askForBody(): void {
    if (!this.#stream.headersSent && !this.#stream.destroyed)
      this.#stream.additionalHeaders({ ":status": 100 });
  }

  threw(error: unknown): void {
    this.#server.failed(this, error);
  }

  /** Called by the stream and by timers, as those of bodies are: what is thrown here would be nobody's, and end the process. */
  #run(listener: () => void): void {
    try {
      listener();
    } catch (thrown) {
      this.#server.failed(this, thrown);
    }
  }

  /** From the stream: a piece of the body. */
  take(chunk: Buffer): void {
    this.#watched?.body(chunk.length);
    this.#body?.add(chunk);
  }

  /** From the stream: a piece that nobody reads any more. */
  drop(chunk: Buffer): void {
    this.#watched?.body(chunk.length);
  }

  get collecting(): boolean {
    return this.#body?.ended === false;
  }

  get waitingBytes(): number {
    return this.#stream.writableLength;
  }

  giveUp(): void {
    this.#body?.fail(bodyTooSlow());
  }

  /** From the stream: the body is complete. */
  bodyEnded(): void {
    this.#body?.end();
  }

  /** From the stream: it is over, whoever ended it. */
  closed(): void {
    this.#watched?.closed(this);
    const abort = this.#abort;
    this.#abort = undefined;
    this.#stalled = undefined;
    this.#body?.gone();
    if (abort !== undefined && this.#gone()) this.#run(abort);
  }

  /** From the stream: reset before the answer was whole. Comes long before "close" where a body was left unread. */
  aborted(): void {
    const abort = this.#abort;
    this.#abort = undefined;
    if (abort !== undefined) this.#run(abort);
  }

  /** From the stream: everything but the trailers is written. */
  sendTrailers(): void {
    this.#stream.sendTrailers((this.#trailers ?? {}) as OutgoingHttpHeaders);
    this.#trailers = undefined;
  }

  chunks(): AsyncIterable<Uint8Array> {
    if (waitsForContinue(this.headers)) this.#askForBody();
    return readChunks(this.#stream, (chunk) => {
      this.#bytesOfPieces += chunk.length;
      this.#watched?.body(chunk.length);
    });
  }

  #addOwn(headers: ResponseHeaders): void {
    if (this.common !== undefined) addCommon(headers, this.common);
    const { transportSecurity } = this.#server;
    if (transportSecurity !== undefined) headers["strict-transport-security"] = transportSecurity;
  }

  reply(status: number, headers: ResponseHeaders, body: Uint8Array | string | undefined): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    const length = body === undefined ? 0 : typeof body === "string" ? Buffer.byteLength(body) : body.length;
    if (status !== 304 && status !== 204) headers["content-length"] = length;
    this.bytesOut += length;
    headers[":status"] = status;
    this.#addOwn(headers);
    if (body === undefined || this.method === "HEAD" || status === 304)
      stream.respond(headers as OutgoingHttpHeaders, { endStream: true });
    else {
      stream.respond(headers as OutgoingHttpHeaders);
      stream.end(body);
    }
    this.#finishEarly();
  }

  start(status: number, headers: ResponseHeaders, options?: { readonly trailers?: boolean }): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    headers[":status"] = status;
    if (options?.trailers !== true) {
      this.#addOwn(headers);
      stream.respond(headers as OutgoingHttpHeaders);
      return;
    }
    // gRPC's clients are no browsers.
    if (this.common !== undefined) addCommon(headers, this.common);
    this.#trailing = true;
    stream.respond(headers as OutgoingHttpHeaders, { waitForTrailers: true });
    stream.on("wantTrailers", onWantTrailers);
  }

  write(chunk: Uint8Array | string): Promise<void> | undefined {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return Promise.reject(clientGone());
    this.bytesOut += Buffer.byteLength(chunk);
    if (this.method === "HEAD" || stream.write(chunk)) return undefined;
    this.#room ??= new Room();
    return this.#room.wait(stream);
  }

  end(trailers?: ResponseHeaders): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    this.#trailers = trailers;
    stream.end();
    this.#finishEarly();
  }

  endWith(chunk: Uint8Array, trailers?: ResponseHeaders): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    this.#trailers = trailers;
    this.bytesOut += chunk.length;
    stream.end(chunk);
    this.#finishEarly();
  }

  replyHeadersOnly(status: number, headers: ResponseHeaders): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    headers[":status"] = status;
    this.#addOwn(headers);
    stream.respond(headers as OutgoingHttpHeaders, { endStream: true });
    this.#finishEarly();
  }

  reset(code = 8): void {
    if (!this.#stream.destroyed) this.#stream.close(code);
  }

  onAbort(listener: () => void): void {
    if (this.#stream.aborted || this.#stream.destroyed) {
      if (this.#gone()) this.#run(listener);
      return;
    }
    this.#abort = listener;
    this.#stream.on("aborted", onStreamAborted);
  }

  onStalled(listener: (error: RpcError) => void): void {
    this.#stalled = listener;
  }

  tellStalled(): boolean {
    const tell = this.#stalled;
    this.#stalled = undefined;
    const stream = this.#stream;
    if (tell === undefined || !stream.headersSent || stream.writableEnded) return false;
    const error = readerStalled();
    this.#run(() => tell(error));
    this.#room?.fail(error);
    return true;
  }

  /** Over without a whole answer. One without a body ends the writable side without "finish". */
  #gone(): boolean {
    const stream = this.#stream;
    return (
      stream.aborted || (!stream.writableFinished && !(stream.headersSent && stream.rstCode === noError))
    );
  }

  /** A server that is done before its client sends RST_STREAM(NO_ERROR) after the answer (RFC 9113 section 8.1). */
  #finishEarly(): void {
    const stream = this.#stream;
    if (stream.readableEnded || stream.endAfterHeaders) return;
    const stop = (): void => {
      if (!stream.readableEnded && !stream.destroyed) stream.close(noError);
    };
    // What is left of a small body is on its way: give it one turn to arrive.
    if (stream.listenerCount("data") === 0) stream.on("data", onDroppedData);
    stream.resume();
    // "finish" comes before node:http2 asks for the trailers: a reset then would overtake them.
    stream.once(this.#trailing ? "wantTrailers" : "finish", () => setImmediate(stop));
  }
}
