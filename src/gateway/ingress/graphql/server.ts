/** Operations that came over HTTP, and the library that speaks graphql-transport-ws; loaded when somebody asks. */

import type { ExecutionResult, GraphQLSchema } from "graphql";
import { defaultMaxInflation } from "#gateway/codec/compression.ts";
import type { JsonCheck } from "#gateway/codec/json-depth.ts";
import { defaultMaxParameters } from "#gateway/codec/query.ts";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { readTimeout } from "#gateway/wire/grpc-timeout.ts";
import { type Entry, openDoor } from "#rpc/door.ts";
import { RpcError } from "#rpc/error.ts";
import type { Method } from "#rpc/method.ts";
import { refuseExchange } from "../close.ts";
import type { Exchange, ResponseHeaders } from "../exchange.ts";
import { hearTold } from "../told-headers.ts";
import type { Ready, Refusal } from "./documents.ts";
import { Engine } from "./engine.ts";
import { envelopeOf } from "./envelope.ts";
import { errorIn } from "./error-in.ts";
import { Operation, type OperationOptions } from "./operation.ts";
import type { GraphqlOptions } from "./options.ts";
import {
  type Answering,
  defaultMaxEventBytes,
  type EventsAbout,
  replyErrors,
  replyEvents,
  replyRefusal,
  replyResult,
  replyResults,
  startStatusOf,
} from "./reply.ts";
import {
  type Asked,
  defaultMaxBatch,
  type RequestLimits,
  readBody,
  takesEvents,
  toAsked,
} from "./request.ts";
import { createSocketServer, type SocketServer } from "./socket-server.ts";

export interface Server {
  readonly schema: GraphQLSchema;
  /** @throws RpcError for a request that is none, and OVERLOADED. */
  answer(answering: Answering, entry: Entry): Promise<void>;
  readonly sockets: SocketServer;
  /** What a message on a socket may hold. */
  readonly socketJson: JsonCheck;
}

export function createServer(runtime: Runtime, options: GraphqlOptions): Server {
  const { limits, introspection = true, door = openDoor } = options;
  const { heartbeatMs = 15_000, maxEventBytes = defaultMaxEventBytes } = options;
  const limitsOfRequests = requestLimitsOf(options);
  const events = { heartbeatMs, maxEventBytes };
  const engine = new Engine(runtime, { limits, introspection });
  return {
    schema: engine.schema,
    socketJson: envelopeOf(limitsOfRequests, ["payload", "variables"]),
    sockets: createSocketServer(engine, { door, initMs: options.initMs }),
    answer: async (answering, entry) => {
      const { exchange, request } = answering;
      request.wait();
      const body = await readBody(exchange, limitsOfRequests.body);
      request.resume();
      const context: Context = { engine, answering, runtime, events, entry };
      await door.run("graphql", () => answer(context, toAsked(exchange, body, limitsOfRequests)));
    },
  };
}

/** At once where nothing has to be waited for. */
function answer(context: Context, asked: Asked | readonly Asked[]): Promise<void> {
  if (isBatch(asked)) return answerBatch(context, asked);
  return context.answering.type === "text/event-stream"
    ? answerEvents(context, asked)
    : answerOne(context, asked);
}

function requestLimitsOf(options: GraphqlOptions): RequestLimits {
  const { maxBodyBytes = 1024 * 1024, maxInflation = defaultMaxInflation, inflationFreeBytes } = options;
  const { maxBatch = defaultMaxBatch, maxQueryParameters = defaultMaxParameters } = options;
  const { maxEnvelope, maxElements, maxJsonDepth } = options;
  return {
    body: { maxBytes: maxBodyBytes, maxInflation, inflationFreeBytes },
    ...{ maxBatch, maxQueryParameters, maxEnvelope, maxElements, maxJsonDepth },
  };
}

interface Context {
  readonly engine: Engine;
  readonly answering: Answering;
  readonly runtime: Runtime;
  readonly events: EventsAbout;
  readonly entry: Entry;
}

function isBatch(asked: Asked | readonly Asked[]): asked is readonly Asked[] {
  return Array.isArray(asked);
}

function operationOf(
  { answering: { exchange, id, metadata, request, told }, runtime, entry }: Context,
  batch?: OperationOptions["batch"],
): Operation {
  const { headers, peer, startedAtMs } = exchange;
  return new Operation({
    ...{ runtime, id, peer, startedAtMs, metadata, request, entry, told },
    timeoutMs: readTimeout(headers),
    ...(batch === undefined ? {} : { batch }),
  });
}

async function answerOne(context: Context, asked: Asked): Promise<void> {
  const { engine, answering } = context;
  const ready = engine.prepare(asked, isReadOnly(answering.exchange));
  if (ready.kind === "refused") return refuseQuery(context, ready);
  if (ready.operation === "subscription") {
    if (!takesEvents(answering.exchange)) throw noSubscriptions();
    const events: Context = { ...context, answering: { ...answering, type: "text/event-stream" } };
    return await answerEvents(events, asked);
  }
  name(context, ready);
  const operation = operationOf(context);
  const running = engine.execute(ready, operation);
  if (running instanceof Promise) answering.exchange.onAbort(() => operation.cancel());
  const result = running instanceof Promise ? await running : running;
  replyResult(answering, result, operation.headers);
  tellUncalled(context, result);
}

/** One after the other: a mutation may be what the next one stands on. */
async function answerBatch(context: Context, all: readonly Asked[]): Promise<void> {
  const { engine, answering } = context;
  if (answering.type === "text/event-stream") throw noSubscriptions();
  const prepared = engine.prepareAll(all);
  if ("kind" in prepared) return refuseQuery(context, prepared);
  if (prepared.some(({ operation }) => operation === "subscription")) throw noSubscriptions();
  const results: ExecutionResult[] = [];
  const said: ResponseHeaders = { ...answering.told };
  const running: { current?: Operation; gone?: true } = {};
  answering.exchange.onAbort(() => {
    running.gone = true;
    running.current?.cancel();
  });
  const used = new Set<Method>();
  for (const [index, ready] of prepared.entries()) {
    if (running.gone === true) return;
    const operation = operationOf(context, { index, used });
    running.current = operation;
    results.push(await engine.execute(ready, operation));
    hearTold(operation.headers, said);
  }
  replyResults(answering, results, said);
  for (const result of results) tellUncalled(context, result);
}

async function answerEvents(context: Context, asked: Asked): Promise<void> {
  const { engine, answering } = context;
  const ready = engine.prepare(asked, isReadOnly(answering.exchange));
  if (ready.kind === "refused") {
    if (ready.status === 405) return refuseQuery(asJson(context), ready);
    tellRefused(context, ready.errors);
    // graphql-sse: a page's EventSource can read nothing else.
    return await replyEvents(answering, [{ errors: ready.errors }], context.events);
  }
  name(context, ready);
  const operation = operationOf(context);
  answering.exchange.onAbort(() => operation.cancel());
  const results =
    ready.operation === "subscription"
      ? await engine.subscribe(ready, operation)
      : await engine.execute(ready, operation);
  const about = {
    ...{ ...context.events, said: operation.headers },
    cancel: (error: RpcError) => operation.cancel(error),
  };
  if (Symbol.asyncIterator in results) return await replyEvents(answering, results, about);
  tellUncalled(context, results);
  const status = startStatusOf(results);
  if (status === undefined) return await replyEvents(answering, [results], about);
  replyErrors({ ...answering, type: "application/json" }, status, {
    errors: results.errors ?? [],
    said: operation.headers,
  });
}

/** Once it is known what is asked. */
function name({ answering: { request } }: Context, { operation, name: given }: Ready): void {
  request.trace?.named(operation, given);
}

function asJson(context: Context): Context {
  return { ...context, answering: { ...context.answering, type: "application/json" } };
}

/** A query that is refused is no call: those who watch hear of it here. */
function refuseQuery(context: Context, refusal: Refusal): void {
  replyRefusal(context.answering, refusal);
  tellRefused(context, refusal.errors);
}

/** Variables that do not fit are found when it runs, and before anything does. */
function tellUncalled(context: Context, { data, errors = [] }: ExecutionResult): void {
  if (data === undefined) tellRefused(context, errors);
}

function tellRefused(
  { runtime, answering: { exchange, id, request } }: Context,
  errors: Refusal["errors"],
): void {
  const error = errorIn(errors);
  if (error === undefined || request.called) return;
  refuseExchange(runtime, exchange, { id, protocol: "graphql", error, request: request.trace });
}

function isReadOnly({ method }: Exchange): boolean {
  return method === "GET";
}

function noSubscriptions(): RpcError {
  return new RpcError("invalid_argument", {
    reason: "NOT_ACCEPTABLE",
    message:
      "a subscription has many answers: ask for it alone, with `Accept: text/event-stream`, or on a WebSocket",
  });
}
