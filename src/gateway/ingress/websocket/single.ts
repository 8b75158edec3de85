/**
 * One method on one socket, at its REST path: plain JSON messages for clients that want nothing else.
 *
 * Path and query are bound as they are for a GET. Every text frame of the client is a message, an empty one says that no more follow; every
 * text frame of ours is a message, and the last of a call that failed is `{"error": …}`. The close code tells how it ended.
 */
import type { WebSocket } from "ws";
import type { HttpRoute } from "#gateway/catalog/catalog.ts";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { type AdapterCall, type Call, clientGone } from "#rpc/call.ts";
import { type RpcError, toRpcError } from "#rpc/error.ts";
import { hasUnaryRequest } from "#rpc/method.ts";
import { BytesPayload } from "#rpc/payload.ts";
import { traceHeadersOf } from "#rpc/refusal.ts";
import { statusJson } from "../rest/error-body.ts";
import { type RequestHead, readSocketCall } from "../rest/read.ts";
import { closeCodes, failedCall, shortened } from "./close-codes.ts";
import { closedFor } from "./closed-for.ts";
import { MessageQueue } from "./message-queue.ts";
import { Outlet } from "./outlet.ts";

export interface SingleOptions {
  readonly socket: WebSocket;
  readonly head: RequestHead;
  readonly route: HttpRoute;
  readonly variables: readonly string[];
  readonly id: string;
  readonly runtime: Runtime;
  readonly maxWaitingBytes: number;
}

/** Messages that may wait for the handler before the socket is no longer read. */
const maxQueued = 16;

/** @returns what cancels its call. */
export function serveSingle(options: SingleOptions): (error: RpcError) => void {
  const { socket, route, runtime, id } = options;
  const outlet = new Outlet(socket, options);
  const { method } = route;
  const queue = new MessageQueue(() => {
    if (queue.length < maxQueued / 2) socket.resume();
  });
  let call: AdapterCall<Call> | undefined;
  let bytesIn = 0;
  const fail = (error: RpcError): void => {
    const { peer, startedAtMs, headers } = options.head;
    if (call !== undefined) call.close(error);
    else
      runtime.refused({
        ...{ id, method, peer, startedAtMs, error, bytesIn, bytesOut: 0 },
        ...{ protocol: "websocket", trace: traceHeadersOf(headers) },
      });
    outlet.now(`{"error":${statusJson(error, id)}}`);
    socket.close(failedCall + error.number, shortened(`${error.reason}: ${error.message}`));
  };
  const refuseFrame = (why: string): void => {
    const error = closedFor(closeCodes.badFrame, why);
    socket.close(closeCodes.badFrame, why);
    if (error === undefined) return;
    // A call that runs ends with it, and has a line of its own.
    if (call !== undefined) {
      call.cancel(error);
      return;
    }
    const { peer, startedAtMs, headers } = options.head;
    runtime.refused({
      ...{ id, method, peer, startedAtMs, error, bytesIn, bytesOut: 0 },
      ...{ protocol: "websocket", trace: traceHeadersOf(headers) },
    });
  };
  const begin = (body: Uint8Array | undefined): void => {
    const start = async (): Promise<void> => {
      const { head, variables } = options;
      const begun = readSocketCall(head, route, { variables, id, body, requests: queue });
      call = begun;
      begun.bytesIn = bytesIn;
      begun.flushHeaders = () => {};
      const reply = await runtime.dispatch(begun);
      const counted = (text: string): string => {
        begun.bytesOut += Buffer.byteLength(text);
        return text;
      };
      if (reply.kind === "unary") outlet.now(counted(reply.response.text()));
      else for await (const message of reply.responses) await outlet.write(counted(message.text()));
      socket.close(closeCodes.normal);
      begun.close();
    };
    start().catch((thrown: unknown) => fail(toRpcError(thrown)));
  };
  socket.on("message", (data: Buffer, isBinary) => {
    bytesIn += data.length;
    if (call !== undefined) call.bytesIn = bytesIn;
    if (isBinary) refuseFrame("messages are JSON, in text frames");
    else if (hasUnaryRequest(method.kind)) {
      if (call === undefined && route.body.kind !== "none") begin(data);
    } else if (data.length === 0) queue.end();
    else {
      queue.push(new BytesPayload(method.input, data, "json"));
      if (queue.length >= maxQueued) socket.pause();
    }
  });
  socket.on("close", () => {
    queue.fail(clientGone());
    call?.cancel(clientGone());
  });
  // A method that takes its fields from the URL has all it needs, and a stream begins with the socket.
  if (route.body.kind === "none" || !hasUnaryRequest(method.kind)) begin(undefined);
  return (error) => call?.cancel(error);
}
