/**
 * WebSockets: many calls on one at `/ws`, or one call on one at its method's REST path.
 *
 * A browser's page may open one where its origin may call; its credential comes in the first frame, as a header, or as a ticket, never as a
 * token in the URL. All sockets share one timer: it pings, looks at credentials again, and ends who is silent.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6455
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import { RpcError, toRpcError } from "#rpc/error.ts";
import type { Peer } from "#rpc/peer.ts";
import { traceHeadersOf } from "#rpc/refusal.ts";
import type { Clock } from "#std/clock.ts";
import type { RequestHeaders } from "../exchange.ts";
import type { Server as GraphqlServer } from "../graphql/server.ts";
import { graphqlSubprotocol, serveGraphqlSocket } from "../graphql/socket.ts";
import { matchPath } from "../rest/plane-prefix.ts";
import type { RequestHead } from "../rest/read.ts";
import { readerStalled } from "../stalled.ts";
import { ticketed } from "../ticket.ts";
import { closeCodes, shortened } from "./close-codes.ts";
import { brokenFor, closedFor } from "./closed-for.ts";
import { createFrameCodecs, defaultFrameLimits, type FrameCodec, type FrameLimits } from "./frames.ts";
import { Session, type SocketAuthenticator } from "./session.ts";
import { serveSingle } from "./single.ts";
import { takeTurns } from "./turns.ts";

export interface WebSocketOptions {
  /** The runtime of the moment; a call keeps the one it began with. */
  runtime(): Runtime;
  readonly clock: Clock;
  /** Who a credential stands for; absent: nobody asks. */
  readonly authenticator?: SocketAuthenticator;
  readonly limits?: Partial<WebSocketLimits>;
  /** What runs operations on sockets at `/graphql`; absent: there are none. */
  graphql?(): Promise<GraphqlServer>;
}

export interface WebSocketLimits extends FrameLimits {
  /** Sockets at once. Default 20 000. */
  readonly maxSockets: number;
  /** Longest frame, and longest message of several, in bytes. Default 1 MiB. */
  readonly maxFrameBytes: number;
  /** Frames of one message. Default 1000. */
  readonly maxFragments: number;
  /** PING and PONG frames within a time in milliseconds. Defaults 500 and 10 000. */
  readonly maxControlFrames: number;
  readonly controlWindowMs: number;
  /** Names in a call's metadata, and bytes of names and values. Default 100 and 16 KiB, as of headers. */
  readonly maxHeaders: number;
  readonly maxHeaderBytes: number;
  /** What may wait for the client of a socket, in bytes. Default 1 MiB. */
  readonly maxWaitingBytes: number;
  /** How often a socket is pinged, in milliseconds; two pings unanswered end it. Default 15 000. */
  readonly heartbeatMs: number;
  /** Longest silence of a socket that has not said anything yet, in milliseconds. Default 10 000. */
  readonly initMs: number;
  /** How often a socket's credential is looked at again, in milliseconds. Default 4000. */
  readonly checkMs: number;
  /** Drain: how long running calls may go on, and clients take to go, in milliseconds. Default 3000. */
  readonly drainMs: number;
}

export const defaultWebSocketLimits: WebSocketLimits = {
  maxSockets: 20_000,
  maxFrameBytes: 1024 * 1024,
  maxFragments: 1000,
  maxControlFrames: 500,
  controlWindowMs: 10_000,
  maxHeaders: 100,
  maxHeaderBytes: 16 * 1024,
  maxWaitingBytes: 1024 * 1024,
  heartbeatMs: 15_000,
  initMs: 10_000,
  checkMs: 4000,
  drainMs: 3000,
  ...defaultFrameLimits,
};

export interface WebSockets {
  readonly sockets: number;
  /** @returns what is wrong with the request; undefined: the socket is taken care of. */
  upgrade(upgrade: Upgrade): Promise<RpcError | undefined>;
  /** Tells all clients to come again elsewhere, and closes. */
  drain(): Promise<void>;
}

export interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly peer: Peer;
  /** @param tell says, behind what waits, that the client reads nothing. */
  onStalled(tell: () => boolean): void;
}

export function createWebSockets(options: WebSocketOptions): WebSockets {
  return new Server(options);
}

/** Pieces of a frame that may wait for the rest of it: of a 1 MiB frame 64 bytes each, where sockets give 64 KiB. */
const maxBufferedPieces = 16_384;
const tooManyControls = "more PING and PONG frames than a client may send";

/** What the shared timer knows of a socket. */
interface Connection {
  readonly socket: WebSocket;
  /** Tells those who watch why it is closed, where its client is to blame. */
  told(error: RpcError | undefined): void;
  readonly session: Session | undefined;
  readonly openedAt: number;
  unanswered: number;
  /** PING and PONG frames since `controlSince`. */
  controlFrames: number;
  controlSince: number;
  /** PING or PONG frames came when it was no longer open: the library cuts whoever sends more of them at once than it answers. */
  cut: boolean;
}

class Server implements WebSockets {
  readonly #options: WebSocketOptions;
  readonly #limits: WebSocketLimits;
  readonly #json: FrameCodec;
  /** By subprotocol. */
  readonly #codecs: ReadonlyMap<string, FrameCodec>;
  readonly #server: WebSocketServer;
  readonly #connections = new Set<Connection>();
  #timers: readonly NodeJS.Timeout[] = [];
  /** How to tell that a request is no good one for a WebSocket. */
  readonly #refused = new WeakMap<Duplex, (error: RpcError) => void>();
  #draining = false;

  constructor(options: WebSocketOptions) {
    this.#options = options;
    this.#limits = { ...defaultWebSocketLimits, ...options.limits };
    const { json, proto } = createFrameCodecs(this.#limits);
    this.#json = json;
    this.#codecs = new Map([
      ["portico.v1+json", json],
      ["portico.v1+proto", proto],
    ]);
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxPayload: this.#limits.maxFrameBytes,
      // Each fragment is remembered until the last one, and each piece of one until it is whole.
      maxFragments: this.#limits.maxFragments,
      maxBufferedChunks: maxBufferedPieces,
      // What it saves is paid with 300 KB a socket, and it lets a client make us inflate.
      perMessageDeflate: false,
      handleProtocols: (offered, { url = "" }) =>
        [...offered].find((name) =>
          isGraphql(url) ? name === graphqlSubprotocol : this.#codecs.has(name),
        ) ?? false,
    });
    this.#server.on("wsClientError", (error, socket) => this.#refused.get(socket)?.(upgradeInvalid(error)));
  }

  get sockets(): number {
    return this.#connections.size;
  }

  async upgrade(upgrade: Upgrade): Promise<RpcError | undefined> {
    const { request } = upgrade;
    if (this.#draining || this.#connections.size >= this.#limits.maxSockets) return full();
    const target = request.url ?? "/";
    const mark = target.indexOf("?");
    const path = mark === -1 ? target : target.slice(0, mark);
    const { headers, query } = ticketed(request.headers, mark === -1 ? "" : target.slice(mark + 1));
    try {
      if (isGraphql(path) && this.#options.graphql !== undefined) await this.#openGraphql(upgrade, headers);
      else if (path === "/ws") await this.#openSession(upgrade, headers, query);
      else
        await this.#openSingle(upgrade, {
          ...{ method: "GET", path, query, headers, peer: upgrade.peer, hasBody: false },
          startedAtMs: this.#options.clock.monotonic(),
        });
      return undefined;
    } catch (thrown) {
      return toRpcError(thrown);
    }
  }

  async drain(): Promise<void> {
    this.#draining = true;
    const leaving = [...this.#connections].map((connection) => this.#leave(connection));
    await Promise.all(leaving);
    for (const timer of this.#timers) clearInterval(timer);
  }

  /** At a moment of its own each: those who come again do not come all at once. */
  async #leave({ socket, session }: Connection): Promise<void> {
    const until = this.#options.clock.monotonic() + this.#limits.drainMs * (0.3 + Math.random() * 0.7);
    session?.notice("draining", "the server ends soon; connect again");
    while (socket.readyState === socket.OPEN && this.#options.clock.monotonic() < until)
      await new Promise((resolve) => setTimeout(resolve, 20));
    socket.close(closeCodes.restart, "the server restarts; connect again");
    const cut = setTimeout(() => socket.terminate(), 1000);
    await new Promise<void>((resolve) => {
      if (socket.readyState === socket.CLOSED) resolve();
      else socket.once("close", () => resolve());
    });
    clearTimeout(cut);
  }

  async #openSession(upgrade: Upgrade, headers: RequestHeaders, query: string): Promise<void> {
    const { request, peer } = upgrade;
    if (/(^|&)(access_)?token=/.test(query)) throw tokenInUrl();
    const offered = String(request.headers["sec-websocket-protocol"] ?? "")
      .split(/\s*,\s*/)
      .filter(Boolean);
    const known = offered.find((name) => this.#codecs.has(name));
    const codec = this.#codecs.get(known ?? "") ?? this.#json;
    const credential = credentialOf(headers);
    const { heartbeatMs, maxFrameBytes, maxWaitingBytes, maxHeaders, maxHeaderBytes } = this.#limits;
    const { clock, runtime, authenticator } = this.#options;
    await this.#accept(upgrade, (socket) => {
      if (offered.length > 0 && known === undefined) {
        const why = "speak portico.v1+json or portico.v1+proto";
        socket.close(closeCodes.subprotocol, why);
        this.#tellerOf(request, peer)(closedFor(closeCodes.subprotocol, why));
        return;
      }
      const begun = new Session({
        ...{
          socket,
          codec,
          peer,
          clock,
          runtime,
          authenticator,
          heartbeatMs,
          maxFrameBytes,
          maxWaitingBytes,
        },
        ...{ maxHeaders, maxHeaderBytes },
        headers: credential,
        trace: traceHeadersOf(request.headers),
      });
      this.#keep(upgrade, socket, begun);
      upgrade.onStalled(() => tellStalled(socket, (error) => begun.cancelAll(error)));
      begun.begin();
    });
  }

  async #openGraphql(upgrade: Upgrade, headers: RequestHeaders): Promise<void> {
    const server = await this.#options.graphql?.();
    const { clock, runtime } = this.#options;
    const { maxWaitingBytes } = this.#limits;
    await this.#accept(upgrade, (socket) => {
      this.#keep(upgrade, socket, undefined);
      upgrade.onStalled(() => tellStalled(socket));
      if (server !== undefined)
        serveGraphqlSocket(server, {
          ...{ socket, clock, runtime, headers, maxWaitingBytes },
          peer: upgrade.peer,
        });
    });
  }

  /** @throws RpcError as REST does where the path is none. */
  async #openSingle(upgrade: Upgrade, head: RequestHead): Promise<void> {
    const runtime = this.#options.runtime();
    let { match } = matchPath(runtime.catalog, "GET", head.path);
    // Streams that a body begins have no GET.
    if (match.kind === "method_not_allowed") ({ match } = matchPath(runtime.catalog, "POST", head.path));
    if (match.kind !== "found")
      throw new RpcError("not_found", {
        reason: "ROUTE_NOT_FOUND",
        message: `there is no method at ${head.path.slice(0, 200)}; many calls go over /ws`,
      });
    const { target, variables } = match;
    const id = requestIdFrom(head.headers["x-request-id"]);
    const { maxWaitingBytes } = this.#limits;
    await this.#accept(upgrade, (accepted) => {
      this.#keep(upgrade, accepted, undefined);
      const cancel = serveSingle({
        ...{ socket: accepted, head, variables, id, runtime, maxWaitingBytes },
        route: target,
      });
      upgrade.onStalled(() => tellStalled(accepted, cancel));
    });
  }

  /**
   * @param begin listens to the socket before it is read: frames may have come together with the handshake.
   * @throws RpcError UPGRADE_INVALID.
   */
  #accept<T>({ request, socket, head }: Upgrade, begin: (accepted: WebSocket) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#refused.set(socket, reject);
      this.#server.handleUpgrade(request, socket, head, (accepted) => {
        try {
          resolve(begin(accepted));
        } catch (thrown) {
          accepted.terminate();
          reject(thrown);
        }
      });
    });
  }

  #keep({ request, peer }: Upgrade, socket: WebSocket, session: Session | undefined): void {
    const { clock } = this.#options;
    const openedAt = clock.monotonic();
    const told = this.#tellerOf(request, peer);
    const connection: Connection = {
      ...{ socket, session, openedAt, told, unanswered: 0 },
      ...{ controlFrames: 0, controlSince: openedAt, cut: false },
    };
    this.#connections.add(connection);
    takeTurns(socket);
    socket.on("ping", () => this.#onControl(connection));
    socket.on("pong", () => {
      connection.unanswered = 0;
      this.#onControl(connection);
    });
    // Told to the client by the close code.
    socket.on("error", (error) => told(brokenFor(error)));
    socket.on("close", (code) => {
      this.#connections.delete(connection);
      // RFC 6455 section 7.4.1: without a close frame of either side.
      if (connection.cut && code === 1006) told(closedFor(closeCodes.policy, tooManyControls));
      if (this.#connections.size > 0) return;
      for (const timer of this.#timers) clearInterval(timer);
      this.#timers = [];
    });
    if (this.#timers.length > 0) return;
    const { heartbeatMs, checkMs, initMs } = this.#limits;
    this.#timers = [
      setInterval(() => this.#pingAll(), heartbeatMs).unref(),
      setInterval(() => this.#checkAll(), checkMs).unref(),
      setInterval(() => this.#endSilent(), Math.min(1000, initMs)).unref(),
    ];
  }

  /** What ends a socket is no call's end; who it was is known by the handshake. */
  #tellerOf({ url = "", headers }: IncomingMessage, peer: Peer): (error: RpcError | undefined) => void {
    const { runtime, clock } = this.#options;
    const protocol = isGraphql(url) ? "graphql" : "websocket";
    // The headers themselves would be held for as long as the socket is open.
    const given = headers["x-request-id"];
    const trace = traceHeadersOf(headers);
    return (error) => {
      if (error === undefined) return;
      runtime().refused({
        ...{ id: requestIdFrom(given), protocol, method: undefined, peer, error, trace },
        ...{ startedAtMs: clock.monotonic(), bytesIn: 0, bytesOut: 0 },
      });
    };
  }

  /** Each PING makes us answer, and costs its sender next to nothing. */
  #onControl(connection: Connection): void {
    const now = this.#options.clock.monotonic();
    if (now - connection.controlSince >= this.#limits.controlWindowMs) {
      connection.controlSince = now;
      connection.controlFrames = 0;
    }
    connection.controlFrames += 1;
    const { readyState, OPEN } = connection.socket;
    if (readyState !== OPEN) connection.cut = true;
    if (connection.controlFrames <= this.#limits.maxControlFrames || readyState !== OPEN) return;
    connection.socket.close(closeCodes.policy, tooManyControls);
    connection.told(closedFor(closeCodes.policy, tooManyControls));
    // What is on its way already is not read: the answers would wait for a client that takes none.
    connection.socket.pause();
    setTimeout(() => connection.socket.terminate(), 100).unref();
  }

  #pingAll(): void {
    for (const connection of this.#connections) {
      if (connection.unanswered >= 2) end(connection.socket);
      else {
        connection.unanswered += 1;
        connection.socket.ping();
      }
    }
  }

  #checkAll(): void {
    for (const { session } of this.#connections) void session?.checkAgain();
  }

  #endSilent(): void {
    const now = this.#options.clock.monotonic();
    for (const { socket, session, openedAt, told } of this.#connections) {
      if (session?.spoke !== false || now - openedAt < this.#limits.initMs) continue;
      if (socket.readyState !== socket.OPEN) continue;
      const why = "the first frame did not come in time";
      socket.close(closeCodes.initTimeout, why);
      told(closedFor(closeCodes.initTimeout, why));
    }
  }
}

/** Of a socket whose client answers nothing. One that is behind with reading may still come to the reason. */
function end(socket: WebSocket): void {
  if (socket.readyState !== socket.OPEN || socket.bufferedAmount === 0) {
    socket.terminate();
    return;
  }
  socket.close(closeCodes.lagging, "nothing was read for two heartbeats");
  setTimeout(() => socket.terminate(), 1000).unref();
}

/** @param cancel what runs for it; absent: that ends with the socket. @returns whether the client will come to the reason if it reads on. */
function tellStalled(socket: WebSocket, cancel?: (error: RpcError) => void): boolean {
  if (socket.readyState !== socket.OPEN) return false;
  const error = readerStalled();
  socket.close(closeCodes.lagging, shortened(error.message));
  cancel?.(error);
  return true;
}

function isGraphql(target: string): boolean {
  return /^\/graphql(\?|$)/.test(target);
}

function credentialOf(headers: RequestHeaders): Record<string, string> {
  const credential: Record<string, string> = {};
  for (const name of ["authorization", "x-api-key"])
    if (headers[name] !== undefined) credential[name] = String(headers[name]);
  return credential;
}

function full(): RpcError {
  return new RpcError("unavailable", {
    reason: "SOCKETS_LIMITED",
    message: "no more WebSockets are taken here now; try again soon",
  });
}

function upgradeInvalid(error: Error): RpcError {
  return new RpcError("invalid_argument", {
    reason: "UPGRADE_INVALID",
    message: `the request is no WebSocket handshake: ${error.message} (RFC 6455 section 4.2.1)`,
  });
}

function tokenInUrl(): RpcError {
  return new RpcError("invalid_argument", {
    reason: "CREDENTIAL_IN_URL",
    message:
      "credentials are not taken from the URL, which logs keep: send the token in the first frame, or a ticket; and replace this one",
  });
}
