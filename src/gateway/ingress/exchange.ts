/**
 * One HTTP request and its answer, over HTTP/1 or HTTP/2: the narrow interface every protocol is written against, so
 * that another HTTP implementation can take its place without touching an adapter.
 *
 * Head in, chunks in, head out, chunks out, trailers out, reset. Nothing here knows a protocol.
 */
import type { RpcError } from "#rpc/error.ts";
import type { Peer } from "#rpc/peer.ts";

/** Request headers as Node gives them: lower-case names, repeated ones joined or listed. */
export type RequestHeaders = Readonly<Record<string, string | string[] | undefined>>;
/** Response headers: lower-case names; a list is sent as repeated lines. */
export type ResponseHeaders = Record<string, string | number | readonly string[]>;

export type BodyListener = (error: RpcError | undefined, body: Uint8Array) => void;

export interface Exchange {
  readonly http: 1 | 2;
  readonly method: string;
  /** Raw path as sent, percent-encoding kept, without the query. */
  readonly path: string;
  /** Raw query without `?`; empty when there is none. */
  readonly query: string;
  readonly headers: RequestHeaders;
  readonly peer: Peer;
  /** Clock reading in milliseconds (monotonic) when the head had arrived. */
  readonly startedAtMs: number;

  /**
   * The whole body. Stops at the limit, drops the rest.
   * @throws RpcError `resource_exhausted` PAYLOAD_TOO_LARGE; `canceled` when the client goes away.
   */
  readBody(maxBytes: number): Promise<Uint8Array>;
  /** The same without a promise, for the unary fast path: `done` runs once, with the error or with the whole body. One that throws has its exchange reset. */
  collectBody(maxBytes: number, done: BodyListener): void;
  /** The body piece by piece, pulled: the socket is paused between pulls. Use this or `readBody`, once. */
  chunks(): AsyncIterable<Uint8Array>;
  /** Whether the request can have a body at all (HTTP/1: length or chunked; HTTP/2: no END_STREAM on the head). */
  readonly hasBody: boolean;

  /** Status, headers and the whole body in one go: the fast path of unary answers. Adds `content-length`. */
  reply(status: number, headers: ResponseHeaders, body: Uint8Array | string | undefined): void;
  /** Status and headers of a streamed answer. `trailers: true` keeps the stream open for `end(trailers)`. */
  start(status: number, headers: ResponseHeaders, options?: { readonly trailers?: boolean }): void;
  /** One piece of a streamed answer. Resolves when more may be written; rejects when the client is gone. Undefined: go on at once. */
  write(chunk: Uint8Array | string): Promise<void> | undefined;
  /** Ends a started answer; trailers only where `start` announced them (HTTP/2). */
  end(trailers?: ResponseHeaders): void;
  /** The last piece and the end in one step: one write less for an answer of one message. */
  endWith(chunk: Uint8Array, trailers?: ResponseHeaders): void;
  /** HTTP/2: one HEADERS frame with END_STREAM and no body (gRPC's Trailers-Only). HTTP/1: an empty answer. */
  replyHeadersOnly(status: number, headers: ResponseHeaders): void;
  readonly started: boolean;
  /** Bytes of the body so far, as they were on the connection, in each direction. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Whether somebody says that it passes this on of whom the operator says nothing: the peer is then not who asks. */
  readonly forwarded: boolean;
  /** Headers that the answer has besides, whoever gives it. */
  common: ResponseHeaders | undefined;
  /** Cuts the answer so that the client sees it is incomplete (HTTP/1: destroys the socket; HTTP/2: RST_STREAM with `code`). */
  reset(code?: number): void;
  /**
   * Runs once when the client goes away before the answer was complete; at once if it has gone already. One listener: an
   * answer that needs no waiting needs none. One that throws has its exchange reset.
   */
  onAbort(listener: () => void): void;
  /**
   * Runs once when the client has long read nothing of an answer that goes on; who waits for `write` is told the same. The answer may end with
   * what says so: it waits behind the rest, as long again. One listener; an answer without one, or whose listener throws, is cut.
   */
  onStalled(listener: (error: RpcError) => void): void;
}

/** What an exchange has to know of the server it came to. */
export interface ServerAbout {
  /** What answers say to browsers of speaking TLS again; undefined: this is clear text. */
  readonly transportSecurity: string | undefined;
  /** Of those that an exchange calls, one threw: resets the exchange and tells who watches. */
  failed(exchange: Exchange, thrown: unknown): void;
}

/** Adds the headers that an answer has besides; what it varies by is both. */
export function addCommon(headers: ResponseHeaders, common: ResponseHeaders): void {
  const { vary } = headers;
  Object.assign(headers, common);
  if (vary !== undefined && common.vary !== undefined)
    headers.vary = `${String(vary)}, ${String(common.vary)}`;
}

/** What serves the exchanges of one protocol. Never throws and never rejects: it writes every failure itself. */
export interface Adapter {
  handle(exchange: Exchange): void;
}
