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
      const text = reply.response.text();
      call.bytesOut = text.length;
      return JSON.parse(text) as Json;
    } catch (thrown) {
      throw this.#error(thrown, call);
    } finally {
      this.#over(call);
    }
  }

  /** @throws GraphQLError where the stream does not even begin. */
  async stream(method: Method, request: object): Promise<AsyncGenerator<Json, void, undefined>> {
    const call = this.#begin(method, request);
    const over = (): void => this.#over(call);
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
          if (done === true) {
            over();
            return { done, value: undefined };
          }
          const text = value.text();
          call.bytesOut += text.length;
          return { value: JSON.parse(text) as Json };
        } catch (thrown) {
          const error = this.#error(thrown, call);
          over();
          throw error;
        }
      });
    } catch (thrown) {
      const error = this.#error(thrown, call);
      over();
      throw error;
    }
  }

  /** The client is gone: everything that runs for it ends. */
  cancel(): void {
    this.#gone = true;
    for (const call of [...this.#running]) call.cancel(clientGone());
  }

  #begin(method: Method, request: object): AdapterCall<Call> {
    const { id, metadata, peer, startedAtMs } = this.#options;
    const bytes = Buffer.from(JSON.stringify(request), "utf8");
    const call = createUnaryCall(
      {
        ...{ method, id, metadata, peer, startedAtMs, principal: localPrincipal },
        ...{ protocol: "graphql", timeoutMs: undefined },
      },
      new BytesPayload(method.input, bytes, "json"),
    );
    call.bytesIn = bytes.length;
    call.flushHeaders = () => {};
    if (this.#gone) call.cancel(clientGone());
    this.#running.add(call);
    return call;
  }

  #over(call: AdapterCall<Call>): void {
    this.#running.delete(call);
    call.close();
  }

  #error(thrown: unknown, call: Call): GraphQLError {
    const error = toRpcError(thrown);
    call.failedBy ??= error;
    return toGraphqlError(error, this.#options.id);
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
