/**
 * gRPC over HTTP/2: all four kinds of methods.
 *
 * The path is an exact key of the catalogue. Unary calls run without iterators: one read, one dispatch, one write. A malformed
 * message is `invalid_argument`, malformed framing `internal`, an unknown path `unimplemented`, a foreign content type HTTP 415.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
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
import { localPrincipal } from "#rpc/principal.ts";
import type { Adapter, Exchange } from "../exchange.ts";
import {
  type RequestFormat,
  readFormat,
  readMessages,
  readMetadata,
  readSingle,
  readTimeout,
} from "./read.ts";
import { GrpcReply } from "./reply.ts";

export interface GrpcOptions {
  /** The runtime of the moment; a call keeps the one it began with. */
  runtime(): Runtime;
  /** Largest message, as declared and inflated, in bytes. Default 4 MiB. */
  readonly maxMessageBytes?: number;
}

export function createGrpc(options: GrpcOptions): Adapter {
  const maxMessageBytes = options.maxMessageBytes ?? 4 * 1024 * 1024;
  return {
    handle: (exchange) => {
      handle(exchange, options.runtime(), maxMessageBytes).catch((thrown: unknown) => {
        // Only a failure while writing an answer ends here: the stream is all that is left to close.
        exchange.reset(thrown === undefined ? 0 : 2);
      });
    },
  };
}

async function handle(exchange: Exchange, runtime: Runtime, maxMessageBytes: number): Promise<void> {
  const format = readFormat(exchange.headers);
  if (format === undefined || exchange.http !== 2) {
    exchange.reply(
      415,
      {
        "content-type": "text/plain; charset=utf-8",
        "accept-post": "application/grpc, application/grpc+proto, application/grpc+json",
      },
      "this port speaks gRPC over HTTP/2\n",
    );
    return;
  }
  if (exchange.method !== "POST") {
    exchange.reply(405, { allow: "POST" }, undefined);
    return;
  }
  const id = requestIdFrom(exchange.headers["x-request-id"]);
  const reply = new GrpcReply(exchange, format, id);
  try {
    const method = findMethod(runtime, exchange.path);
    const start = startOf(exchange, method, id);
    if (hasUnaryRequest(method.kind))
      await runSingle(exchange, runtime, { format, reply, start, maxMessageBytes });
    else await runStream(exchange, runtime, { format, reply, start, maxMessageBytes });
  } catch (thrown) {
    reply.fail(toRpcError(thrown), undefined);
  }
}

interface Step {
  readonly format: RequestFormat;
  readonly reply: GrpcReply;
  readonly start: CallStart;
  readonly maxMessageBytes: number;
}

function findMethod(runtime: Runtime, path: string): Method {
  const method = runtime.catalog.methods.get(path);
  if (method !== undefined) return method;
  throw new RpcError("unimplemented", {
    reason: "METHOD_UNKNOWN",
    message: `there is no method ${path.slice(1, 200)}; reflection lists the methods that are here`,
  });
}

function startOf(exchange: Exchange, method: Method, id: string): CallStart {
  return {
    method,
    id,
    protocol: "grpc",
    peer: exchange.peer,
    principal: localPrincipal,
    metadata: readMetadata(exchange.headers),
    timeoutMs: readTimeout(exchange.headers),
    startedAtMs: exchange.startedAtMs,
  };
}

async function runSingle(exchange: Exchange, runtime: Runtime, step: Step): Promise<void> {
  const bytes = await readSingle(exchange, step.format, step.maxMessageBytes);
  const call = createUnaryCall(
    step.start,
    new BytesPayload(step.start.method.input, bytes, step.format.encoding),
  );
  await answer(exchange, runtime, call, step);
}

async function runStream(exchange: Exchange, runtime: Runtime, step: Step): Promise<void> {
  const call: AdapterCall<Call> = createStreamCall(
    step.start,
    readMessages(exchange, step.format, {
      type: step.start.method.input,
      maxMessageBytes: step.maxMessageBytes,
    }),
  );
  await answer(exchange, runtime, call, step);
}

async function answer(
  exchange: Exchange,
  runtime: Runtime,
  call: AdapterCall<Call>,
  step: Step,
): Promise<void> {
  exchange.onAbort(() => call.cancel(clientGone()));
  call.flushHeaders = () => step.reply.start(call);
  try {
    const reply = await runtime.dispatch(call);
    if (reply.kind === "unary") await step.reply.unary(reply.response, call);
    else await step.reply.stream(reply.responses, call);
  } catch (thrown) {
    step.reply.fail(toRpcError(thrown), call);
  }
}
