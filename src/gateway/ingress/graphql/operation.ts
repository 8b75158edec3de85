/** One GraphQL request: every method that it uses is a call of its own, by the caller of the request. */
import { GraphQLError } from "graphql";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { toStatus } from "#gateway/wire/error-status.ts";
import { type AdapterCall, type Call, clientGone, createUnaryCall } from "#rpc/call.ts";
import { type RpcError, toRpcError } from "#rpc/error.ts";
import type { Metadata } from "#rpc/metadata.ts";
import type { Method } from "#rpc/method.ts";
import { BytesPayload } from "#rpc/payload.ts";
import type { Peer } from "#rpc/peer.ts";
import { localPrincipal } from "#rpc/principal.ts";
import { statusToJson } from "../rest/error-body.ts";
import { Loader } from "./joins.ts";

export interface OperationOptions {
  readonly runtime: Runtime;
  readonly id: string;
  readonly metadata: Metadata;
  readonly peer: Peer;
  readonly startedAtMs: number;
  /** Of the whole request, for each of its calls. Default: none of the client's. */
  readonly timeoutMs?: number | undefined;
}

type Json = Readonly<Record<string, unknown>>;

/** What resolvers are given. */
export class Operation {
  readonly loader = new Loader((method, request) => this.unary(method, request));
  readonly #options: OperationOptions;
  readonly #running = new Set<AdapterCall<Call>>();
  #gone = false;

  constructor(options: OperationOptions) {
    this.#options = options;
  }

  /** @throws GraphQLError with the code, the reason and the details of the call's error. */
  async unary(method: Method, request: object): Promise<Json> {
    const call = this.#begin(method, request);
    try {
      const reply = await this.#options.runtime.dispatch(call);
      if (reply.kind !== "unary") throw new Error(`${method.name} answers with a stream`);
      return JSON.parse(reply.response.text()) as Json;
    } catch (thrown) {
      throw this.#error(thrown);
    } finally {
      this.#running.delete(call);
    }
  }

  /** @throws GraphQLError where the stream does not even begin. */
  async stream(method: Method, request: object): Promise<AsyncGenerator<Json, void, undefined>> {
    const call = this.#begin(method, request);
    const over = (): void => {
      this.#running.delete(call);
    };
    try {
      const reply = await this.#options.runtime.dispatch(call);
      if (reply.kind === "unary") throw new Error(`${method.name} answers with one message`);
      const messages = reply.responses[Symbol.asyncIterator]();
      const leave = (): void => {
        call.cancel(clientGone());
        over();
      };
      return leavable(leave, async () => {
        try {
          const { done, value } = await messages.next();
          if (done !== true) return { value: JSON.parse(value.text()) as Json };
          over();
          return { done, value: undefined };
        } catch (thrown) {
          over();
          throw this.#error(thrown);
        }
      });
    } catch (thrown) {
      over();
      throw this.#error(thrown);
    }
  }

  /** The client is gone: everything that runs for it ends. */
  cancel(): void {
    this.#gone = true;
    for (const call of [...this.#running]) call.cancel(clientGone());
  }

  #begin(method: Method, request: object): AdapterCall<Call> {
    const { id, metadata, peer, startedAtMs, timeoutMs } = this.#options;
    const call = createUnaryCall(
      {
        ...{ method, id, metadata, peer, startedAtMs, principal: localPrincipal },
        ...{ protocol: "graphql", timeoutMs },
      },
      new BytesPayload(method.input, Buffer.from(JSON.stringify(request), "utf8"), "json"),
    );
    call.flushHeaders = () => {};
    if (this.#gone) call.cancel(clientGone());
    this.#running.add(call);
    return call;
  }

  #error(thrown: unknown): GraphQLError {
    return toGraphqlError(toRpcError(thrown), this.#options.id);
  }
}

/** A generator that waits for a message hears of its own end with the next one; this one hears at once. */
export function leavable<T>(
  leave: () => void,
  next: () => Promise<IteratorResult<T, undefined>>,
): AsyncGenerator<T, void, undefined> {
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    [Symbol.asyncDispose]: async () => leave(),
    next,
    return: async () => {
      leave();
      return { done: true, value: undefined };
    },
    throw: async (error) => {
      leave();
      throw error;
    },
  };
}

export function toGraphqlError(error: RpcError, id: string): GraphQLError {
  const { details } = statusToJson(toStatus(error, id)) as { details?: unknown };
  return new GraphQLError(error.message, {
    extensions: { code: error.code.toUpperCase(), reason: error.reason, details, requestId: id },
  });
}
