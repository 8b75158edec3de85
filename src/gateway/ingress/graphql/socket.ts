/**
 * One WebSocket that speaks graphql-transport-ws: what it sends waits until it is taken. Loaded with every gateway, so that it takes
 * from what has the library only its types.
 */
import type { WebSocket } from "ws";
import { checkJson } from "#gateway/codec/json-depth.ts";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import { Entry } from "#rpc/door.ts";
import type { RpcError } from "#rpc/error.ts";
import type { Peer } from "#rpc/peer.ts";
import { traceHeadersOf } from "#rpc/refusal.ts";
import type { TracedRequest } from "#rpc/request.ts";
import type { Clock } from "#std/clock.ts";
import { readMetadata } from "../connect/read.ts";
import type { RequestHeaders } from "../exchange.ts";
import { SharedRequest } from "../shared-request.ts";
import { closeCodes } from "../websocket/close-codes.ts";
import { closedFor } from "../websocket/closed-for.ts";
import { errorIn } from "./error-in.ts";
import type { Server } from "./server.ts";
import type { SocketContext } from "./socket-server.ts";

export const graphqlSubprotocol = "graphql-transport-ws";

export interface GraphqlSocketOptions {
  readonly socket: WebSocket;
  /** The credential that came with the upgrade. */
  readonly headers: RequestHeaders;
  readonly peer: Peer;
  readonly clock: Clock;
  runtime(): Runtime;
  /** Bytes that may wait for the client; one that asks for more and does not read is not read either. */
  readonly maxWaitingBytes: number;
}

export function serveGraphqlSocket(server: Server, options: GraphqlSocketOptions): void {
  const { socket, headers, clock, runtime, maxWaitingBytes } = options;
  const peer = { ...options.peer, connection: socket };
  const told = (about: { readonly id: string; readonly error: RpcError; readonly request?: TracedRequest }) =>
    runtime().refused({
      ...{ ...about, protocol: "graphql", method: undefined, peer, trace: traceHeadersOf(headers) },
      ...{ startedAtMs: receivedAtMs, bytesIn: 0, bytesOut: 0 },
    });
  let receivedAtMs = clock.monotonic();
  const context: SocketContext = {
    operations: new Map(),
    operationOptions: (shown) => {
      const metadata = readMetadata({ ...headers, ...credentialIn(shown) });
      const id = requestIdFrom(undefined);
      const trace = runtime().traceRequest({ id, peer, metadata, protocol: "graphql" });
      const request = new SharedRequest({ clock, startedAtMs: receivedAtMs, trace });
      const entry = new Entry(metadata, peer);
      return { ...{ runtime: runtime(), id, peer, metadata, request, entry }, startedAtMs: receivedAtMs };
    },
    refused: ({ id, request: { trace } }, errors) => {
      const error = errorIn(errors);
      if (error !== undefined) told({ id, error, ...(trace === undefined ? {} : { request: trace }) });
      return errors;
    },
  };
  const close = (code: number, reason: string, cause?: unknown): void => {
    const error = closedFor(code, reason, cause);
    if (error !== undefined) told({ id: requestIdFrom(undefined), error });
    socket.close(code, reason);
  };
  const closed = server.sockets.opened(
    {
      protocol: socket.protocol,
      send: (data) => sendAndWait(socket, data, maxWaitingBytes),
      close: (code = closeCodes.normal, reason = "") => close(code, reason),
      onMessage: (listener) =>
        socket.on("message", (data: Buffer) => {
          receivedAtMs = clock.monotonic();
          try {
            checkJson(data, server.socketJson);
          } catch (error) {
            close(closeCodes.badFrame, (error as RpcError).message);
            return;
          }
          listener(data.toString("utf8")).catch((thrown: unknown) =>
            close(closeCodes.graphqlInternal, "internal error", thrown),
          );
          cancelForgotten(context);
        }),
    },
    context,
  );
  socket.on("close", (code, reason) => {
    for (const operation of context.operations.keys()) {
      operation.cancel();
      operation.end();
    }
    void closed(code, reason.toString());
  });
}

/** What clients have enough of: the library forgets an operation that has no stream, but lets it run. */
function cancelForgotten({ operations, library }: SocketContext): void {
  if (library === undefined) return;
  for (const [operation, id] of operations) {
    if (id in library.subscriptions) continue;
    operations.delete(operation);
    operation.cancel();
    operation.end();
  }
}

/** Resolves when the client can take more. @throws Error when it is gone. */
function sendAndWait(socket: WebSocket, data: string, maxWaitingBytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(data, (error) => {
      if (socket.isPaused && socket.bufferedAmount < maxWaitingBytes) socket.resume();
      if (error) reject(error);
      else resolve();
    });
    if (socket.bufferedAmount >= maxWaitingBytes) socket.pause();
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
