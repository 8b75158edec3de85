/**
 * gRPC over HTTP/2: all four kinds of methods.
 *
 * The path is an exact key of the catalogue. Unary calls run without iterators: one read, one dispatch, one write. A malformed
 * message is `invalid_argument`, malformed framing `internal`, an unknown path `unimplemented`, a foreign content type HTTP 415.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import { defaultMaxInflation, type InflateLimits } from "#gateway/codec/compression.ts";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import {
  type AdapterCall,
  type Call,
  type CallStart,
  clientGone,
  createStreamCall,
  createUnaryCall,
} from "#rpc/call.ts";
import { RpcError, toRpcError } from "#rpc/error.ts";
import { hasUnaryRequest, type Method } from "#rpc/method.ts";
import { BytesPayload } from "#rpc/payload.ts";
import type { Protocol } from "#rpc/peer.ts";
import { localPrincipal } from "#rpc/principal.ts";
import type { Reply } from "#rpc/reply.ts";
import { closeCall, refuseExchange } from "../close.ts";
import type { Adapter, Exchange } from "../exchange.ts";
import {
  type RequestFormat,
  readFormat,
  readMessages,
  readMetadata,
  readSingle,
  readTimeout,
  slackBytes,
} from "./read.ts";
import { GrpcReply } from "./reply.ts";

export interface GrpcOptions {
  /** The runtime of the moment; a call keeps the one it began with. */
  runtime(): Runtime;
  /** Largest message, as declared and inflated, in bytes. Default 4 MiB. */
  readonly maxMessageBytes?: number;
  /** How many times its size a compressed message may inflate to, above `inflationFreeBytes`. Default 100. */
  readonly maxInflation?: number;
  /** What it may inflate to whatever its size, in bytes. Default 65 536. */
  readonly inflationFreeBytes?: number;
  /** What the calls are called in logs and metrics. Default "grpc". */
  readonly protocol?: Protocol;
  /** Whether errors carry `ErrorInfo` and `RequestInfo` besides what the service said. Default true. */
  readonly ownDetails?: boolean;
}

export function createGrpc(options: GrpcOptions): Adapter {
  const { maxMessageBytes = 4 * 1024 * 1024, maxInflation = defaultMaxInflation } = options;
  const { inflationFreeBytes } = options;
  const limits = { maxBytes: maxMessageBytes, maxInflation, inflationFreeBytes };
  const { runtime, protocol = "grpc", ownDetails = true } = options;
  return {
    handle: (exchange) => handle(exchange, { runtime: runtime(), limits, protocol, ownDetails }),
  };
}

interface Settings {
  readonly runtime: Runtime;
  readonly limits: InflateLimits;
  readonly protocol: Protocol;
  readonly ownDetails: boolean;
}

function handle(exchange: Exchange, settings: Settings): void {
  const { runtime, limits, protocol, ownDetails } = settings;
  const given = exchange.headers["x-request-id"];
  const id = requestIdFrom(given);
  const format = readFormat(exchange.headers);
  if (format === undefined || exchange.http !== 2 || exchange.method !== "POST") {
    const isType = format === undefined || exchange.http !== 2;
    const error = isType ? replyNoType(exchange, protocol) : replyNoPost(exchange);
    refuseExchange(runtime, exchange, { id, protocol, error });
    return;
  }
  // A client that names its request hears the name back; the others find it in errors.
  const reply = new GrpcReply(exchange, format, { id, echo: given !== undefined, ownDetails });
  let method: Method | undefined;
  try {
    method = findMethod(runtime, exchange.path);
    if (format.refusal !== undefined) throw format.refusal;
    const start = startOf(exchange, method, { id, protocol });
    const step = { exchange, runtime, format, reply, start, limits };
    if (hasUnaryRequest(method.kind)) runSingle(step);
    else runStream(step);
  } catch (thrown) {
    refuse({ exchange, runtime, reply, id, protocol, method }, thrown);
  }
}

const accepted: Readonly<Partial<Record<Protocol, string>>> = {
  grpc: "application/grpc, application/grpc+proto, application/grpc+json",
  "grpc-web":
    "application/grpc-web+proto, application/grpc-web+json, application/grpc-web-text+proto, application/grpc-web-text+json",
};

/** In HTTP's words: who sends another type reads no gRPC status. */
function replyNoType(exchange: Exchange, protocol: Protocol): RpcError {
  const types = accepted[protocol] ?? "";
  const over = exchange.http === 2 ? "" : " over HTTP/2";
  const message =
    protocol === "grpc"
      ? `this is no gRPC${over}; send ${types}, or ask the HTTP port, which speaks other protocols too`
      : `this is no content type of gRPC-Web; send ${types}`;
  const headers = { "content-type": "text/plain; charset=utf-8", "accept-post": types };
  exchange.reply(415, headers, `${message}\n`);
  return new RpcError("invalid_argument", { reason: "CONTENT_TYPE_UNSUPPORTED", message });
}

function replyNoPost(exchange: Exchange): RpcError {
  exchange.reply(405, { allow: "POST" }, undefined);
  return new RpcError("unimplemented", {
    reason: "METHOD_NOT_BOUND",
    message: `gRPC is always POST; this is ${exchange.method.slice(0, 20)}`,
  });
}

interface Step {
  readonly exchange: Exchange;
  readonly runtime: Runtime;
  readonly format: RequestFormat;
  readonly reply: GrpcReply;
  readonly start: CallStart;
  readonly limits: InflateLimits;
}

function findMethod(runtime: Runtime, path: string): Method {
  const method = runtime.catalog.methods.get(path);
  if (method !== undefined) return method;
  throw new RpcError("unimplemented", {
    reason: "METHOD_UNKNOWN",
    message: `there is no method ${path.slice(1, 200)}; reflection lists the methods that are here`,
  });
}

function startOf(
  exchange: Exchange,
  method: Method,
  { id, protocol }: { readonly id: string; readonly protocol: Protocol },
): CallStart {
  return {
    method,
    id,
    protocol,
    peer: exchange.peer,
    principal: localPrincipal,
    metadata: readMetadata(exchange.headers),
    timeoutMs: readTimeout(exchange.headers),
    startedAtMs: exchange.startedAtMs,
  };
}

/** The unary fast path: from the last byte of the request to the answer without a promise where nothing waits. */
function runSingle(step: Step): void {
  const { exchange, format, reply, limits } = step;
  const { id, protocol, method } = step.start;
  const refused = (thrown: unknown): void =>
    refuse({ exchange, runtime: step.runtime, reply, id, protocol, method }, thrown);
  exchange.collectBody(limits.maxBytes + slackBytes, (error, body) => {
    try {
      if (error !== undefined) throw error;
      const bytes = readSingle(body, format, limits);
      if (!(bytes instanceof Promise)) answerSingle(step, bytes);
      else bytes.then((inflated) => answerSingle(step, inflated), refused);
    } catch (thrown) {
      refused(thrown);
    }
  });
}

function answerSingle(step: Step, bytes: Uint8Array): void {
  const { start, format } = step;
  answer(createUnaryCall(start, new BytesPayload(start.method.input, bytes, format.encoding)), step);
}

function runStream(step: Step): void {
  const { exchange, start, format, limits } = step;
  const type = start.method.input;
  answer(createStreamCall(start, readMessages(exchange, format, { type, limits })), step);
}

function answer(call: AdapterCall<Call>, step: Step): void {
  const { reply, exchange } = step;
  try {
    call.flushHeaders = () => reply.start(call);
    const result = step.runtime.dispatch(call);
    if (!(result instanceof Promise) && result.kind === "unary" && !reply.compresses) {
      reply.unary(result.response, call);
      closeCall(call, exchange);
      return;
    }
    exchange.onAbort(() => call.cancel(clientGone()));
    write(result, call, reply).then(
      () => closeCall(call, exchange),
      (thrown: unknown) => fail(step, thrown, call),
    );
  } catch (thrown) {
    fail(step, thrown, call);
  }
}

async function write(
  result: Reply | Promise<Reply>,
  call: AdapterCall<Call>,
  reply: GrpcReply,
): Promise<void> {
  const made = result instanceof Promise ? await result : result;
  if (made.kind === "stream") await reply.stream(made.responses, call);
  else if (reply.compresses) await reply.compressed(made.response, call);
  else reply.unary(made.response, call);
}

function fail({ reply, exchange }: Step, thrown: unknown, call: Call): void {
  const error = toRpcError(thrown);
  tell(reply, error, call);
  closeCall(call, exchange, error);
}

/** What did not become a call. */
function refuse(
  about: Pick<Step, "exchange" | "runtime" | "reply"> &
    Pick<CallStart, "id" | "protocol"> & { readonly method: Method | undefined },
  thrown: unknown,
): void {
  const error = toRpcError(thrown);
  const { exchange, runtime, reply, id, protocol, method } = about;
  tell(reply, error, undefined);
  refuseExchange(runtime, exchange, { id, protocol, error, method });
}

/** The answer of a failure; where even that fails, closing the stream is all that is left. */
function tell(reply: GrpcReply, error: RpcError, call: Call | undefined): void {
  try {
    reply.fail(error, call);
  } catch {
    reply.reset();
  }
}
