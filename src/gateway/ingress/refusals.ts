/** How requests are refused before any protocol has them: in HTTP's own words, with a reason where there is room for one. */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import { RpcError } from "#rpc/error.ts";
import { bodyTooSlow } from "./body-limit.ts";
import type { Exchange } from "./exchange.ts";
import type { ListenerLimits } from "./limits.ts";
import { STATUS_CODES } from "./node-http.ts";
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

/** For those who watch. */
export interface Refused {
  readonly error: RpcError;
  readonly id: string;
  readonly bytesOut: number;
}

/** A request without an exchange - no socket's yet, or one that was not read - is answered as HTTP, and its connection is over. */
export function refuseSocket(socket: Duplex, refused: Refusal, id = requestIdFrom(undefined)): Refused {
  const body = errorBody(refused, id);
  const { error } = refused;
  if (socket.destroyed) return { error, id, bytesOut: 0 };
  const retry = retryAfter(error);
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
  return { error, id, bytesOut: Buffer.byteLength(body) };
}

/** How long a client may take to read why it was refused, in milliseconds. */
const partingMs = 1000;

/** The last words, and the end: who only half closes, or goes on sending, holds nothing. */
function endWith(socket: Duplex, text: string): void {
  socket.end(text);
  const timer = setTimeout(() => socket.destroy(), partingMs).unref();
  socket.once("close", () => clearTimeout(timer));
}

/** What node says when bytes are not what its parser takes. */
export interface ParseError extends NodeJS.ErrnoException {
  /** In the parser's words. */
  readonly reason?: string;
  /** The piece in which it was found. */
  readonly rawPacket?: Buffer;
}

/**
 * A request that cannot be read is answered as HTTP where the socket still takes something, and its connection is over. What a connection begins with and
 * is no HTTP at all - half a handshake of another protocol - is closed without a word: its client would take the answer for one of its own.
 *
 * @param isFirst whether nothing was read on the connection before.
 * @returns what it was refused for; undefined: the client left.
 */
export function refuseRaw(
  error: ParseError,
  socket: Socket,
  { limits, isFirst }: { readonly limits: ListenerLimits; readonly isFirst: boolean },
): Refused | undefined {
  const isParsers = error.code?.startsWith("HPE_") === true || error.code === "ERR_HTTP_REQUEST_TIMEOUT";
  if (socket.destroyed || !socket.writable || !isParsers) {
    socket.destroy();
    return undefined;
  }
  const foreign = isFirst ? foreignProtocol(error) : undefined;
  if (foreign !== undefined) {
    socket.destroy();
    return { error: foreign, id: requestIdFrom(undefined), bytesOut: 0 };
  }
  return refuseSocket(socket, refusalOf(error, limits));
}

function refusalOf(error: ParseError, limits: ListenerLimits): Refusal {
  switch (error.code) {
    case "HPE_HEADER_OVERFLOW":
      return tooManyHeaders(limits);
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return { status: 408, error: bodyTooSlow() };
    case "HPE_CHUNK_EXTENSIONS_OVERFLOW": {
      const message = "the extensions of a chunk are larger than 16 KiB";
      return {
        status: 413,
        error: new RpcError("resource_exhausted", { reason: "PAYLOAD_TOO_LARGE", message }),
      };
    }
    default: {
      const why = (error.reason ?? "it ends in the middle").toLowerCase();
      const message = `the request cannot be read: ${why} (RFC 9112)`;
      return {
        status: 400,
        error: new RpcError("invalid_argument", { reason: "REQUEST_MALFORMED", message }),
      };
    }
  }
}

/** A request line with a mistake still names HTTP's version. */
function foreignProtocol({ code, rawPacket }: ParseError): RpcError | undefined {
  if (code !== "HPE_INVALID_METHOD" || rawPacket === undefined) return undefined;
  const line = rawPacket.subarray(0, 8192).toString("latin1").trimStart().split("\n", 1)[0] ?? "";
  if (/ HTTP\/\d/.test(line)) return undefined;
  // RFC 8446 section 5.1: a record of the handshake, of any version since SSL 3.
  const isTls = rawPacket[0] === 22 && rawPacket[1] === 3;
  return isTls
    ? new RpcError("invalid_argument", {
        reason: "TLS_UNEXPECTED",
        message:
          "a TLS handshake came to a port without TLS: call it by http://, or give the server a certificate",
      })
    : new RpcError("invalid_argument", {
        reason: "PROTOCOL_FOREIGN",
        message: "what came on the connection is no HTTP",
      });
}
