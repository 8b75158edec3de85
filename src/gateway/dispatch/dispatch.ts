/**
 * The narrow waist: every call of every protocol goes through here to whatever serves its method.
 *
 * Interceptors are folded around each method's handler once, when the runtime is made; a call only runs the finished
 * chain. A runtime is immutable: a changed configuration makes a new one, and calls keep the one they began with.
 * Knows no sockets, no upstreams and no policy by name. What it rejects with is always an RpcError.
 */
import type { Catalog } from "#gateway/catalog/catalog.ts";
import type { Call } from "#rpc/call.ts";
import { RpcError, toRpcError } from "#rpc/error.ts";
import type { Handler, Interceptor } from "#rpc/interceptor.ts";
import type { Method } from "#rpc/method.ts";
import type { Refusal } from "#rpc/refusal.ts";
import type { Reply } from "#rpc/reply.ts";
import type { RequestHead, TracedRequest } from "#rpc/request.ts";
import type { HostedService } from "#rpc/service.ts";
import type { Clock } from "#std/clock.ts";
import { localHandler } from "./local-handler.ts";

export { createDeadline, type DeadlineOptions } from "./deadline.ts";
export { createDeprecation, type DeprecationOptions } from "./deprecation.ts";

export interface Runtime {
  readonly catalog: Catalog;
  /** Full names of the services that run in this process, sorted. */
  readonly hosted: readonly string[];
  /**
   * Runs the call to its reply; at once where nothing has to be waited for.
   * @throws RpcError always of this class, thrown or as a rejection; `unimplemented` METHOD_UNHOSTED where nothing serves the method.
   */
  dispatch(call: Call): Reply | Promise<Reply>;
  /** For adapters: something came that is no call. */
  refused(refusal: Refusal): void;
  /** For adapters of requests that may be several calls. @returns undefined: nobody traces. */
  traceRequest(head: RequestHead): TracedRequest | undefined;
}

export interface RuntimeOptions {
  readonly catalog: Catalog;
  readonly services: readonly HostedService[];
  /** Running order: the first is outermost. */
  readonly interceptors: readonly Interceptor[];
  /** Measures how long services take; absent: nobody asks. */
  readonly clock?: Clock;
  /** Hears of what never became a call. */
  onRefused?(refusal: Refusal): void;
  /** Traces requests that may be several calls; absent: nobody does. */
  readonly traceRequest?: ((head: RequestHead) => TracedRequest) | undefined;
}

export function createRuntime(options: RuntimeOptions): Runtime {
  const handlers = new Map<Method, Handler>();
  for (const method of options.catalog.methods.values()) {
    handlers.set(method, fold(options.interceptors, innermost(method, options), method));
  }
  const { clock } = options;
  return {
    catalog: options.catalog,
    hosted: options.services.map((service) => service.desc.typeName).sort(),
    dispatch: (call) => {
      const handler = handlers.get(call.method);
      if (handler === undefined) throw unhosted(call.method);
      if (clock !== undefined) call.dispatchedAtMs = clock.monotonic();
      try {
        const reply = handler(call);
        return reply instanceof Promise ? reply.catch(rethrow) : reply;
      } catch (thrown) {
        throw toRpcError(thrown);
      }
    },
    refused: (refusal) => options.onRefused?.(refusal),
    traceRequest: (head) => options.traceRequest?.(head),
  };
}

/** An interceptor that is not concerned returns `next` itself, so it leaves no trace in the chain. */
function fold(interceptors: readonly Interceptor[], handler: Handler, method: Method): Handler {
  return interceptors.reduceRight((next, interceptor) => interceptor(next, method), handler);
}

function innermost(method: Method, { services, clock }: RuntimeOptions): Handler {
  const service = services.find((candidate) => candidate.desc.typeName === method.service);
  if (service === undefined)
    return () => {
      throw unhosted(method);
    };
  return localHandler(method, service, clock);
}

function unhosted(method: Method): RpcError {
  return new RpcError("unimplemented", {
    reason: "METHOD_UNHOSTED",
    message: `nothing here serves ${method.name}; host the service or route it to an upstream`,
    metadata: { method: method.name },
  });
}

function rethrow(thrown: unknown): never {
  throw toRpcError(thrown);
}
