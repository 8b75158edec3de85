/**
 * GraphQL at `/graphql`: over HTTP (graphql-over-http), as server-sent events where the client takes those (one stream an operation), and over
 * WebSocket with `graphql-transport-ws`.
 *
 * The schema is made from the catalogue with the first request, and with it the library is loaded: a process that nobody asks costs
 * nothing. Every method that a query uses is a call like any other, judged by the same policies.
 *
 * @see https://graphql.github.io/graphql-over-http/draft/
 */
import type { GraphQLSchema } from "graphql";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { toStatus } from "#gateway/wire/error-status.ts";
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import { codes, httpStatusOf } from "#rpc/code.ts";
import { Entry, openDoor } from "#rpc/door.ts";
import { type RpcError, toRpcError } from "#rpc/error.ts";
import { Metadata } from "#rpc/metadata.ts";
import { systemClock } from "#std/clock.ts";
import { refuseExchange } from "../close.ts";
import { readMetadata } from "../connect/read.ts";
import type { Adapter, Exchange, ResponseHeaders } from "../exchange.ts";
import { retryAfter, statusToJson } from "../rest/error-body.ts";
import { SharedRequest } from "../shared-request.ts";
import { enter } from "../told-headers.ts";
import type { GraphqlOptions } from "./options.ts";
import { isPageAsked, pagePaths, servePage } from "./page.ts";
import { type Answering, replyErrors } from "./reply.ts";
import { type AnswerType, answerTypeOf } from "./request.ts";
import type { Server } from "./server.ts";

const path = "/graphql";
/** Where this protocol is: no method of a contract can be there. */
export const graphqlPaths = [path, ...pagePaths] as const;

export interface Graphql extends Adapter {
  owns(path: string): boolean;
  /** What WebSockets speak it with; the schema is made where it was not. */
  server(): Promise<Server>;
  /** As it is printed: for documents and tests. */
  schema(): Promise<GraphQLSchema>;
}

export function createGraphql(options: GraphqlOptions): Graphql {
  let server: Promise<Server> | undefined;
  let of: Runtime | undefined;
  const load = async (runtime: Runtime): Promise<Server> => {
    const { createServer } = await import("./server.ts");
    return createServer(runtime, options);
  };
  const current = (): Promise<Server> => {
    const runtime = options.runtime();
    if (server === undefined || of !== runtime) {
      of = runtime;
      server = load(runtime);
    }
    return server;
  };
  const paths: ReadonlySet<string> = new Set(graphqlPaths);
  return {
    owns: (asked) => asked.startsWith(path) && paths.has(asked),
    server: current,
    schema: async () => (await current()).schema,
    handle: (exchange) => {
      if (exchange.path !== path || (options.page === true && isPageAsked(exchange)))
        servePage(exchange, options.page === true);
      else void serve(exchange, current, options);
    },
  };
}

async function serve(
  exchange: Exchange,
  current: () => Promise<Server>,
  { runtime, door = openDoor }: GraphqlOptions,
): Promise<void> {
  const id = requestIdFrom(exchange.headers["x-request-id"]);
  const { peer, startedAtMs } = exchange;
  const { metadata, refused } = metadataOf(exchange);
  const trace = runtime().traceRequest({ ...{ id, peer, metadata }, protocol: "graphql" });
  const request = new SharedRequest({ clock: systemClock, startedAtMs, trace });
  const told: ResponseHeaders = {};
  let type: AnswerType = "application/json";
  try {
    if (refused !== undefined) throw refused;
    type = answerTypeOf(exchange);
    const entry = new Entry(metadata, peer);
    await enter(door, entry, told);
    await (await current()).answer({ exchange, type, id, metadata, request, told }, entry);
  } catch (thrown) {
    const error = toRpcError(thrown);
    const plain = type === "text/event-stream" ? "application/json" : type;
    if (exchange.started) exchange.reset();
    else refuse({ exchange, id, metadata, request, type: plain, told }, error);
    refuseExchange(runtime(), exchange, { ...{ id, protocol: "graphql", error }, request: trace });
  } finally {
    request.end();
  }
}

/** A request whose metadata is none is answered like every other that is refused. */
function metadataOf({ headers }: Exchange): { readonly metadata: Metadata; readonly refused?: RpcError } {
  try {
    return { metadata: readMetadata(headers) };
  } catch (thrown) {
    return { metadata: new Metadata(), refused: toRpcError(thrown) };
  }
}

/** What is wrong with the request before there is a query. */
function refuse(answering: Answering, error: RpcError): void {
  const { message, reason } = error;
  const { details } = statusToJson(toStatus(error, answering.id)) as { details?: unknown };
  const extensions = { code: codes[error.code].label, reason, details, requestId: answering.id };
  const status = reason === "QUERY_TOO_LARGE" ? 400 : httpStatusOf(error);
  const said: ResponseHeaders = status === 405 ? { allow: "GET, POST" } : {};
  const wait = retryAfter(error);
  if (wait !== undefined) said["retry-after"] = wait;
  replyErrors(answering, status, { errors: [{ message, extensions }], said });
}
