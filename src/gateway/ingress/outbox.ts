/**
 * The messages of a stream on their way out: those that are ready in the same turn leave in one piece.
 *
 * A message that is alone waits for nothing: it leaves at the end of the turn it was made in, which is when the connection writes anyway. And
 * nothing is collected for a reader who is behind: a piece is written as soon as it is full, and `room` says when to make more.
 */
import { appendFrame } from "#gateway/wire/grpc-frames.ts";
import type { Encoding, Payload } from "#rpc/payload.ts";
import { ByteSink } from "#std/byte-sink.ts";
import type { Exchange, ResponseHeaders } from "./exchange.ts";

/**
 * A piece is full from here: one frame of HTTP/2. Larger ones gain nothing (measured up to 64 KiB), and what is made for a reader who has
 * stopped may be one piece more than the connection's own buffer.
 */
const fullBytes = 16 * 1024;
/** Sinks that nobody fills at the moment. Each stream that has something ready holds one until the end of the turn. */
const idle: ByteSink[] = [];
const maxIdle = 16;

export class Outbox {
  readonly #exchange: Exchange;
  #sink: ByteSink | undefined;
  #isTold = false;
  /** Of a piece that was written with nobody waiting; taken by `room`. */
  #room: Promise<void> | undefined;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  /**
   * To be waited for before more is made, where the reader is behind; undefined: go on at once, for waiting for what is there already
   * costs a stream of small messages a tenth of its speed. Rejects when the client is gone.
   */
  room(): Promise<void> | undefined {
    const room = this.#room;
    this.#room = undefined;
    return room;
  }

  /** Appends a message with gRPC's prefix. @throws what the payload throws; nothing is appended then */
  frame(payload: Payload, encoding: Encoding): void {
    appendFrame(this.#held(), payload, encoding);
  }

  bytes(chunk: Uint8Array): void {
    this.#held().set(chunk);
  }

  text(text: string): void {
    this.#held().text(text);
  }

  /** What was appended may leave: the answer has started. As `room`, for what comes next. */
  added(): Promise<void> | undefined {
    if (this.#sink !== undefined && this.#sink.at >= fullBytes) return this.#write();
    if (!this.#isTold) {
      this.#isTold = true;
      // Runs when all that is ready has run, and before anything from outside is waited for.
      process.nextTick(this.#flush);
    }
    return undefined;
  }

  /** What is left, and the end. */
  end(trailers?: ResponseHeaders): void {
    const last = this.#take();
    if (last === undefined) this.#exchange.end(trailers);
    else this.#exchange.endWith(last, trailers);
  }

  readonly #flush = (): void => {
    this.#isTold = false;
    const room = this.#write();
    if (room === undefined) return;
    this.#room = room;
    room.catch(ignore);
  };

  #write(): Promise<void> | undefined {
    const piece = this.#take();
    return piece === undefined ? undefined : this.#exchange.write(piece);
  }

  #held(): ByteSink {
    this.#sink ??= idle.pop() ?? new ByteSink();
    return this.#sink;
  }

  #take(): Buffer | undefined {
    const sink = this.#sink;
    if (sink === undefined) return undefined;
    this.#sink = undefined;
    const piece = sink.at === 0 ? undefined : sink.take();
    if (idle.length < maxIdle) idle.push(sink);
    return piece;
  }
}

/** Whoever asks for room hears of it; with nobody asking, the call's own signal says that the client is gone. */
function ignore(): void {}
