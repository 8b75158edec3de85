/** What runs GraphQL operations, by whichever way they came. */
import {
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  execute,
  GraphQLError,
  type GraphQLSchema,
  getOperationAST,
  NoSchemaIntrospectionCustomRule,
  parse,
  specifiedRules,
  subscribe,
  validate,
} from "graphql";
import { createHandler, type Handler, type OperationArgs, parseRequestParams } from "graphql-http";
import { makeServer, type Server } from "graphql-ws";
import type { Exchange, ResponseHeaders } from "../exchange.ts";
import { defaultLimits, exceeded, type GraphqlLimits } from "./limits.ts";
import { leavable, Operation, type OperationOptions } from "./operation.ts";
import type { GraphqlOptions } from "./options.ts";
import { createSchema } from "./schema.ts";

interface Answering {
  readonly about: OperationOptions;
  /** Headers of every answer. */
  readonly own: ResponseHeaders;
}

/** Of a WebSocket: what its operations are given. */
export interface SocketContext {
  /** @param shown what the client said of itself with its first message. */
  operationOptions(shown: Readonly<Record<string, unknown>>): OperationOptions;
  readonly operations: Set<Operation>;
}

export interface Engine {
  readonly schema: GraphQLSchema;
  /** One answer. */
  answer(exchange: Exchange, body: Uint8Array | undefined, answering: Answering): Promise<void>;
  /** One operation as server-sent events: `next` for each result, `complete` at the end. */
  stream(exchange: Exchange, body: Uint8Array | undefined, answering: Answering): Promise<void>;
  /** graphql-transport-ws. */
  readonly sockets: Server<SocketContext>;
}

interface Asked {
  readonly query: string;
  readonly variables?: Readonly<Record<string, unknown>> | null | undefined;
  readonly operationName?: string | null | undefined;
}

export function createEngine(options: GraphqlOptions): Engine {
  return new GraphqlEngine(options);
}

/** What the library hands on. */
interface HttpContext {
  readonly exchange: Exchange;
  readonly about: OperationOptions;
}

type HttpHandler = Handler<HttpContext, HttpContext>;

class GraphqlEngine implements Engine {
  readonly schema: GraphQLSchema;
  readonly sockets: Server<SocketContext>;
  readonly #limits: GraphqlLimits;
  readonly #rules: typeof specifiedRules;
  readonly #handle: HttpHandler;

  constructor(options: GraphqlOptions) {
    this.schema = createSchema(options.runtime().catalog);
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#rules =
      options.introspection === false ? [...specifiedRules, NoSchemaIntrospectionCustomRule] : specifiedRules;
    this.#handle = createHandler<HttpContext, HttpContext>({
      onSubscribe: ({ context: { exchange, about }, method }, params) => {
        const made = this.#prepare(params, about, method === "GET");
        if ("schema" in made) exchange.onAbort(() => (made.contextValue as Operation).cancel());
        return made as OperationArgs<undefined> | readonly GraphQLError[];
      },
    });
    this.sockets = makeServer<Record<string, unknown>, SocketContext>({
      connectionInitWaitTimeout: 10_000,
      subscribe: subscribeAndTell as never,
      onSubscribe: ({ extra, connectionParams = {} }, _id, params) => {
        const made = this.#prepare(params, extra.operationOptions(connectionParams), false);
        if ("schema" in made) extra.operations.add(made.contextValue as Operation);
        return made;
      },
      onOperation: ({ extra }, _id, _params, args, result) => {
        // A query is over with its result; a subscription when the socket is, or its client has enough.
        if (!(Symbol.asyncIterator in Object(result)))
          extra.operations.delete(args.contextValue as Operation);
      },
    });
  }

  async answer(exchange: Exchange, body: Uint8Array | undefined, { about, own }: Answering): Promise<void> {
    const { method, path, query, headers } = exchange;
    const [answer, { status, headers: said }] = await this.#handle({
      ...{ method, headers, raw: { exchange, about }, context: { exchange, about } },
      url: query === "" ? path : `${path}?${query}`,
      body: () =>
        body === undefined ? null : Buffer.from(body.buffer, body.byteOffset, body.length).toString("utf8"),
    });
    exchange.reply(status, { ...own, ...said, ...about.told }, answer ?? undefined);
  }

  async stream(exchange: Exchange, body: Uint8Array | undefined, { about, own }: Answering): Promise<void> {
    const params = await parseRequestParams({
      ...{ method: exchange.method, raw: about, context: about },
      headers: { ...exchange.headers, accept: "application/json" },
      url: exchange.query === "" ? exchange.path : `${exchange.path}?${exchange.query}`,
      body: () => Buffer.from(body ?? new Uint8Array(0)).toString("utf8"),
    } as never);
    if (params === null || Array.isArray(params)) {
      const [text, { status, headers }] = params ?? [null, { status: 404, headers: {} }];
      exchange.reply(status, { ...own, ...headers }, text ?? undefined);
      return;
    }
    const made = this.#prepare(params as Asked, about, exchange.method === "GET");
    const begin = (): void =>
      exchange.start(200, { ...own, ...about.told, "content-type": "text/event-stream; charset=utf-8" });
    if ("schema" in made) {
      const operation = made.contextValue as Operation;
      exchange.onAbort(() => operation.cancel());
      const results = await resultsOf(made);
      // Not before its calls were judged: their limits are in the headers.
      begin();
      for await (const result of results) await exchange.write(event("next", result));
    } else {
      begin();
      await exchange.write(event("next", { errors: made }));
    }
    await exchange.write("event: complete\ndata:\n\n");
    exchange.end();
  }

  /** Limits first: what is too large is not even validated. */
  #prepare(
    asked: Asked,
    about: OperationOptions,
    readOnly: boolean,
  ): ExecutionArgs | readonly GraphQLError[] {
    let document: DocumentNode;
    try {
      document = parse(asked.query, { maxTokens: this.#limits.maxTokens });
    } catch (error) {
      return [error as GraphQLError];
    }
    const large = exceeded(this.schema, document, this.#limits);
    if (large !== undefined) return [large];
    const errors = validate(this.schema, document, this.#rules);
    if (errors.length > 0) return errors;
    const operation = getOperationAST(document, asked.operationName);
    if (operation == null)
      return [new GraphQLError("there is no such operation in the query; name one with operationName")];
    if (readOnly && operation.operation === "mutation")
      return [
        new GraphQLError("a mutation changes something: send it with POST", {
          extensions: { code: "UNIMPLEMENTED" },
        }),
      ];
    return {
      ...{ schema: this.schema, document, contextValue: new Operation(about) },
      variableValues: asked.variables ?? null,
      operationName: asked.operationName ?? null,
    };
  }
}

/** A query has one result, a subscription any number; a subscription that fails ends with a result that says why. */
async function resultsOf(args: ExecutionArgs): Promise<AsyncIterable<ExecutionResult>> {
  const operation = getOperationAST(args.document, args.operationName);
  const results =
    operation?.operation === "subscription" ? await subscribeAndTell(args) : await execute(args);
  return Symbol.asyncIterator in results ? results : only(results);
}

async function* only(result: ExecutionResult): AsyncGenerator<ExecutionResult> {
  yield result;
}

/** The protocols would otherwise cut the connection, and nobody would know why. */
async function subscribeAndTell(
  args: ExecutionArgs,
): Promise<AsyncGenerator<ExecutionResult> | ExecutionResult> {
  const results = await subscribe(args);
  if (!(Symbol.asyncIterator in results)) return results;
  let failed = false;
  return leavable(
    () => void results.return(undefined),
    async () => {
      if (failed) return { done: true, value: undefined };
      try {
        const { done, value } = await results.next();
        return done === true ? { done, value: undefined } : { value };
      } catch (error) {
        failed = true;
        return { value: { errors: [error as GraphQLError] } };
      }
    },
  );
}

function event(name: string, data: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
