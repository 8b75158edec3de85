/**
 * Connect: unary calls as plain HTTP requests with JSON or binary messages, streams as envelopes, over any HTTP version.
 *
 * A method's path is gRPC's. Side-effect-free unary methods may be called by GET, and cached. Plain `POST` with JSON and without
 * `Connect-Protocol-Version` is REST's, whose errors have its own shape.
 *
 * @see https://connectrpc.com/docs/protocol
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
import { BytesPayload, type Encoding } from "#rpc/payload.ts";
import { localPrincipal } from "#rpc/principal.ts";
import type { Reply } from "#rpc/reply.ts";
import { closeCall, refuseExchange } from "../close.ts";
import type { Adapter, Exchange } from "../exchange.ts";
import { secure } from "../rest/security-headers.ts";
import { readGet } from "./get.ts";
import { collectInflated, readMessages, readMetadata, readTimeout, streamTypes, unaryTypes } from "./read.ts";
import { StreamReply, UnaryReply } from "./reply.ts";

export interface ConnectOptions {
  /** The runtime of the moment; a call keeps the one it began with. */
  runtime(): Runtime;
  /** Largest message, as declared and inflated, in bytes. Default 4 MiB. */
  readonly maxMessageBytes?: number;
  /** How many times its size a compressed message may inflate to, above `inflationFreeBytes`. Default 100. */
  readonly maxInflation?: number;
  /** What it may inflate to whatever its size, in bytes. Default 65 536. */
  readonly inflationFreeBytes?: number;
  /** Parameters of a call by GET. Default 200. */
  readonly maxQueryParameters?: number;
  /** Whether errors carry `ErrorInfo` and `RequestInfo` besides what the service said. Default true. */
  readonly ownDetails?: boolean;
}

/** Whether a request is meant to be Connect. */
export function isConnect(exchange: Pick<Exchange, "method" | "headers" | "query">): boolean {
  const type = exchange.headers["content-type"];
  if (exchange.method === "GET") return /(^|&)connect=v1(&|$)/.test(exchange.query);
  if (typeof type !== "string") return false;
  if (type.startsWith("application/connect+") || /^application\/proto(;|$)/.test(type)) return true;
  return exchange.headers["connect-protocol-version"] !== undefined;
}

export function createConnect(options: ConnectOptions): Adapter {
  const {
    maxMessageBytes = 4 * 1024 * 1024,
    maxInflation = defaultMaxInflation,
    ownDetails = true,
  } = options;
  const { inflationFreeBytes, maxQueryParameters } = options;
  const limits = { maxBytes: maxMessageBytes, maxInflation, inflationFreeBytes, maxQueryParameters };
  return {
    handle: (exchange) => handle({ exchange, runtime: options.runtime(), limits, ownDetails }),
  };
}

interface Context {
  readonly exchange: Exchange;
  readonly runtime: Runtime;
  readonly limits: InflateLimits & { readonly maxQueryParameters: number | undefined };
  readonly ownDetails: boolean;
}

function handle(context: Context): void {
  const { exchange, runtime, ownDetails } = context;
  const id = requestIdFrom(exchange.headers["x-request-id"]);
  const method = runtime.catalog.methods.get(exchange.path);
  if (method === undefined) {
    const unknown = new RpcError("unimplemented", {
      reason: "METHOD_UNKNOWN",
      message: `there is no method ${exchange.path.slice(1, 200)}; reflection lists the methods that are here`,
    });
    new UnaryReply(exchange, "json", { id, ownDetails }).fail(unknown, undefined, 404);
    refuseExchange(runtime, exchange, { id, protocol: "connect", error: unknown });
    return;
  }
  const isUnary = method.kind === "unary";
  const types = isUnary ? unaryTypes : streamTypes;
  const encoding = exchange.method === "POST" ? encodingOf(exchange, types) : undefined;
  const refused = refusalOf(exchange, method, { types, encoding });
  if (refused !== undefined) {
    if (refused.reason === "PROTOCOL_VERSION_UNKNOWN")
      new UnaryReply(exchange, "json", { id, ownDetails }).fail(refused, undefined);
    else replyInHttp(exchange, refused, id);
    refuseExchange(runtime, exchange, { id, protocol: "connect", error: refused, method });
    return;
  }
  if (isUnary) runUnary(context, method, { id, encoding });
  else runStream(context, method, { id, encoding: encoding ?? "json" });
}

type Types = ReadonlyMap<string, Encoding>;

/** Undefined: the content type is none of these, or the text in it is no UTF-8. */
function encodingOf({ headers }: Exchange, types: Types): Encoding | undefined {
  const given = String(headers["content-type"] ?? "");
  const known = types.get(given);
  if (known !== undefined) return known;
  const text = given.toLowerCase();
  const end = text.indexOf(";");
  if (end === -1) return types.get(text.trim());
  const charset = /;\s*charset=\s*"?([^";\s]+)/.exec(text)?.[1] ?? "utf-8";
  return charset === "utf-8" ? types.get(text.slice(0, end).trim()) : undefined;
}

/** What is wrong with a request before anything of it is read. */
function refusalOf(
  exchange: Exchange,
  method: Method,
  { types, encoding }: { readonly types: Types; readonly encoding: Encoding | undefined },
): RpcError | undefined {
  const allow = method.kind === "unary" && method.sideEffectFree ? "GET, POST" : "POST";
  if (exchange.method !== "POST" && !(exchange.method === "GET" && allow === "GET, POST"))
    return new RpcError("unimplemented", {
      reason: "METHOD_NOT_BOUND",
      message: `this method is called by ${allow}, not by ${exchange.method.slice(0, 20)}`,
      metadata: { allow },
    });
  if (exchange.method === "POST" && encoding === undefined) {
    const accepts = [...types.keys()].join(", ");
    return new RpcError("invalid_argument", {
      reason: "CONTENT_TYPE_UNSUPPORTED",
      message: `content-type: this method takes ${accepts}, in UTF-8`,
      metadata: { accepts },
    });
  }
  const version = exchange.headers["connect-protocol-version"];
  if (version === undefined || version === "1") return undefined;
  return new RpcError("invalid_argument", {
    reason: "PROTOCOL_VERSION_UNKNOWN",
    message: "connect-protocol-version: is not spoken here; send 1",
  });
}

/** The protocol has no code for these: its clients make one of the status, where no JSON says another. The text is for people. */
function replyInHttp(exchange: Exchange, { message, metadata }: RpcError, id: string): void {
  const headers = secure("text/plain; charset=utf-8", id);
  if (metadata.allow !== undefined) headers.allow = metadata.allow;
  if (metadata.accepts !== undefined) headers["accept-post"] = metadata.accepts;
  exchange.reply(metadata.allow === undefined ? 415 : 405, headers, `${message}\n`);
}

function startOf(exchange: Exchange, method: Method, id: string): CallStart {
  return {
    ...{ method, id, protocol: "connect", peer: exchange.peer, principal: localPrincipal },
    metadata: readMetadata(exchange.headers),
    timeoutMs: readTimeout(exchange.headers),
    startedAtMs: exchange.startedAtMs,
  };
}

interface UnaryStep extends Context {
  readonly method: Method;
  readonly id: string;
}

/** The unary fast path: from the last byte of the request to the answer without a promise where nothing waits. */
function runUnary(
  context: Context,
  method: Method,
  about: { readonly id: string; readonly encoding: Encoding | undefined },
): void {
  const { exchange, runtime, limits, ownDetails } = context;
  const { id, encoding } = about;
  const step: UnaryStep = { exchange, runtime, limits, ownDetails, method, id };
  try {
    const start = startOf(exchange, method, id);
    if (encoding === undefined)
      readGet(exchange.query, limits).then(
        (sent) => answerUnary(step, start, sent),
        (thrown: unknown) => refuseUnary(step, thrown, "json"),
      );
    else
      collectInflated(exchange, limits, (error, bytes) => {
        if (error === undefined) answerUnary(step, start, { encoding, bytes });
        else refuseUnary(step, error, encoding);
      });
  } catch (thrown) {
    refuseUnary(step, thrown, encoding ?? "json");
  }
}

/** What did not become a call. */
function refuseUnary(step: UnaryStep, thrown: unknown, encoding: Encoding): void {
  const { exchange, id, method } = step;
  const reply = new UnaryReply(exchange, encoding, step);
  fail(step, toRpcError(thrown), {
    ...{ id, method, call: undefined },
    answer: (error) => reply.fail(error, undefined),
  });
}

/** Never throws. */
function answerUnary(
  step: UnaryStep,
  start: CallStart,
  sent: { readonly encoding: Encoding; readonly bytes: Uint8Array },
): void {
  const { exchange, runtime, method } = step;
  const call = createUnaryCall(start, new BytesPayload(method.input, sent.bytes, sent.encoding));
  const reply = new UnaryReply(exchange, sent.encoding, step);
  try {
    const answer = runtime.dispatch(call);
    const written =
      answer instanceof Promise
        ? answer.then((made) => writeUnary(made, call, reply))
        : writeUnary(answer, call, reply);
    if (written === undefined) {
      closeCall(call, exchange);
      return;
    }
    exchange.onAbort(() => call.cancel(clientGone()));
    written.then(
      () => closeCall(call, exchange),
      (thrown: unknown) => failUnary(step, thrown, call, reply),
    );
  } catch (thrown) {
    failUnary(step, thrown, call, reply);
  }
}

function writeUnary(made: Reply, call: Call, reply: UnaryReply): Promise<void> | undefined {
  if (made.kind === "unary") return reply.message(made.response, call);
  throw new Error(`${call.method.name} answered a stream`);
}

function failUnary(step: UnaryStep, thrown: unknown, call: Call, reply: UnaryReply): void {
  const { id, method } = step;
  fail(step, toRpcError(thrown), { ...{ id, method, call }, answer: (error) => reply.fail(error, call) });
}

function runStream(
  context: Context,
  method: Method,
  about: { readonly id: string; readonly encoding: Encoding },
): void {
  const { exchange, runtime, limits, ownDetails } = context;
  const { id, encoding } = about;
  const reply = new StreamReply(exchange, encoding, { id, ownDetails });
  let call: AdapterCall<Call> | undefined;
  const run = async (): Promise<void> => {
    try {
      const start = startOf(exchange, method, id);
      const messages = readMessages(exchange, { type: method.input, encoding, limits });
      call = hasUnaryRequest(method.kind)
        ? createUnaryCall(start, await single(messages))
        : createStreamCall(start, messages);
      const running = call;
      running.flushHeaders = () => reply.start(running);
      exchange.onAbort(() => running.cancel(clientGone()));
      const answer = await runtime.dispatch(call);
      if (answer.kind === "unary") await reply.messages([answer.response], call);
      else await reply.messages(answer.responses, call);
      closeCall(call, exchange);
    } catch (thrown) {
      fail(context, toRpcError(thrown), {
        ...{ id, method, call },
        answer: (error) => reply.fail(error, call),
      });
    }
  };
  void run();
}

/** @throws RpcError MESSAGE_COUNT_INVALID for none or several. */
async function single<T>(messages: AsyncIterable<T>): Promise<T> {
  const all: T[] = [];
  for await (const message of messages) {
    all.push(message);
    if (all.length > 1) break;
  }
  const [first] = all;
  if (first !== undefined && all.length === 1) return first;
  throw new RpcError("unimplemented", {
    reason: "MESSAGE_COUNT_INVALID",
    message: `this method takes exactly one message; ${all.length === 0 ? "none" : "more than one"} came`,
  });
}

/** The answer of a failure; where even that fails, closing the stream is all that is left. */
function fail(
  { exchange, runtime }: Context,
  error: RpcError,
  about: {
    readonly id: string;
    readonly method: Method;
    readonly call: Call | undefined;
    answer(error: RpcError): void;
  },
): void {
  const { id, method, call, answer } = about;
  try {
    answer(error);
  } catch {
    // RFC 9113 section 7: INTERNAL_ERROR.
    exchange.reset(2);
  }
  if (call === undefined) refuseExchange(runtime, exchange, { id, protocol: "connect", error, method });
  else closeCall(call, exchange, error);
}
