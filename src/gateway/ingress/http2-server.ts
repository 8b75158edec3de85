/** A server of HTTP/2, on node:http2: its limits, and whose session is on which socket. */
import { createSecureServer, createServer, type Http2Server } from "node:http2";
import type { Socket } from "node:net";
import type { Adapter, Exchange } from "./exchange.ts";
import type { ListenerLimits } from "./limits.ts";
import type { Requests } from "./requests.ts";
import type { Sessions } from "./sessions.ts";
import type { Tls } from "./tls.ts";

export interface Http2Options {
  readonly limits: ListenerLimits;
  readonly idleMs: number;
  /** For a server that listens itself; absent: it speaks clear text, or is handed sockets. */
  readonly tls?: Tls | undefined;
  readonly sessions: Sessions;
  readonly requests: Requests;
  choose(exchange: Exchange): Adapter;
}

export function createHttp2(options: Http2Options): Http2Server {
  const { limits, tls, sessions, requests, idleMs } = options;
  const settings = settingsOf(limits);
  const server =
    tls === undefined
      ? createServer(settings)
      : (createSecureServer({
          ...settings,
          ...tls.serverOptions(limits.tlsHandshakeTimeoutMs),
        }) as unknown as Http2Server);
  tls?.keepCurrent(server as unknown as Parameters<Tls["keepCurrent"]>[0]);
  // Node makes a socket's session before anybody else hears of either, and does not say which is whose.
  let latest: Socket | undefined;
  if (!requests.encrypted)
    server.prependListener("connection", (socket: Socket) => {
      latest = socket;
    });
  server.on("session", (session) => sessions.add(session, { idleMs, socket: latest }));
  server.on("unknownProtocol", (socket: Socket) => requests.onOtherProtocol(socket));
  server.on("stream", requests.streamsFor(options.choose));
  return server;
}

function settingsOf(limits: ListenerLimits) {
  return {
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
}
