/** Who reads nothing of what it is sent: answers that wait are memory. */
import type { Socket } from "node:net";
import { RpcError } from "#rpc/error.ts";
import type { Clock } from "#std/clock.ts";

/** Slower than this, in bytes a millisecond, is not reading: a large piece counts as a whole until its last byte has gone. */
const slowestReading = 100;

/** How much had been taken at the last look, and since when it is that much. */
export class Waiting<T> {
  readonly #timeoutMs: number;
  readonly #known = new Map<T, { readonly taken: number; readonly since: number }>();

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Whether what waits for the client has waited too long. Decided by what it takes, not by what waits: of messages of one size there is always as
   * much, however many have gone.
   *
   * @param of.waiting bytes of the answer that it has not taken. @param of.taken bytes that it has, of all that it was sent so far.
   */
  isStalled(whose: T, of: { readonly waiting: number; readonly taken: number }, now: number): boolean {
    const { waiting, taken } = of;
    if (waiting === 0) {
      if (this.#known.size > 0) this.#known.delete(whose);
      return false;
    }
    const before = this.#known.get(whose);
    if (before?.taken === taken) return now - before.since >= this.#timeoutMs + waiting / slowestReading;
    this.#known.set(whose, { taken, since: now });
    return false;
  }

  forget(whose: T): void {
    if (this.#known.size > 0) this.#known.delete(whose);
  }
}

/** The end of an answer whose client takes none of it. */
export function readerStalled(): RpcError {
  return new RpcError("resource_exhausted", {
    reason: "READER_STALLED",
    message:
      "the client stopped reading, and what it was sent waited too long; read on all the time, or ask for less",
  });
}

/** Tells whoever answers that its client takes nothing. False: nothing can be said any more. */
export type TellStalled = () => boolean;

/**
 * Ends answers of sockets of any protocol whose clients take nothing: told first where they have something to tell, then, after the same time
 * again, closed. One timer for all.
 */
export class StalledSockets {
  readonly #everyMs: number;
  readonly #clock: Clock;
  readonly #sockets = new Set<Socket>();
  readonly #waiting: Waiting<Socket>;
  /** Of sockets whose answer goes on: who tells its client. */
  readonly #tellers = new WeakMap<Socket, TellStalled>();
  #timer: NodeJS.Timeout | undefined;

  constructor(timeoutMs: number, clock: Clock) {
    this.#waiting = new Waiting(timeoutMs);
    this.#everyMs = Math.max(20, Math.min(1000, timeoutMs / 5));
    this.#clock = clock;
  }

  /** @returns what is to be called when it is closed. */
  watch(socket: Socket): () => void {
    this.#sockets.add(socket);
    this.#timer ??= setInterval(() => this.#look(), this.#everyMs).unref();
    return () => {
      this.#sockets.delete(socket);
      this.#waiting.forget(socket);
      if (this.#sockets.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    };
  }

  /** @param tell is called once, by the socket's next stall. A later one takes its place. */
  onStalled(socket: Socket, tell: TellStalled): void {
    this.#tellers.set(socket, tell);
  }

  #look(): void {
    const now = this.#clock.monotonic();
    for (const socket of this.#sockets) {
      const waiting = socket.writableLength;
      // What is given to the system counts as written from then on, and as waiting until it is gone.
      const taken = waiting === 0 ? 0 : socket.bytesWritten - waiting;
      if (this.#waiting.isStalled(socket, { waiting, taken }, now)) this.#end(socket);
    }
  }

  #end(socket: Socket): void {
    const tell = this.#tellers.get(socket);
    this.#tellers.delete(socket);
    if (tell?.() === true) this.#waiting.forget(socket);
    else socket.destroy();
  }
}
