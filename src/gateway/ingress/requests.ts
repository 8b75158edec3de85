/** Node's requests to exchanges: what is wrong with them before any protocol looks is answered here, the rest goes to its adapter. */
import type { ServerResponse } from "node:http";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import { RpcError } from "#rpc/error.ts";
import type { Refusal as RefusedRequest } from "#rpc/refusal.ts";
import type { Clock } from "#std/clock.ts";
import { type Adapters, classify, protocolOf } from "./classify.ts";
import { dropClaims, type Proxies, peerOf } from "./client-headers.ts";
import { refuseExchange } from "./close.ts";
import type { Cors } from "./cors.ts";
import type { Adapter, Exchange, ServerAbout } from "./exchange.ts";
import { Http1Exchange } from "./http1-exchange.ts";
import type { Http1Request } from "./http1-request.ts";
import { Http2Exchange } from "./http2-exchange.ts";
import type { ListenerLimits } from "./limits.ts";
import { joinCredentials, type Refusal, refuseFields, refuseHttp1, refuseUrl } from "./precheck.ts";
import { type ParseError, refuseRaw, replyRefusal } from "./refusals.ts";
import type { StalledSockets } from "./stalled.ts";

/** Who serves requests, and who hears of those that nobody does. */
export interface Serving {
  readonly adapters: Adapters;
  readonly clock: Clock;
  /** Hears of requests that no protocol was given. */
  onRefused?(refusal: RefusedRequest): void;
}

export interface RequestOptions extends Serving {
  readonly limits: ListenerLimits;
  readonly cors: Cors;
  readonly proxies: Proxies;
  readonly stalled: StalledSockets;
  /** See `ServerAbout`: there is one where there is TLS. */
  readonly transportSecurity: string | undefined;
}

/** Of a connection of HTTP/1: the answer to what came last. On the socket itself: a map from sockets costs every request a hash. */
const latest = Symbol("latest");
type Answering = Socket & { [latest]?: ServerResponse };
/** Node's own mark, which its types do not have. */
interface LastOnConnection extends ServerResponse {
  readonly maxRequestsOnConnectionReached?: boolean;
}

/** RFC 9113 section 7: INTERNAL_ERROR. */
const internalError = 2;

type OnStream = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  flags: number,
  rawHeaders: string[],
) => void;

export class Requests {
  readonly #options: RequestOptions;
  readonly #limits: ListenerLimits;
  readonly #cors: Cors;
  readonly #proxies: Proxies;
  readonly stalled: StalledSockets;
  readonly encrypted: boolean;
  readonly transportSecurity: string | undefined;
  /** Set by the listener: answers say that they are their connection's last. */
  draining = false;

  constructor(options: RequestOptions) {
    this.#options = options;
    this.#limits = options.limits;
    this.#cors = options.cors;
    this.#proxies = options.proxies;
    this.stalled = options.stalled;
    this.transportSecurity = options.transportSecurity;
    this.encrypted = options.transportSecurity !== undefined;
  }

  onHttp1(request: Http1Request, response: ServerResponse): void {
    const startedAtMs = this.#options.clock.monotonic();
    (request.socket as Answering)[latest] = response;
    // Node says `Connection: close` with the last answer that a connection carries, and leaves the closing to the client.
    if ((response as LastOnConnection).maxRequestsOnConnectionReached) response.shouldKeepAlive = false;
    joinCredentials(request.headers, request.rawHeaders);
    const address = this.#proxies.addressOf(request.headers, request.socket);
    const forwarded = dropClaims(request.headers);
    const exchange = new Http1Exchange(request, response, startedAtMs, this, address);
    exchange.forwarded = forwarded && address === undefined;
    const refused = refuseHttp1(request, this.#limits);
    const adapter = classify(exchange, this.#options.adapters);
    if (refused === undefined) {
      this.#handle(exchange, adapter);
      return;
    }
    response.shouldKeepAlive = false;
    this.#refuse(exchange, adapter, refused);
  }

  /** What a server of HTTP/2 calls for each stream. */
  streamsFor(choose: (exchange: Exchange) => Adapter): OnStream {
    const limits = this.#limits;
    const server: ServerAbout = {
      transportSecurity: this.transportSecurity,
      failed: (exchange, thrown) => this.#fail(exchange, choose(exchange), thrown),
    };
    return (stream, headers, _flags, rawHeaders) => {
      joinCredentials(headers, rawHeaders);
      // A session's socket is behind a proxy of node's that costs more than the rest: few requests need it.
      const said = headers["x-forwarded-for"] !== undefined;
      const address = said ? this.#proxies.addressOf(headers, stream.session?.socket) : undefined;
      const forwarded = dropClaims(headers);
      const exchange = new Http2Exchange(stream, headers, {
        ...{ startedAtMs: this.#options.clock.monotonic(), address, server },
      });
      exchange.forwarded = forwarded && address === undefined;
      const refused =
        refuseUrl(headers[":path"] ?? "/", limits) ??
        refuseFields(headers, limits, stream.session?.pendingSettingsAck === true);
      if (refused !== undefined) this.#refuse(exchange, choose(exchange), refused);
      else this.#handle(exchange, choose(exchange));
    };
  }

  /** Bytes on a connection of HTTP/1 that are no request. */
  onUnreadable(error: ParseError, socket: Socket): void {
    const answer = (socket as Answering)[latest];
    // The rest of a request that was answered before it was whole: a second answer would be taken for the next one's.
    if (answer !== undefined && !answer.req.complete && answer.headersSent) {
      socket.destroy();
      return;
    }
    // A closed socket has no address any more.
    const peer = peerOf(socket, undefined);
    const refused = refuseRaw(error, socket, { limits: this.#limits, isFirst: answer === undefined });
    if (refused === undefined) return;
    this.#options.onRefused?.({
      ...{ ...refused, method: undefined, protocol: "rest", peer },
      ...{ startedAtMs: this.#options.clock.monotonic(), bytesIn: error.rawPacket?.length ?? 0 },
    });
  }

  /** What is mounted knows its own pages' origins. */
  #handle(exchange: Exchange, adapter: Adapter): void {
    const judged = adapter === this.#options.adapters.mounted ? undefined : this.#cors.judge(exchange);
    if (judged === undefined) adapter.handle(exchange);
    else if ("refused" in judged) this.#refuse(exchange, adapter, judged.refused);
    else if ("preflight" in judged) exchange.replyHeadersOnly(204, judged.preflight);
    else {
      exchange.common = judged.common;
      adapter.handle(exchange);
    }
  }

  /** Answered in its adapter's stead, and told to who watches. */
  #refuse(exchange: Exchange, adapter: Adapter, { status, error }: Refusal): void {
    this.#report(exchange, adapter, { id: replyRefusal(exchange, { status, error }), error });
  }

  /** Of an exchange over HTTP/1: who had its body threw. */
  failed(exchange: Exchange, thrown: unknown): void {
    this.#fail(exchange, classify(exchange, this.#options.adapters), thrown);
  }

  /** What was written of an answer by then cannot be known. */
  #fail(exchange: Exchange, adapter: Adapter, thrown: unknown): void {
    exchange.reset(internalError);
    // Internal even where it has a code of its own: that was for a client who has no answer to read it in.
    const error = new RpcError("internal", { reason: "INTERNAL", message: "internal error", cause: thrown });
    this.#report(exchange, adapter, { id: requestIdFrom(exchange.headers["x-request-id"]), error });
  }

  #report(
    exchange: Exchange,
    adapter: Adapter,
    { id, error }: { readonly id: string; readonly error: RpcError },
  ): void {
    const protocol = protocolOf(adapter, this.#options.adapters);
    const refused = (refusal: RefusedRequest): void => this.#options.onRefused?.(refusal);
    refuseExchange({ refused }, exchange, { id, protocol, error });
  }
}
