/** An exchange over HTTP/1, on node:http's request and response. */
import type { ServerResponse } from "node:http";
import { clientGone } from "#rpc/call.ts";
import type { RpcError } from "#rpc/error.ts";
import type { Peer } from "#rpc/peer.ts";
import { bodyTooLarge, saysTooLarge, waitsForContinue } from "./body-limit.ts";
import { type BodyOwner, isFlood, readChunks, WholeBody } from "./body-reader.ts";
import { peerOf } from "./client-headers.ts";
import {
  addCommon,
  type BodyListener,
  type Exchange,
  type RequestHeaders,
  type ResponseHeaders,
  type ServerAbout,
} from "./exchange.ts";
import type { Http1Request } from "./http1-request.ts";
import { Room } from "./room.ts";
import { readerStalled, type StalledSockets } from "./stalled.ts";
import { certificatesOf } from "./tls.ts";

interface ServerState extends ServerAbout {
  readonly draining: boolean;
  /** TLS. */
  readonly encrypted: boolean;
  readonly stalled: Pick<StalledSockets, "onStalled">;
}

export class Http1Exchange implements Exchange, BodyOwner {
  readonly http = 1;
  common: ResponseHeaders | undefined;
  forwarded = false;
  bytesOut = 0;
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly startedAtMs: number;
  readonly #request: Http1Request;
  readonly #response: ServerResponse;

  readonly #server: ServerState;
  /** As proxies in front say. */
  readonly #address: string | undefined;
  #room: Room | undefined;
  #body: WholeBody | undefined;
  #bytesOfPieces = 0;

  /** @param startedAtMs see `Exchange`. @param address as proxies in front say; undefined: the connection's. */
  constructor(
    request: Http1Request,
    response: ServerResponse,
    startedAtMs: number,
    server: ServerState,
    address: string | undefined,
  ) {
    this.#address = address;
    this.#server = server;
    this.#request = request;
    this.#response = response;
    this.startedAtMs = startedAtMs;
    this.method = request.method ?? "GET";
    const target = request.url ?? "/";
    const mark = target.indexOf("?");
    this.path = mark === -1 ? target : target.slice(0, mark);
    this.query = mark === -1 ? "" : target.slice(mark + 1);
  }

  get headers(): RequestHeaders {
    return this.#request.headers;
  }

  get peer(): Peer {
    const { socket } = this.#request;
    const peer = peerOf(socket, this.#address);
    const certificates = this.#server.encrypted ? certificatesOf(socket) : undefined;
    return certificates === undefined ? peer : { ...peer, certificates };
  }

  get hasBody(): boolean {
    const { headers } = this.#request;
    return headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
  }

  get bytesIn(): number {
    return this.#body === undefined ? this.#bytesOfPieces : this.#body.size;
  }

  get started(): boolean {
    return this.#response.headersSent;
  }

  readBody(maxBytes: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.collectBody(maxBytes, (error, body) => (error === undefined ? resolve(body) : reject(error)));
    });
  }

  collectBody(maxBytes: number, done: BodyListener): void {
    if (this.#isAwaited() && saysTooLarge(this.headers, maxBytes)) {
      done(bodyTooLarge(maxBytes), new Uint8Array(0));
      return;
    }
    this.#askForBody();
    this.#body = new WholeBody(maxBytes, done, this);
    this.#request.collect(this.#body);
  }

  threw(error: unknown): void {
    this.#server.failed(this, error);
  }

  /** Without a word node closes the connection behind the answer: whether the body still comes nobody can know. */
  #isAwaited(): boolean {
    return this.#request.httpVersionMinor > 0 && waitsForContinue(this.headers);
  }

  #askForBody(): void {
    if (this.#isAwaited() && !this.#response.headersSent) this.#response.writeContinue();
  }

  chunks(): AsyncIterable<Uint8Array> {
    if (!this.hasBody) return noChunks();
    this.#askForBody();
    this.#countPieces();
    return readChunks(this.#request, (chunk) => {
      this.#bytesOfPieces += chunk.length;
    });
  }

  /** Where they come in: whoever reads gets what came meanwhile as one. */
  #countPieces(): void {
    const request = this.#request;
    const push = request.push.bind(request);
    let pieces = 0;
    let bytes = 0;
    request.push = (piece: Uint8Array | null, encoding?: BufferEncoding) => {
      pieces += 1;
      bytes += piece?.length ?? 0;
      if (isFlood(pieces, bytes)) this.reset();
      return push(piece, encoding);
    };
  }

  /** A request that began before the drain is answered in it: the client has to hear that this was the connection's last. */
  #writeHead(status: number, headers: ResponseHeaders): void {
    // Nor has what is not read to its end a request behind it.
    if (this.#server.draining || this.#body?.isFlood === true) this.#response.shouldKeepAlive = false;
    if (this.common !== undefined) addCommon(headers, this.common);
    const { transportSecurity } = this.#server;
    if (transportSecurity !== undefined) headers["strict-transport-security"] = transportSecurity;
    this.#response.writeHead(status, headers as Record<string, string | number | string[]>);
  }

  reply(status: number, headers: ResponseHeaders, body: Uint8Array | string | undefined): void {
    const response = this.#response;
    if (response.destroyed) return;
    const length = body === undefined ? 0 : typeof body === "string" ? Buffer.byteLength(body) : body.length;
    // RFC 9110 section 8.6: there is none where there is no body, and 304 would have to know that of 200.
    if (status !== 304 && status !== 204) headers["content-length"] = length;
    this.bytesOut += length;
    this.#writeHead(status, headers);
    // HEAD carries the length of the body that GET would have.
    if (body === undefined || this.method === "HEAD" || status === 304) response.end();
    // Text of as many bytes as letters is ASCII: copied as it is instead of being encoded letter by letter.
    else if (typeof body === "string" && length === body.length) response.end(body, "latin1");
    else response.end(body);
  }

  start(status: number, headers: ResponseHeaders): void {
    if (this.#response.destroyed) return;
    this.#writeHead(status, headers);
    this.#response.flushHeaders();
  }

  write(chunk: Uint8Array | string): Promise<void> | undefined {
    const response = this.#response;
    if (response.destroyed) return Promise.reject(clientGone());
    this.bytesOut += Buffer.byteLength(chunk);
    if (this.method === "HEAD" || response.write(chunk)) return undefined;
    this.#room ??= new Room();
    return this.#room.wait(response);
  }

  end(): void {
    if (!this.#response.destroyed) this.#response.end();
  }

  endWith(chunk: Uint8Array): void {
    this.bytesOut += chunk.length;
    if (!this.#response.destroyed) this.#response.end(this.method === "HEAD" ? undefined : chunk);
  }

  replyHeadersOnly(status: number, headers: ResponseHeaders): void {
    this.reply(status, headers, undefined);
  }

  reset(): void {
    this.#request.socket.destroy();
  }

  onAbort(listener: () => void): void {
    const response = this.#response;
    if (response.closed && !response.writableFinished) {
      this.#tell(listener);
      return;
    }
    response.once("close", () => {
      if (!response.writableFinished) this.#tell(listener);
    });
  }

  /** Called by the socket and by timers: what is thrown here would be nobody's, and end the process. */
  #tell(listener: () => void): void {
    try {
      listener();
    } catch (thrown) {
      this.#server.failed(this, thrown);
    }
  }

  onStalled(listener: (error: RpcError) => void): void {
    const response = this.#response;
    this.#server.stalled.onStalled(this.#request.socket, () => {
      if (!response.headersSent || response.writableEnded) return false;
      const error = readerStalled();
      this.#tell(() => listener(error));
      this.#room?.fail(error);
      return true;
    });
  }
}

/** Node has closed the stream of a request without a body before anybody looks. */
async function* noChunks(): AsyncGenerator<Uint8Array> {}
