/**
 * Sockets to exchanges: port 8000 for HTTP/1 and clear-text HTTP/2, port 50051 for HTTP/2 alone.
 *
 * The clear-text port tells the two apart by the first bytes of a connection. Its http.Server listens itself, so that its
 * own header and request timeouts stay in force; only its connection listener is taken off and called after the look.
 */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import {
  createServer as createHttp2Server,
  createSecureServer,
  type Http2Server,
  type ServerHttp2Session,
} from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, Server as NetServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import { httpStatusOf } from "#rpc/code.ts";
import type { Peer } from "#rpc/peer.ts";
import type { Refusal as RefusedRequest } from "#rpc/refusal.ts";
import type { Clock } from "#std/clock.ts";
import { type Adapters, classify, protocolOf } from "./classify.ts";
import { dropClaims, Proxies, type ProxyOptions } from "./client-headers.ts";
import { refuseExchange } from "./close.ts";
import { connectionCap } from "./connection-cap.ts";
import { Cors, type CorsOptions } from "./cors.ts";
import type { Adapter, Exchange } from "./exchange.ts";
import { Http1Exchange } from "./http1-exchange.ts";
import { Http2Exchange } from "./http2-exchange.ts";
import { defaultLimits, type ListenerLimits } from "./limits.ts";
import { sendNotice } from "./notice.ts";
import { joinCredentials, type Refusal, refuseFields, refuseHttp1, refuseUrl } from "./precheck.ts";
import { type ParseError, refuseRaw, refuseSocket, replyRefusal } from "./refusals.ts";
import { SessionGuard } from "./session-guard.ts";
import { StalledSockets } from "./stalled.ts";
import { certificatesOf, Tls, type TlsFiles } from "./tls.ts";
import type { Upgrade } from "./websocket/websocket.ts";

export interface ListenerOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly adapters: Adapters;
  readonly clock: Clock;
  readonly limits?: Partial<ListenerLimits>;
  /** Whose pages may call; absent: nobody's but our own. */
  readonly cors?: CorsOptions;
  /** Open connections on both ports together; one more is closed at once. Default: `connectionCap()`. */
  readonly maxConnections?: number | undefined;
  /** Work was turned away that is no call yet: `shed` because there is too much, `limited` because its sender sends too much. */
  readonly turned?: { shed(what: "connection"): void; limited(what: "connection"): void };
  /** Whether other processes may listen on the same ports (SO_REUSEPORT). Default false. */
  readonly reusePort?: boolean;
  /** Whose word about the client's address counts; absent: nobody's. */
  readonly proxies?: ProxyOptions;
  /** Both ports speak TLS; absent: neither does. */
  readonly tls?: TlsFiles;
  /** Hears of requests that no protocol was given. */
  onRefused?(refusal: RefusedRequest): void;
}

export interface Listener {
  readonly httpPort: number;
  readonly grpcPort: number;
  /** True from the first step of the drain: `/readyz` turns red. */
  readonly draining: boolean;
  /** Open connections on both ports. */
  readonly connections: number;
  /**
   * Ends without dropping calls: stop accepting, tell clients to go (GOAWAY, `Connection: close`), wait for the news to
   * spread, refuse new streams, wait for running ones, close. Bounded by `drainNoticeMs` + `drainGraceMs`.
   */
  drain(): Promise<void>;
  /** Ends at once. */
  close(): Promise<void>;
}

/** Of a connection of HTTP/1: the answer to what came last. On the socket itself: a map from sockets costs every request a hash. */
const latest = Symbol("latest");
type Answering = Socket & { [latest]?: ServerResponse };
/** Node's own mark, which its types do not have. */
interface LastOnConnection extends ServerResponse {
  readonly maxRequestsOnConnectionReached?: boolean;
}

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
/** What begins with its first line means HTTP/2, and hears in HTTP/2 what is wrong with the rest. */
const prefaceLine = 16;
/** Connections that wait to be taken, where the system allows it: one more is dropped, and its client tries again in 1 s, then 3, 7 and 15. */
const backlog = 4096;
export async function listen(options: ListenerOptions): Promise<Listener> {
  const listener = new TwoPorts(options, { ...defaultLimits, ...options.limits });
  await listener.open();
  return listener;
}

class TwoPorts implements Listener {
  readonly #options: ListenerOptions;
  readonly #limits: ListenerLimits;
  readonly #http1: Server;
  readonly #http2: Http2Server;
  /** gRPC's own port; hands its sockets to `#http2` too, so both ports have one set of sessions. */
  readonly #grpc: Http2Server;
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();
  /** In clear text; over TLS there are none. */
  readonly #socketOf = new WeakMap<ServerHttp2Session, Socket>();
  readonly #tls: Tls | undefined;
  readonly #cors: Cors;
  readonly #maxConnections: number;
  readonly #proxies: Proxies;
  readonly #guard: SessionGuard;
  readonly stalled: StalledSockets;
  /** Remembered: a server that accepts no more has none, and answers name them until the last call. */
  #ports = { http: 0, grpc: 0 };
  draining = false;

  constructor(options: ListenerOptions, limits: ListenerLimits) {
    this.#options = options;
    this.#limits = limits;
    this.#maxConnections = connectionCap(options.maxConnections);
    this.#guard = new SessionGuard(limits, options.clock, () => options.turned?.limited("connection"));
    this.stalled = new StalledSockets(limits.stalledTimeoutMs, options.clock);
    this.#cors = new Cors(options.cors ?? { origins: [], credentials: false });
    this.#proxies = new Proxies(options.proxies ?? { trusted: [], hops: 1 });
    this.#tls = options.tls === undefined ? undefined : new Tls(options.tls);
    this.#http1 = this.#makeHttp1();
    this.#http2 = this.#makeHttp2((exchange) => classify(exchange, options.adapters), {
      idleMs: limits.http2IdleTimeoutMs,
    });
    this.#grpc = this.#makeHttp2(() => options.adapters.grpc, {
      idleMs: limits.grpcIdleTimeoutMs,
      tls: this.#tls,
    });
    if (this.#tls === undefined) this.#grpc.on("connection", (socket: Socket) => this.#track(socket));
    else this.#grpc.prependListener("secureConnection", (socket: TLSSocket) => this.#admit(socket));
  }

  get encrypted(): boolean {
    return this.#tls !== undefined;
  }

  get httpPort(): number {
    return this.#ports.http;
  }

  get grpcPort(): number {
    return this.#ports.grpc;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  async open(): Promise<void> {
    const { host, httpPort, grpcPort, reusePort = false } = this.#options;
    const http = await listenOn(this.#http1, { host, port: httpPort, reusePort });
    try {
      this.#ports = { http, grpc: await listenOn(this.#grpc, { host, port: grpcPort, reusePort }) };
    } catch (error) {
      this.#http1.close();
      throw error;
    }
  }

  async drain(): Promise<void> {
    if (this.draining) return;
    this.draining = true;
    const closed = Promise.all([stopAccepting(this.#http1), stopAccepting(this.#grpc)]);
    for (const session of this.#sessions) sendNotice(session, this.#socketOf.get(session));
    const sockets = this.#options.adapters.webSockets?.drain();
    this.#options.adapters.mcp?.drain();
    await sleep(this.#limits.drainNoticeMs);
    for (const session of this.#sessions) session.close();
    this.#http1.closeIdleConnections();
    const grace = setTimeout(() => this.#destroyAll(), this.#limits.drainGraceMs);
    await closed;
    await sockets;
    await this.#lastSocket();
    clearTimeout(grace);
    this.#tls?.close();
  }

  async close(): Promise<void> {
    this.draining = true;
    const closed = Promise.all([stopAccepting(this.#http1), stopAccepting(this.#grpc)]);
    this.#destroyAll();
    await closed;
    this.#tls?.close();
  }

  #makeHttp1(): Server {
    const limits = this.#limits;
    const options = {
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: limits.keepAliveMs,
      // Node's own is 30 s: a header timeout of 10 s would come after 40.
      connectionsCheckingInterval: Math.min(1000, limits.headersTimeoutMs, limits.requestTimeoutMs),
      maxHeaderSize: limits.maxHeaderBytes,
      // Checked here with a clear answer: node cuts a header list silently at its own limit, so that stays just above.
      requireHostHeader: false,
      rejectNonStandardBodyWrites: false,
      // RFC 9110 section 7.8: others (h2c) are answered in the protocol that they came in.
      shouldUpgradeCallback: (request: IncomingMessage) =>
        this.#options.adapters.webSockets !== undefined &&
        request.headers.upgrade?.toLowerCase() === "websocket",
    };
    const serve = (request: IncomingMessage, response: ServerResponse): void =>
      this.#onHttp1(request, response);
    const tls = this.#tls;
    const server =
      tls === undefined
        ? createServer(options, serve)
        : createHttpsServer({ ...options, ...tls.serverOptions(), ALPNProtocols: ["h2", "http/1.1"] }, serve);
    // RFC 9110 section 10.1.1 leaves it to us what to do with what nobody knows; node would answer without our headers.
    server.on("checkExpectation", serve);
    // Node would ask for a body before anybody had looked at the request; the exchange asks for it when it is to be read.
    server.on("checkContinue", serve);
    // Those behind the connection's last request, which node answers with 503 each, as many as come.
    server.on("dropRequest", (_request, socket: Socket) => socket.pause());
    server.on("upgrade", (request, socket, head) => void this.#onUpgrade(request, socket, head));
    server.maxHeadersCount = limits.maxHeaders + 100;
    server.maxRequestsPerSocket = limits.maxRequestsPerConnection;
    server.on("clientError", (error: ParseError, socket: Socket) => this.#onUnreadable(error, socket));
    const event = tls === undefined ? "connection" : "secureConnection";
    const [accept] = server.listeners(event) as ((socket: Socket) => void)[];
    server.removeAllListeners(event);
    const give = (socket: Socket, isHttp2: boolean): void => {
      if (!isHttp2) {
        accept?.call(server, socket);
        return;
      }
      // An HTTP/1 server's sockets may be half open; HTTP/2 would never hear that such a client is gone.
      socket.allowHalfOpen = false;
      this.#http2.emit("connection", socket);
    };
    if (tls === undefined)
      server.on("connection", (socket: Socket) => {
        if (!this.#track(socket)) return;
        this.#peek(socket, (isHttp2) => give(socket, isHttp2));
      });
    else {
      tls.keepCurrent(server as unknown as Parameters<Tls["keepCurrent"]>[0]);
      server.on("secureConnection", (socket: TLSSocket) => {
        if (this.#admit(socket)) give(socket, socket.alpnProtocol === "h2");
      });
    }
    return server as Server;
  }

  /** False: the client's certificate is not good, and the connection is over. */
  #admit(socket: TLSSocket): boolean {
    if (!this.#track(socket)) return false;
    socket.on("error", swallow);
    if (this.#tls?.accepts(socket) !== false) return true;
    socket.destroy();
    return false;
  }

  /** @param of.tls for a server that listens itself. */
  #makeHttp2(
    choose: (exchange: Exchange) => Adapter,
    of: { readonly idleMs: number; readonly tls?: Tls | undefined },
  ): Http2Server {
    const limits = this.#limits;
    const { tls } = of;
    const options = {
      settings: {
        maxConcurrentStreams: limits.http2MaxStreams,
        initialWindowSize: limits.http2StreamWindowBytes,
        maxHeaderListSize: limits.maxHeaderBytes,
        enablePush: false,
      },
      maxHeaderListPairs: limits.maxHeaders + 28,
      maxSessionMemory: limits.http2MaxSessionMemory,
      maxSessionInvalidFrames: limits.http2MaxInvalidFrames,
      maxSessionRejectedStreams: limits.http2MaxRejectedStreams,
      streamResetBurst: limits.http2ResetBurst,
      streamResetRate: limits.http2ResetsPerSecond,
      unknownProtocolTimeout: limits.http2FirstRequestTimeoutMs,
    };
    const server =
      tls === undefined
        ? createHttp2Server(options)
        : (createSecureServer({ ...options, ...tls.serverOptions() }) as unknown as Http2Server);
    tls?.keepCurrent(server as unknown as Parameters<Tls["keepCurrent"]>[0]);
    // Node makes a socket's session before anybody else hears of either, and does not say which is whose.
    let latest: Socket | undefined;
    if (this.#tls === undefined)
      server.prependListener("connection", (socket: Socket) => {
        latest = socket;
      });
    server.on("session", (session) => this.#onSession(session, { idleMs: of.idleMs, socket: latest }));
    server.on("stream", (stream, headers, _flags, rawHeaders) => {
      joinCredentials(headers, rawHeaders);
      // A session's socket is behind a proxy of node's that costs more than the rest: few requests need it.
      const said = headers["x-forwarded-for"] !== undefined;
      const address = this.#believe(headers, said ? stream.session?.socket : undefined);
      const forwarded = dropClaims(headers);
      const exchange = new Http2Exchange(stream, headers, {
        ...{ startedAtMs: this.#options.clock.monotonic(), address },
      });
      exchange.forwarded = forwarded && address === undefined;
      const refused =
        refuseUrl(headers[":path"] ?? "/", limits) ??
        refuseFields(headers, limits, stream.session?.pendingSettingsAck === true);
      if (refused !== undefined) this.#refuse(exchange, choose(exchange), refused);
      else this.#handle(exchange, choose(exchange));
    });
    return server;
  }

  #onHttp1(request: IncomingMessage, response: ServerResponse): void {
    const startedAtMs = this.#options.clock.monotonic();
    (request.socket as Answering)[latest] = response;
    // Node says `Connection: close` with the last answer that a connection carries, and leaves the closing to the client.
    if ((response as LastOnConnection).maxRequestsOnConnectionReached) response.shouldKeepAlive = false;
    joinCredentials(request.headers, request.rawHeaders);
    const address = this.#believe(request.headers, request.socket);
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

  #onUnreadable(error: ParseError, socket: Socket): void {
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

  async #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const startedAtMs = this.#options.clock.monotonic();
    // Its own errors are those of a client that left.
    socket.on("error", swallow);
    joinCredentials(request.headers, request.rawHeaders);
    const address = this.#believe(request.headers, request.socket);
    dropClaims(request.headers);
    const { url = "", headers } = request;
    const refused =
      refuseHttp1(request, this.#limits) ??
      this.#cors.refuseSocket(headers.origin, headers.host) ??
      (await this.#upgrade({ request, socket, head }, address));
    if (refused === undefined) return;
    const told = refuseSocket(socket, refused, requestIdFrom(headers["x-request-id"]));
    const isGraphql = this.#options.adapters.graphql?.owns(url.split("?", 1)[0] ?? "") === true;
    const protocol = isGraphql ? "graphql" : "websocket";
    const peer = peerOf(request.socket, address);
    this.#options.onRefused?.({ ...told, ...{ method: undefined, protocol, peer, startedAtMs, bytesIn: 0 } });
  }

  /** Where a request came from, if not from where the connection does. */
  #believe(headers: IncomingHttpHeaders, socket: Pick<Socket, "remoteAddress"> | undefined) {
    return headers["x-forwarded-for"] === undefined
      ? undefined
      : this.#proxies.addressOf(headers, socket?.remoteAddress ?? "");
  }

  async #upgrade(
    upgrade: Omit<Upgrade, "peer" | "onStalled">,
    address: string | undefined,
  ): Promise<Refusal | undefined> {
    const { request } = upgrade;
    const { webSockets } = this.#options.adapters;
    if (webSockets === undefined) return undefined;
    const certificates = this.encrypted ? certificatesOf(request.socket) : undefined;
    const peer = {
      ...peerOf(request.socket, address),
      ...(certificates === undefined ? {} : { certificates }),
    };
    const onStalled = (tell: () => boolean): void => this.stalled.onStalled(request.socket, tell);
    const error = await webSockets.upgrade({ ...upgrade, peer, onStalled });
    return error === undefined ? undefined : { status: httpStatusOf(error), error };
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
    const id = replyRefusal(exchange, { status, error });
    const protocol = protocolOf(adapter, this.#options.adapters);
    const refused = (refusal: RefusedRequest): void => this.#options.onRefused?.(refusal);
    refuseExchange({ refused }, exchange, { id, protocol, error });
  }

  #onSession(
    session: ServerHttp2Session,
    { idleMs, socket }: { readonly idleMs: number; readonly socket: Socket | undefined },
  ): void {
    this.#sessions.add(session);
    if (socket !== undefined) this.#socketOf.set(session, socket);
    // Node's own window for a whole connection is that of one stream: uploads side by side would wait for each other.
    session.setLocalWindowSize(this.#limits.http2ConnectionWindowBytes);
    this.#guard.watch(session, { idleMs, notice: () => sendNotice(session, socket) });
    session.on("error", () => session.destroy());
    session.on("close", () => this.#sessions.delete(session));
    if (this.draining) session.close();
  }

  /** False: there are as many connections as the process can carry, and this one is over. */
  #track(socket: Socket): boolean {
    if (this.#sockets.size >= this.#maxConnections) {
      this.#options.turned?.shed("connection");
      socket.destroy();
      return false;
    }
    this.#sockets.add(socket);
    const leave = this.stalled.watch(socket);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      leave();
    });
    return true;
  }

  /** Looks at the first bytes and puts them back. A socket that stays silent is closed. */
  #peek(socket: Socket, found: (isHttp2: boolean) => void): void {
    const drop = (): void => void socket.destroy();
    const timer = setTimeout(drop, this.#limits.headersTimeoutMs);
    socket.on("error", swallow);
    // HTTP/1's sockets may be half open: one whose client has gone without a word would stay until the timer.
    socket.once("end", drop);
    const look = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) {
        if (!socket.destroyed && !socket.readableEnded) socket.once("readable", look);
        return;
      }
      const compared = Math.min(chunk.length, prefaceLine);
      const same = chunk.subarray(0, compared).equals(preface.subarray(0, compared));
      socket.unshift(chunk);
      // "P" alone could still become PUT or PATCH; three bytes decide.
      if (same && compared < 3) {
        setTimeout(look, 10);
        return;
      }
      clearTimeout(timer);
      socket.removeListener("error", swallow);
      socket.removeListener("end", drop);
      found(same);
    };
    socket.once("readable", look);
    socket.once("close", () => clearTimeout(timer));
  }

  #destroyAll(): void {
    for (const session of this.#sessions) session.destroy();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** node:http2's close does not wait for the sockets it was handed. */
  async #lastSocket(): Promise<void> {
    while (this.#sockets.size > 0) {
      const [socket] = this.#sockets;
      await new Promise<void>((resolve) => socket?.once("close", () => resolve()));
    }
  }
}

/** @param address as proxies in front say. */
function peerOf({ remoteAddress = "", remotePort = 0 }: Socket, address: string | undefined): Peer {
  return address === undefined ? { address: remoteAddress, port: remotePort } : { address, port: 0 };
}

/** A reset connection has nobody left to tell. */
function swallow(): void {}

/** @returns the port, which the system chose where 0 was asked for. */
function listenOn(
  server: Server | Http2Server,
  where: { readonly host: string; readonly port: number; readonly reusePort: boolean },
): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ ...where, backlog }, () => {
      server.removeListener("error", reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/** `close` also closes idle HTTP/1 connections, and since Node 24 sessions of HTTP/2; here they first get their chance to hear about it. */
function stopAccepting(server: Server | Http2Server): Promise<void> {
  return new Promise((resolve) => {
    if (!("closeIdleConnections" in server)) {
      NetServer.prototype.close.call(server as unknown as NetServer, () => resolve());
      return;
    }
    server.closeIdleConnections = () => {};
    server.close(() => resolve());
    delete (server as { closeIdleConnections?: unknown }).closeIdleConnections;
  });
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
