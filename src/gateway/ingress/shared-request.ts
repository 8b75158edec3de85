/**
 * One request that stands for calls, as one of GraphQL or of an agent does. What takes time while none of its calls runs - reading it, checking it,
 * the protocol's library, writing the answer - is the gateway's work for all of them: counted once, with the first, which ends with the answer.
 */
import type { Call } from "#rpc/call.ts";
import type { RpcError } from "#rpc/error.ts";
import type { TracedRequest } from "#rpc/request.ts";
import type { Clock } from "#std/clock.ts";

export interface SharedRequestOptions {
  readonly clock: Clock;
  /** `std/clock` reading when its head had arrived. */
  readonly startedAtMs: number;
  /** Undefined: nobody traces it, or its calls are traced by themselves. */
  readonly trace?: TracedRequest | undefined;
}

export class SharedRequest {
  readonly trace: TracedRequest | undefined;
  readonly #clock: Clock;
  readonly #startedAtMs: number;
  #first: Call | undefined;
  /** Calls that are not over. */
  #running = 0;
  /** Since when nothing but the gateway works for it; undefined: a call does, or the client is waited for. */
  #aloneSinceMs: number | undefined;
  #sharedMs = 0;
  #called = false;
  #ended = false;

  constructor({ clock, startedAtMs, trace }: SharedRequestOptions) {
    this.trace = trace;
    this.#clock = clock;
    this.#startedAtMs = startedAtMs;
    this.#aloneSinceMs = startedAtMs;
  }

  /** Whether there was a call, which tells those who watch how it went. */
  get called(): boolean {
    return this.#called;
  }

  /** Of the next call: the first began with the request; one that comes later did not, for the client may have been asked meanwhile. */
  get nextStartedAtMs(): number {
    return this.#called ? this.#clock.monotonic() : this.#startedAtMs;
  }

  /** The client is waited for: what passes now is nobody's time. */
  wait(): void {
    this.#pause();
  }

  /** What was waited for is here. */
  resume(): void {
    if (this.#running === 0) this.#aloneSinceMs ??= this.#clock.monotonic();
  }

  /** Its calls are told by others, which have a time of their own: those that follow what changes. */
  delegate(): void {
    this.#called = true;
  }

  /** Before a call is dispatched. */
  begin(call: Call): void {
    this.#called = true;
    this.#pause();
    this.#running += 1;
    const isFirst = this.#first === undefined;
    if (isFirst) this.#first = call;
    call.part = { trace: this.trace, isFirst, sharedMs: isFirst ? this.#sharedMs : 0, overAtMs: undefined };
  }

  /** In the place of the call's `close`. */
  over(call: Call): void {
    this.#running -= 1;
    const now = this.#clock.monotonic();
    if (this.#running === 0) this.#aloneSinceMs = now;
    if (call !== this.#first || this.#ended) call.close();
    else if (call.part !== undefined) call.part.overAtMs ??= now;
  }

  /** The answer is written, or cannot be any more; later ones are ignored. */
  end(error?: RpcError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#pause();
    const part = this.#first?.part;
    if (part !== undefined) {
      part.sharedMs = this.#sharedMs;
      if (part.overAtMs !== undefined) this.#first?.close();
    }
    this.trace?.end(error);
  }

  #pause(): void {
    if (this.#aloneSinceMs !== undefined) this.#sharedMs += this.#clock.monotonic() - this.#aloneSinceMs;
    this.#aloneSinceMs = undefined;
  }
}
