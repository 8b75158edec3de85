/**
 * Sockets to exchanges: port 8000 for HTTP/1 and clear-text HTTP/2, port 50051 for HTTP/2 alone. Here both ports are put
 * together, opened and drained; what comes in over them is `requests.ts`' and `upgrades.ts`' business.
 */
import type { Server } from "node:http";
import type { Http2Server } from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Refusal as RefusedRequest } from "#rpc/refusal.ts";
import { classify } from "./classify.ts";
import { Proxies, type ProxyOptions } from "./client-headers.ts";
import { Connections } from "./connections.ts";
import { Cors, type CorsOptions } from "./cors.ts";
import { createHttp1 } from "./http1-server.ts";
import { createHttp2 } from "./http2-server.ts";
import { defaultLimits, type ListenerLimits } from "./limits.ts";
import { listenOn, stopAccepting } from "./ports.ts";
import { Requests, type Serving } from "./requests.ts";
import { SessionGuard } from "./session-guard.ts";
import { Sessions } from "./sessions.ts";
import { StalledSockets } from "./stalled.ts";
import { Tls, type TlsFiles, transportSecurityFor } from "./tls.ts";
import { Upgrades } from "./upgrades.ts";

export interface ListenerOptions extends Serving {
  readonly host: string;
  /** 0 takes any free port. */
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly limits?: Partial<ListenerLimits>;
  /** Whose pages may call; absent: nobody's but our own. */
  readonly cors?: CorsOptions;
  /** Open connections on both ports together; one more is closed at once. Default: `connectionCap()`. */
  readonly maxConnections?: number | undefined;
  /** Files that are kept back from connections. Default 32. */
  readonly reservedFiles?: number | undefined;
  /** Work was turned away that is no call yet: `shed` because there is too much, `limited` because its sender sends too much. */
  readonly turned?: { shed(what: "connection"): void; limited(what: "connection"): void };
  /** Whether other processes may listen on the same ports (SO_REUSEPORT). Default false. */
  readonly reusePort?: boolean;
  /** Whose word about the client's address counts; absent: nobody's. */
  readonly proxies?: ProxyOptions;
  /** Both ports speak TLS; absent: neither does. */
  readonly tls?: TlsFiles;
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

export async function listen(options: ListenerOptions): Promise<Listener> {
  const listener = new TwoPorts(options, { ...defaultLimits, ...options.limits });
  await listener.open();
  return listener;
}

class TwoPorts implements Listener {
  readonly #options: ListenerOptions;
  readonly #limits: ListenerLimits;
  readonly #tls: Tls | undefined;
  readonly #connections: Connections;
  readonly #sessions: Sessions;
  readonly #requests: Requests;
  readonly #http1: Server;
  /** gRPC's own port; hands its sessions to `#sessions` too, so both ports have one set of them. */
  readonly #grpc: Http2Server;
  /** Remembered: a server that accepts no more has none, and answers name them until the last call. */
  #ports = { http: 0, grpc: 0 };

  constructor(options: ListenerOptions, limits: ListenerLimits) {
    const { adapters, clock, turned } = options;
    this.#options = options;
    this.#limits = limits;
    this.#tls = options.tls === undefined ? undefined : new Tls(options.tls);
    const stalled = new StalledSockets(limits.stalledTimeoutMs, clock);
    this.#connections = new Connections({
      ...{ most: options.maxConnections, reservedFiles: options.reservedFiles, stalled, tls: this.#tls },
      shed: () => turned?.shed("connection"),
    });
    this.#sessions = new Sessions(
      new SessionGuard(limits, clock, () => turned?.limited("connection")),
      limits.http2ConnectionWindowBytes,
    );
    const serving = {
      ...{ adapters, clock, limits, stalled, encrypted: this.#tls !== undefined },
      transportSecurity: options.tls && transportSecurityFor(options.tls),
      cors: new Cors(options.cors ?? { origins: [], credentials: false }),
      proxies: new Proxies(options.proxies ?? { trusted: [], hops: 1 }),
      onRefused: (refusal: RefusedRequest): void => options.onRefused?.(refusal),
    };
    this.#requests = new Requests(serving);
    this.#http1 = this.#createHttp1(new Upgrades(serving));
    this.#grpc = this.#createGrpc();
  }

  get draining(): boolean {
    return this.#requests.draining;
  }

  get httpPort(): number {
    return this.#ports.http;
  }

  get grpcPort(): number {
    return this.#ports.grpc;
  }

  get connections(): number {
    return this.#connections.size;
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
    this.#requests.draining = true;
    const closed = Promise.all([stopAccepting(this.#http1), stopAccepting(this.#grpc)]);
    this.#sessions.notice();
    const sockets = this.#options.adapters.webSockets?.drain();
    this.#options.adapters.mcp?.drain();
    await sleep(this.#limits.drainNoticeMs);
    this.#sessions.close();
    this.#http1.closeIdleConnections();
    const grace = setTimeout(() => this.#destroyAll(), this.#limits.drainGraceMs);
    await closed;
    await sockets;
    await this.#connections.lastClosed();
    clearTimeout(grace);
    this.#tls?.close();
  }

  async close(): Promise<void> {
    this.#requests.draining = true;
    const closed = Promise.all([stopAccepting(this.#http1), stopAccepting(this.#grpc)]);
    this.#destroyAll();
    await closed;
    this.#tls?.close();
  }

  #createHttp1(upgrades: Upgrades): Server {
    const limits = this.#limits;
    const http2 = createHttp2({
      ...{ limits, sessions: this.#sessions, requests: this.#requests, idleMs: limits.http2IdleTimeoutMs },
      choose: (exchange) => classify(exchange, this.#options.adapters),
    });
    return createHttp1({
      ...{ limits, tls: this.#tls, connections: this.#connections, requests: this.#requests, upgrades },
      onHttp2: (socket) => void http2.emit("connection", socket),
    });
  }

  #createGrpc(): Http2Server {
    const limits = this.#limits;
    const tls = this.#tls;
    const server = createHttp2({
      ...{
        limits,
        tls,
        sessions: this.#sessions,
        requests: this.#requests,
        idleMs: limits.grpcIdleTimeoutMs,
      },
      choose: () => this.#options.adapters.grpc,
    });
    if (tls === undefined) server.on("connection", (socket: Socket) => this.#connections.track(socket));
    else server.prependListener("secureConnection", (socket: TLSSocket) => this.#connections.admit(socket));
    return server;
  }

  #destroyAll(): void {
    this.#sessions.destroyAll();
    this.#connections.destroyAll();
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
