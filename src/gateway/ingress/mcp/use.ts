/** One use of a method by an agent, whatever it is to it: a tool, a resource or a prompt. */
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { type AdapterCall, clientGone, createUnaryCall, type UnaryCall } from "#rpc/call.ts";
import type { Entry } from "#rpc/door.ts";
import { RpcError, toRpcError } from "#rpc/error.ts";
import type { CallInput } from "#rpc/input.ts";
import type { Metadata } from "#rpc/metadata.ts";
import type { Method } from "#rpc/method.ts";
import { BytesPayload } from "#rpc/payload.ts";
import type { Peer } from "#rpc/peer.ts";
import { localPrincipal, type Principal } from "#rpc/principal.ts";
import type { Reply } from "#rpc/reply.ts";
import type { ResponseHeaders } from "../exchange.ts";
import type { SharedRequest } from "../shared-request.ts";
import { hearCall } from "../told-headers.ts";

/** Who asks, and what of the HTTP request calls need. */
export interface Caller {
  readonly principal: Principal;
  readonly metadata: Metadata;
  readonly peer: Peer;
  /** Request id. */
  readonly id: string;
  /** Fires when the client leaves; when it reads nothing, with the RpcError that says so. */
  readonly gone: AbortSignal;
  /** What the client allowed, in milliseconds; undefined: it did not say. */
  readonly timeoutMs: number | undefined;
  /** Of a tool, as they were written; undefined: none came, or several requests came together. */
  readonly arguments?: string | undefined;
  /** Headers of the answer: what calls say of their limits is kept here. */
  readonly told: ResponseHeaders;
  /** What its calls are parts of. */
  readonly request: SharedRequest;
  /** Absent: the request is over. */
  readonly entry?: Entry | undefined;
}

/** The circumstances of a use. */
export interface Use {
  readonly runtime: Runtime;
  readonly caller: Caller;
  readonly startedAtMs: number;
  readonly signal: AbortSignal;
  readonly input?: CallInput | undefined;
}

/** The call, not yet made. */
export function callOf(
  { caller, startedAtMs, input }: Use,
  method: Method,
  json: Uint8Array,
): AdapterCall<UnaryCall> {
  const { id, peer, metadata, timeoutMs, entry } = caller;
  const call = createUnaryCall(
    {
      ...{ method, id, peer, metadata, startedAtMs, timeoutMs, input, entry },
      protocol: "mcp",
      principal: localPrincipal,
    },
    new BytesPayload(method.input, json, "json"),
  );
  call.bytesIn = json.length;
  return call;
}

export function toBytes(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value ?? {}), "utf8");
}

/**
 * Makes the call; `take` has its reply for as long as it needs it.
 *
 * @throws RpcError the method's own.
 */
export async function use<T>(
  options: Use,
  asked: { readonly method: Method; readonly request: Uint8Array },
  take: (reply: Reply, call: UnaryCall) => T | Promise<T>,
): Promise<T> {
  const call = callOf(options, asked.method, asked.request);
  const { gone, request } = options.caller;
  request.begin(call);
  const leave = (): void => call.cancel(gone.reason instanceof RpcError ? gone.reason : clientGone());
  const signals = [options.signal, gone];
  for (const signal of signals) {
    if (signal.aborted) leave();
    signal.addEventListener("abort", leave);
  }
  try {
    const reply = await options.runtime.dispatch(call);
    hearCall(call, options.caller.told);
    return await take(reply, call);
  } catch (thrown) {
    hearCall(call, options.caller.told);
    call.failedBy ??= toRpcError(thrown);
    throw thrown;
  } finally {
    request.over(call);
    for (const signal of signals) signal.removeEventListener("abort", leave);
  }
}
