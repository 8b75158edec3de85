/** One GraphQL operation: every method that it uses is a call of its own, by the caller of the request. */
import { GraphQLError } from "graphql";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { toStatus } from "#gateway/wire/error-status.ts";
import { type AdapterCall, type Call, clientGone, createUnaryCall } from "#rpc/call.ts";
import { codes } from "#rpc/code.ts";
import type { Entry } from "#rpc/door.ts";
import { type RpcError, toRpcError } from "#rpc/error.ts";
import { Metadata } from "#rpc/metadata.ts";
import type { Method } from "#rpc/method.ts";
import { BytesPayload } from "#rpc/payload.ts";
import type { Peer } from "#rpc/peer.ts";
import { localPrincipal } from "#rpc/principal.ts";
import type { Reply } from "#rpc/reply.ts";
import type { ResponseHeaders } from "../exchange.ts";
import { retryAfter, statusToJson } from "../rest/error-body.ts";
import type { SharedRequest } from "../shared-request.ts";
import { hearCall, say } from "../told-headers.ts";
import { Loader } from "./joins.ts";
import { leavable } from "./leavable.ts";

export interface OperationOptions {
  readonly runtime: Runtime;
  readonly id: string;
  readonly metadata: Metadata;
  readonly peer: Peer;
  readonly startedAtMs: number;
  /** What its calls are parts of. */
  readonly request: SharedRequest;
  readonly entry: Entry;
  /** What was said before its calls. Default: nothing. */
  readonly told?: ResponseHeaders;
  /** Of the whole operation, in milliseconds; absent: the client did not say. */
  readonly timeoutMs?: number | undefined;
  /** Of a request with several; absent: it is the only one. */
  readonly batch?: { readonly index: number; readonly used: Set<Method> };
}

type Json = Readonly<Record<string, unknown>>;

/** What resolvers are given. */
export class Operation {
  readonly loader = new Loader((method, request) => this.unary(method, request));
  /** Of the answer: what its calls said. */
  readonly headers: ResponseHeaders;
  readonly #options: OperationOptions;
  readonly #running = new Set<AdapterCall<Call>>();
  /** Those that change something, of the whole request. */
  readonly #used: Set<Method>;
  #gone = false;

  constructor(options: OperationOptions) {
    this.#options = options;
    this.headers = { ...options.told };
    this.#used = options.batch?.used ?? new Set();
  }

  /** What kept all of it from running, for the client; who watches is told. */
  refused(thrown: unknown): GraphQLError {
    const { runtime, id, peer, startedAtMs } = this.#options;
    const error = toRpcError(thrown);
    const about = { method: undefined, bytesIn: 0, bytesOut: 0 };
    runtime.refused({ ...about, id, peer, startedAtMs, error, protocol: "graphql" });
    return toGraphqlError(error, id);
  }

  /**
   * At once where nothing has to be waited for.
   *
   * @param place the field's name in the answer.
   * @throws GraphQLError with the code, the reason and the details of the call's error; thrown or as a rejection.
   */
  unary(method: Method, request: unknown, place = ""): Json | Promise<Json> {
    const call = this.#begin(method, request, place);
    let reply: Reply | Promise<Reply>;
    try {
      reply = this.#options.runtime.dispatch(call);
    } catch (thrown) {
      throw this.#failed(call, thrown);
    }
    if (!(reply instanceof Promise)) return this.#answered(call, reply);
    return reply.then(
      (made) => this.#answered(call, made),
      (thrown: unknown) => {
        throw this.#failed(call, thrown);
      },
    );
  }

  /** @throws GraphQLError where the stream does not even begin. */
  async stream(method: Method, request: unknown): Promise<AsyncGenerator<Json, void, undefined>> {
    const call = this.#begin(method, request, "");
    try {
      const reply = await this.#options.runtime.dispatch(call);
      if (reply.kind === "unary") throw new Error(`${method.name} answers with one message`);
      hearCall(call, this.headers);
      const messages = reply.responses[Symbol.asyncIterator]();
      const leave = (): void => {
        call.cancel(clientGone());
        this.#over(call);
        // It may be in the middle of a message: then it ends with that.
        void messages.return?.().catch(ended);
      };
      return leavable(leave, async () => {
        try {
          const { done, value } = await messages.next();
          if (done !== true) {
            const text = value.text();
            call.bytesOut += Buffer.byteLength(text);
            return { value: JSON.parse(text) as Json };
          }
          this.#over(call);
          return { done, value: undefined };
        } catch (thrown) {
          throw this.#failed(call, thrown);
        }
      });
    } catch (thrown) {
      throw this.#failed(call, thrown);
    }
  }

  /** The client is gone, or does not read: everything that runs for it ends. */
  cancel(error: RpcError = clientGone()): void {
    this.#gone = true;
    for (const call of [...this.#running]) call.cancel(error);
  }

  /** The answer is written, or nobody is there to take it. */
  end(): void {
    this.#options.request.end();
  }

  #begin(method: Method, request: unknown, place: string): AdapterCall<Call> {
    const { id, peer, startedAtMs, timeoutMs, entry } = this.#options;
    const metadata = method.sideEffectFree ? this.#options.metadata : this.#metadataOf(method, place);
    const bytes = Buffer.from(JSON.stringify(request), "utf8");
    const call = createUnaryCall(
      {
        ...{ method, id, metadata, peer, startedAtMs, principal: localPrincipal },
        ...{ protocol: "graphql", timeoutMs, entry },
      },
      new BytesPayload(method.input, bytes, "json"),
    );
    call.bytesIn = bytes.length;
    call.flushHeaders = () => {};
    if (this.#gone) call.cancel(clientGone());
    this.#running.add(call);
    this.#options.request.begin(call);
    return call;
  }

  /** A key belongs to one use of a method: where a request uses it again, the field's name makes another key of it. */
  #metadataOf(method: Method, place: string): Metadata {
    const { metadata, batch } = this.#options;
    const key = metadata.get("idempotency-key");
    if (key === undefined) return metadata;
    if (!this.#used.has(method)) {
      this.#used.add(method);
      return metadata;
    }
    const own = new Metadata(() => metadata.entries());
    own.set("idempotency-key", batch === undefined ? `${key}/${place}` : `${key}/${batch.index}/${place}`);
    return own;
  }

  #answered(call: AdapterCall<Call>, reply: Reply): Json {
    try {
      if (reply.kind !== "unary") throw new Error(`${call.method.name} answers with a stream`);
      const text = reply.response.text();
      call.bytesOut = Buffer.byteLength(text);
      const answer = JSON.parse(text) as Json;
      this.#over(call);
      return answer;
    } catch (thrown) {
      throw this.#failed(call, thrown);
    }
  }

  #failed(call: AdapterCall<Call>, thrown: unknown): GraphQLError {
    const error = toRpcError(thrown);
    call.failedBy ??= error;
    this.#over(call);
    const wait = retryAfter(error);
    if (wait !== undefined) say(this.headers, "retry-after", wait);
    return toGraphqlError(error, this.#options.id);
  }

  #over(call: AdapterCall<Call>): void {
    this.#running.delete(call);
    hearCall(call, this.headers);
    this.#options.request.over(call);
  }
}

/** Nobody waits for how it ended. */
function ended(): void {}

export function toGraphqlError(error: RpcError, id: string): GraphQLError {
  const { details } = statusToJson(toStatus(error, id)) as { details?: unknown };
  return new GraphQLError(error.message, {
    extensions: { code: codes[error.code].label, reason: error.reason, details, requestId: id },
  });
}
