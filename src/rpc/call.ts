/**
 * One call, whatever protocol it came in by.
 *
 * Two invariants hold for every call and are tested by the protocol matrix:
 * - *Backpressure*: who consumes pulls, nobody pushes. `requests` is read when the handler asks, `responses` when the
 *   client can take more.
 * - *Cancellation*: there is one `signal`. The first of client reset, deadline, upstream reset or drain fires it with an
 *   RpcError as reason, and both iterables settle.
 */
import type { Entry } from "./door.ts";
import { RpcError } from "./error.ts";
import type { CallInput } from "./input.ts";
import { Metadata } from "./metadata.ts";
import type { Method } from "./method.ts";
import type { Payload } from "./payload.ts";
import type { Peer, Protocol } from "./peer.ts";
import type { Principal } from "./principal.ts";
import type { RequestPart } from "./request.ts";
import type { CommitWriter, UnitOfWork } from "./unit-of-work.ts";

/** Unary and stream are two shapes of one union: a unary call never touches an iterator. */
export type Call = UnaryCall | StreamCall;
export interface UnaryCall extends CallHead {
  readonly kind: "unary";
  readonly request: Payload;
}
export interface StreamCall extends CallHead {
  readonly kind: "stream";
  /** An interceptor may put another in its place that looks at what passes. */
  requests: AsyncIterable<Payload>;
}

/** What the call tells its adapter; set before the reply's first byte, ignored afterwards. */
export interface CallHead extends UnitOfWork {
  readonly method: Method;
  /** Request id: the client's `X-Request-Id` where it is well formed, else made here. In every log line and error. */
  readonly id: string;
  readonly protocol: Protocol;
  readonly peer: Peer;
  /** Set by authentication; until then the local principal. */
  principal: Principal;
  readonly metadata: Metadata;
  /** What the client allowed, in milliseconds from arrival; undefined: it did not say. */
  readonly timeoutMs: number | undefined;
  /** `std/clock` reading, in milliseconds, when the head of the request had arrived. */
  readonly startedAtMs: number;
  /** What can be asked of the caller, and what was answered; undefined: the protocol cannot ask. */
  readonly input: CallInput | undefined;
  /** The request that it is part of, where that passed a door of its own. */
  readonly entry: Entry | undefined;
  /** Fires once, with an RpcError as its reason. Made on first use: a unary handler that never looks pays nothing. */
  readonly signal: AbortSignal;
  /** Why the call was cancelled, without making a signal; undefined while it runs. */
  readonly canceledBy: RpcError | undefined;
  /** Runs `listener` when the call is cancelled (at once if it is already); cheaper than `signal`. */
  onCancel(listener: (error: RpcError) => void): void;
  /** Cancels the call; later cancels are ignored. Never throws. */
  cancel(error: RpcError): void;
  /** Leading metadata of the reply. Which names REST passes on is the adapter's allow-list. */
  readonly responseHeaders: Metadata;
  /** Trailing metadata of the reply, for protocols that have trailers. */
  readonly responseTrailers: Metadata;
  /** Whether `responseHeaders` / `responseTrailers` were ever touched; lets an adapter skip empty ones. */
  readonly hasResponseHeaders: boolean;
  readonly hasResponseTrailers: boolean;
  /** Sends the response headers now instead of with the first message; for streams whose first message may be far away. */
  sendHeaders(): void;

  /** Of a call that came as a plain HTTP request to a route: which, and with which path. */
  readonly route: CallRoute | undefined;
  readonly path: string | undefined;
  /** Of such a call: the method that was sent, which may be HEAD where the route has GET, and the status of its answer, 0 until there is one. */
  readonly httpMethod: string | undefined;
  httpStatus: number;
  /** Of a call that is one of several of its request, or may be; undefined: it is all of it. */
  part: RequestPart | undefined;
  /** `std/clock` readings in milliseconds; `startedAtMs` until it is so far. Dispatch and whoever watches calls set them. */
  dispatchedAtMs: number;
  serviceStartedAtMs: number;
  serviceEndedAtMs: number;
  /** Bytes of messages as they were on the wire, without the protocol's own; the adapter counts them. */
  bytesIn: number;
  bytesOut: number;
  /** What ended it; undefined: it was answered, or is not over. */
  failedBy: RpcError | undefined;
  /** Whoever watches calls keeps here what it needs at the end. */
  watched: unknown;
  /** Runs when the answer has been handed to the connection, or cannot be any more. One listener. */
  onClose(listener: (call: Call) => void): void;
  /** For the adapter, when there is nothing left to do; later ones are ignored. @param error what it answered, where dispatch did not fail. */
  close(error?: RpcError): void;
}

/** An HTTP binding, as far as those who watch calls need it. */
export interface CallRoute {
  readonly httpMethod: string;
  readonly template: string;
}

export interface CallStart {
  readonly method: Method;
  readonly id: string;
  readonly protocol: Protocol;
  readonly peer: Peer;
  readonly principal: Principal;
  readonly metadata: Metadata;
  readonly timeoutMs: number | undefined;
  readonly startedAtMs: number;
  readonly route?: CallRoute | undefined;
  readonly path?: string | undefined;
  readonly httpMethod?: string | undefined;
  readonly input?: CallInput | undefined;
  readonly entry?: Entry | undefined;
}

/** The state every adapter makes one of per call, through `createUnaryCall` or `createStreamCall`. */
class CallState implements CallHead {
  readonly kind: "unary" | "stream";
  readonly method: Method;
  readonly id: string;
  readonly protocol: Protocol;
  readonly peer: Peer;
  principal: Principal;
  readonly metadata: Metadata;
  readonly timeoutMs: number | undefined;
  readonly startedAtMs: number;
  readonly route: CallRoute | undefined;
  readonly path: string | undefined;
  readonly httpMethod: string | undefined;
  httpStatus: number;
  part: RequestPart | undefined;
  dispatchedAtMs: number;
  serviceStartedAtMs: number;
  serviceEndedAtMs: number;
  bytesIn: number;
  bytesOut: number;
  failedBy: RpcError | undefined;
  watched: unknown;
  readonly input: CallInput | undefined;
  readonly entry: Entry | undefined;
  readonly request: Payload | undefined;
  requests: AsyncIterable<Payload> | undefined;
  canceledBy: RpcError | undefined;
  /** Set by the adapter of a protocol that can send headers early. */
  flushHeaders: (() => void) | undefined;
  #whenClosed: ((call: Call) => void) | undefined;
  #controller: AbortController | undefined;
  #listeners: ((error: RpcError) => void)[] | undefined;
  #writers: CommitWriter[] | undefined;
  #committed: (() => void)[] | undefined;
  #responseHeaders: Metadata | undefined;
  #responseTrailers: Metadata | undefined;

  constructor(start: CallStart, request: Payload | undefined, requests: AsyncIterable<Payload> | undefined) {
    this.kind = requests === undefined ? "unary" : "stream";
    this.method = start.method;
    this.id = start.id;
    this.protocol = start.protocol;
    this.peer = start.peer;
    this.principal = start.principal;
    this.metadata = start.metadata;
    this.timeoutMs = start.timeoutMs;
    this.startedAtMs = start.startedAtMs;
    this.route = start.route;
    this.path = start.path;
    this.httpMethod = start.httpMethod;
    this.httpStatus = 0;
    this.part = undefined;
    this.dispatchedAtMs = start.startedAtMs;
    this.serviceStartedAtMs = start.startedAtMs;
    this.serviceEndedAtMs = start.startedAtMs;
    this.bytesIn = 0;
    this.bytesOut = 0;
    this.failedBy = undefined;
    this.watched = undefined;
    this.input = start.input;
    this.entry = start.entry;
    this.request = request;
    this.requests = requests;
    this.canceledBy = undefined;
    this.flushHeaders = undefined;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.canceledBy !== undefined) this.#controller.abort(this.canceledBy);
    }
    return this.#controller.signal;
  }

  onCancel(listener: (error: RpcError) => void): void {
    if (this.canceledBy !== undefined) {
      listener(this.canceledBy);
      return;
    }
    this.#listeners ??= [];
    this.#listeners.push(listener);
  }

  beforeCommit(writer: CommitWriter): void {
    this.#writers ??= [];
    this.#writers.push(writer);
  }

  async runBeforeCommit(transaction: unknown): Promise<void> {
    const writers = this.#writers;
    this.#writers = undefined;
    if (writers !== undefined) for (const writer of writers) await writer(transaction);
  }

  afterCommit(listener: () => void): void {
    this.#committed ??= [];
    this.#committed.push(listener);
  }

  runAfterCommit(): void {
    const listeners = this.#committed;
    this.#committed = undefined;
    if (listeners !== undefined) for (const listener of listeners) listener();
  }

  cancel(error: RpcError): void {
    if (this.canceledBy !== undefined) return;
    this.canceledBy = error;
    this.#controller?.abort(error);
    const listeners = this.#listeners;
    this.#listeners = undefined;
    if (listeners !== undefined) for (const listener of listeners) this.#tell(listener, error);
  }

  /** Sockets and timers cancel: what a listener throws is its call's fault, keeps no other from hearing, and is in the call's line of the log. */
  #tell(listener: (error: RpcError) => void, error: RpcError): void {
    try {
      listener(error);
    } catch (cause) {
      this.failedBy ??= new RpcError("internal", { reason: "INTERNAL", message: "internal error", cause });
    }
  }

  get responseHeaders(): Metadata {
    this.#responseHeaders ??= new Metadata();
    return this.#responseHeaders;
  }

  get hasResponseHeaders(): boolean {
    return this.#responseHeaders !== undefined;
  }

  get responseTrailers(): Metadata {
    this.#responseTrailers ??= new Metadata();
    return this.#responseTrailers;
  }

  get hasResponseTrailers(): boolean {
    return this.#responseTrailers !== undefined;
  }

  sendHeaders(): void {
    this.flushHeaders?.();
  }

  onClose(listener: (call: Call) => void): void {
    this.#whenClosed = listener;
  }

  close(error?: RpcError): void {
    const listener = this.#whenClosed;
    if (listener === undefined) return;
    this.#whenClosed = undefined;
    this.failedBy ??= error ?? this.canceledBy;
    listener(this as unknown as Call);
  }
}

/** A call with its adapter's hook for early headers. */
export type AdapterCall<C extends Call> = C & { flushHeaders: (() => void) | undefined };

export function createUnaryCall(start: CallStart, request: Payload): AdapterCall<UnaryCall> {
  return new CallState(start, request, undefined) as AdapterCall<UnaryCall>;
}

export function createStreamCall(
  start: CallStart,
  requests: AsyncIterable<Payload>,
): AdapterCall<StreamCall> {
  return new CallState(start, undefined, requests) as AdapterCall<StreamCall>;
}

/** The error of a call whose client went away. */
export function clientGone(): RpcError {
  return new RpcError("canceled", {
    reason: "CALL_CANCELED",
    message: "the caller went away or cancelled the call",
  });
}
