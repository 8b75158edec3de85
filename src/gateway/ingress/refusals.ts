/** How requests are refused before any protocol has them: in HTTP's own words, with a reason where there is room for one. */
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import type { Exchange } from "./exchange.ts";
import type { ListenerLimits } from "./limits.ts";
import { type Refusal, tooManyHeaders } from "./precheck.ts";
import { retryAfter } from "./rest/error-body.ts";
import { secure } from "./rest/security-headers.ts";

/** @returns the request's id. */
export function replyRefusal(exchange: Exchange, refused: Refusal): string {
  const id = requestIdFrom(exchange.headers["x-request-id"]);
  exchange.reply(refused.status, secure("application/json; charset=utf-8", id), errorBody(refused, id));
  return id;
}

function errorBody(refused: Refusal, requestId: string): string {
  return JSON.stringify({
    code: refused.error.number,
    message: refused.error.message,
    details: [
      {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        reason: refused.error.reason,
        domain: "portico",
      },
      { "@type": "type.googleapis.com/google.rpc.RequestInfo", requestId },
    ],
  });
}

/** A request without an exchange - no socket's yet, or one that was not read - is answered as HTTP, and its connection is over. */
export function refuseSocket(socket: Duplex, refused: Refusal): void {
  if (socket.destroyed) return;
  const id = requestIdFrom(undefined);
  const body = errorBody(refused, id);
  const retry = retryAfter(refused.error);
  const headers = {
    ...secure("application/json; charset=utf-8", id),
    ...(retry === undefined ? {} : { "retry-after": retry }),
  };
  endWith(
    socket,
    [
      `HTTP/1.1 ${refused.status} ${STATUS_CODES[refused.status] ?? ""}`,
      ...Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}`),
      `content-length: ${Buffer.byteLength(body)}`,
      "connection: close",
      "",
      body,
    ].join("\r\n"),
  );
}

/** How long a client may take to read why it was refused, in milliseconds. */
const partingMs = 1000;

/** The last words, and the end: who only half closes, or goes on sending, holds nothing. */
function endWith(socket: Duplex, text: string): void {
  socket.end(text);
  const timer = setTimeout(() => socket.destroy(), partingMs).unref();
  socket.once("close", () => clearTimeout(timer));
}

/** Bytes that are not HTTP: answered with a bare status where the socket still takes one, and closed. */
export function refuseRaw(error: NodeJS.ErrnoException, socket: Socket, limits: ListenerLimits): void {
  const statuses: Readonly<Record<string, string>> = {
    HPE_CHUNK_EXTENSIONS_OVERFLOW: "413 Content Too Large",
    ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
  };
  if (socket.destroyed || !socket.writable || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  // A request, but for its size: its client reads what every other of its errors says too.
  if (error.code === "HPE_HEADER_OVERFLOW") {
    refuseSocket(socket, tooManyHeaders(limits));
    return;
  }
  endWith(
    socket,
    `HTTP/1.1 ${statuses[error.code ?? ""] ?? "400 Bad Request"}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`,
  );
}
