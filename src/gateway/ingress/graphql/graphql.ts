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
import { checkJsonDepth } from "#gateway/codec/json-depth.ts";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import { httpStatusOf } from "#rpc/code.ts";
import { toRpcError } from "#rpc/error.ts";
import { readMetadata } from "../connect/read.ts";
import type { Adapter, Exchange, ResponseHeaders } from "../exchange.ts";
import { secure } from "../rest/security-headers.ts";
import type { Engine } from "./engine.ts";
import type { OperationOptions } from "./operation.ts";
import type { GraphqlOptions } from "./options.ts";

const path = "/graphql";
export const graphqlPaths = [path] as const;
const maxBodyBytes = 1024 * 1024;

export interface Graphql extends Adapter {
  owns(path: string): boolean;
  /** What WebSockets speak it with; the schema is made where it was not. */
  engine(): Promise<Engine>;
  /** As it is printed: for documents and tests. */
  schema(): Promise<GraphQLSchema>;
}

export function createGraphql(options: GraphqlOptions): Graphql {
  let engine: Promise<Engine> | undefined;
  let of: Runtime | undefined;
  const load = async (): Promise<Engine> => {
    const { createEngine } = await import("./engine.ts");
    return createEngine(options);
  };
  const current = (): Promise<Engine> => {
    const runtime = options.runtime();
    if (engine === undefined || of !== runtime) {
      of = runtime;
      engine = load();
    }
    return engine;
  };
  return {
    owns: (asked) => asked === path,
    engine: current,
    schema: async () => (await current()).schema,
    handle: (exchange) => void serve(exchange, current, options),
  };
}

async function serve(
  exchange: Exchange,
  current: () => Promise<Engine>,
  options: GraphqlOptions,
): Promise<void> {
  const id = requestIdFrom(exchange.headers["x-request-id"]);
  const own: ResponseHeaders = {
    ...secure("application/json; charset=utf-8", id),
    vary: "Accept",
  };
  try {
    const body = exchange.method === "POST" ? await exchange.readBody(maxBodyBytes) : undefined;
    if (body !== undefined) checkJsonDepth(body);
    const { headers, peer, startedAtMs } = exchange;
    const about: OperationOptions = {
      ...{ runtime: options.runtime(), id, peer, startedAtMs },
      metadata: readMetadata(headers),
    };
    const engine = await current();
    if (String(headers.accept ?? "").includes("text/event-stream"))
      await engine.stream(exchange, body, { about, own });
    else await engine.answer(exchange, body, { about, own });
  } catch (thrown) {
    const error = toRpcError(thrown);
    if (exchange.started) {
      exchange.reset();
      return;
    }
    const extensions = { code: error.code.toUpperCase(), reason: error.reason };
    exchange.reply(
      httpStatusOf(error),
      own,
      JSON.stringify({ errors: [{ message: error.message, extensions }] }),
    );
  }
}
