/**
 * The server of port 8000, on node:http. Its http.Server listens itself, so that its own header and request timeouts stay in
 * force; only its connection listener is taken off and called once the connection is known to speak HTTP/1.
 */
import type { IncomingMessage, RequestListener, Server, ServerOptions, ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Connections } from "./connections.ts";
import { Http1Request } from "./http1-request.ts";
import { Http1Response } from "./http1-response.ts";
import type { ListenerLimits } from "./limits.ts";
import { createServer } from "./node-http.ts";
import { peek } from "./peek.ts";
import type { ParseError } from "./refusals.ts";
import type { Requests } from "./requests.ts";
import type { Tls } from "./tls.ts";
import type { Upgrades } from "./upgrades.ts";

export interface Http1Options {
  readonly limits: ListenerLimits;
  readonly tls: Tls | undefined;
  readonly connections: Connections;
  readonly requests: Requests;
  readonly upgrades: Upgrades;
  /** Is given the connections that speak HTTP/2. */
  onHttp2(socket: Socket): void;
}

export function createHttp1(options: Http1Options): Server {
  const { limits, tls, requests, upgrades } = options;
  const settings = settingsOf(limits, upgrades);
  // Node makes them of the class that the settings name.
  const serve: RequestListener = (request, response) => requests.onHttp1(request as Http1Request, response);
  const server =
    tls === undefined
      ? createServer(settings, serve)
      : (createHttpsServer(
          { ...settings, ...tls.serverOptions(), ALPNProtocols: ["h2", "http/1.1"] },
          serve,
        ) as unknown as Server);
  // RFC 9110 section 10.1.1 leaves it to us what to do with what nobody knows; node would answer without our headers.
  server.on("checkExpectation", serve);
  // Node would ask for a body before anybody had looked at the request; the exchange asks for it when it is to be read.
  server.on("checkContinue", serve);
  // Those behind the connection's last request, which node answers with 503 each, as many as come.
  server.on("dropRequest", (_request, socket) => socket.pause());
  server.on("upgrade", (request, socket, head) => void upgrades.onUpgrade(request, socket, head));
  server.maxHeadersCount = limits.maxHeaders + 100;
  server.maxRequestsPerSocket = limits.maxRequestsPerConnection;
  server.on("clientError", (error: ParseError, socket: Socket) => requests.onUnreadable(error, socket));
  takeConnections(server, options);
  return server;
}

function settingsOf(limits: ListenerLimits, upgrades: Upgrades): ServerOptions {
  return {
    ServerResponse: Http1Response as unknown as typeof ServerResponse,
    IncomingMessage: Http1Request,
    // A request without a body has no stream to play to its end.
    optimizeEmptyRequests: true,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveMs,
    // Node's own is 30 s: a header timeout of 10 s would come after 40.
    connectionsCheckingInterval: Math.min(
      limits.timeoutCheckMs,
      limits.headersTimeoutMs,
      limits.requestTimeoutMs,
    ),
    maxHeaderSize: limits.maxHeaderBytes,
    // Checked here with a clear answer: node cuts a header list silently at its own limit, so that stays just above.
    requireHostHeader: false,
    rejectNonStandardBodyWrites: false,
    // RFC 9110 section 7.8: others (h2c) are answered in the protocol that they came in.
    shouldUpgradeCallback: (request: IncomingMessage) =>
      upgrades.taken && request.headers.upgrade?.toLowerCase() === "websocket",
  };
}

/** Over TLS the handshake says which HTTP a connection speaks; in clear text its first bytes do. */
function takeConnections(server: Server, { limits, tls, connections, onHttp2 }: Http1Options): void {
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
    onHttp2(socket);
  };
  if (tls === undefined) {
    server.on("connection", (socket: Socket) => {
      if (connections.track(socket))
        peek(socket, limits.headersTimeoutMs, (isHttp2) => give(socket, isHttp2));
    });
    return;
  }
  tls.keepCurrent(server as unknown as Parameters<Tls["keepCurrent"]>[0]);
  server.on("secureConnection", (socket: TLSSocket) => {
    if (connections.admit(socket)) give(socket, socket.alpnProtocol === "h2");
  });
}
