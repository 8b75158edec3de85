/** GraphQL on a WebSocket: graphql-transport-ws. @see https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md */
import type { WebSocket } from "ws";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import type { Peer } from "#rpc/peer.ts";
import type { Clock } from "#std/clock.ts";
import { readMetadata } from "../connect/read.ts";
import type { RequestHeaders } from "../exchange.ts";
import type { Engine, SocketContext } from "./engine.ts";
import type { Operation } from "./operation.ts";

export const graphqlSubprotocol = "graphql-transport-ws";

export interface GraphqlSocketOptions {
  readonly socket: WebSocket;
  /** The credential that came with the upgrade. */
  readonly headers: RequestHeaders;
  readonly peer: Peer;
  readonly clock: Clock;
  runtime(): Runtime;
}

/** What is thrown at us is the library's: it closes with the code of its protocol. */
const internalError = 4500;

export function serveGraphqlSocket(engine: Engine, options: GraphqlSocketOptions): void {
  const { socket, headers, clock, runtime } = options;
  const peer = { ...options.peer, connection: socket };
  const operations = new Set<Operation>();
  const context: SocketContext = {
    operations,
    operationOptions: (shown) => ({
      ...{ runtime: runtime(), id: requestIdFrom(undefined), peer, startedAtMs: clock.monotonic() },
      metadata: readMetadata({ ...headers, ...credentialIn(shown) }),
    }),
  };
  const closed = engine.sockets.opened(
    {
      protocol: socket.protocol,
      // Who sends waits until it is taken: a slow client is sent no more than it reads.
      send: (data) =>
        new Promise((resolve) => {
          socket.send(data, () => resolve());
        }),
      close: (code, reason) => socket.close(code, reason),
      onMessage: (listener) =>
        socket.on("message", (data: Buffer) => {
          listener(data.toString("utf8")).catch(() => socket.close(internalError, "internal error"));
        }),
    },
    context,
  );
  socket.on("close", (code, reason) => {
    for (const operation of operations) operation.cancel();
    void closed(code, reason.toString());
  });
}

/** Clients that cannot set headers say it in `connection_init`, under the headers' names: who they are, and what trace they belong to. */
function credentialIn(shown: Readonly<Record<string, unknown>>): Record<string, string> {
  const credential: Record<string, string> = {};
  for (const [name, value] of Object.entries(shown))
    if (typeof value === "string" && /^(authorization|x-api-key|traceparent|tracestate|baggage)$/i.test(name))
      credential[name.toLowerCase()] = value;
  return credential;
}
