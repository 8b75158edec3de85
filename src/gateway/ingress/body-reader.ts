/** Reads a request body from a Node stream, whole or piece by piece. */
import type { Readable } from "node:stream";
import { clientGone } from "#rpc/call.ts";
import { type RpcError, toRpcError } from "#rpc/error.ts";
import { bodyTooLarge, tooManyPieces } from "./body-limit.ts";
import type { BodyListener } from "./exchange.ts";

const empty = new Uint8Array(0);
/** So many pieces are put together at a time: each costs a hundred times the byte that it may be. */
const piecesOfPage = 1024;
/** A body may come in so many pieces, and in one more for each four bytes: fewer bytes a piece are no client's, but a flood. */
const freePieces = 5000;
const bytesOfPiece = 4;

export function isFlood(pieces: number, bytes: number): boolean {
  return pieces > freePieces + bytes / bytesOfPiece;
}

/** A body on its way in, in the pieces that it comes in. */
export class Pieces {
  #pages: Uint8Array[] = [];
  #pieces: Uint8Array[] = [];
  #count = 0;
  size = 0;

  /** @throws RpcError PAYLOAD_TOO_LARGE when they are too many for what is in them. */
  add(piece: Uint8Array): void {
    this.#count += 1;
    this.size += piece.length;
    if (isFlood(this.#count, this.size)) throw tooManyPieces(this.#count);
    this.#pieces.push(piece);
    if (this.#pieces.length < piecesOfPage) return;
    this.#pages.push(Buffer.concat(this.#pieces));
    this.#pieces = [];
  }

  whole(): Uint8Array {
    return Buffer.concat([...this.#pages, ...this.#pieces], this.size);
  }
}

/** Whose body it is. */
export interface BodyOwner {
  /** Who was given the body threw. Called by a socket or a timer, it would be nobody's error, and end the process. */
  threw(error: unknown): void;
}

/**
 * Puts the whole of a body together; `done` runs once, in the turn in which the last byte comes.
 * Errors: PAYLOAD_TOO_LARGE as soon as the limit is passed, or by a flood of pieces, whose rest is not to be read; CALL_CANCELED when the client leaves.
 */
export class WholeBody {
  readonly #maxBytes: number;
  /** Let go of when it has run: node holds on to streams for a while, and they would to their calls. */
  #done: BodyListener | undefined;
  readonly #owner: BodyOwner;
  #first: Uint8Array | undefined;
  #more: Pieces | undefined;
  /** What has come, in bytes, whether or not it was wanted. */
  size = 0;
  /** Pieces of hardly any bytes. */
  isFlood = false;

  constructor(maxBytes: number, done: BodyListener, owner: BodyOwner) {
    this.#maxBytes = maxBytes;
    this.#done = done;
    this.#owner = owner;
  }

  /** `done` has run. */
  get ended(): boolean {
    return this.#done === undefined;
  }

  /** @returns whether more may come. What comes behind an error is let flow, so that the connection can carry the answer. */
  add(chunk: Uint8Array): boolean {
    this.size += chunk.length;
    if (this.ended) return !this.isFlood;
    if (this.size > this.#maxBytes) this.fail(bodyTooLarge(this.#maxBytes));
    else if (this.#first === undefined) this.#first = chunk;
    else return this.#addMore(this.#first, chunk);
    return true;
  }

  #addMore(first: Uint8Array, chunk: Uint8Array): boolean {
    try {
      if (this.#more === undefined) {
        this.#more = new Pieces();
        this.#more.add(first);
      }
      this.#more.add(chunk);
      return true;
    } catch (error) {
      this.isFlood = true;
      this.fail(toRpcError(error));
      return false;
    }
  }

  end(): void {
    if (!this.ended)
      this.#tell(undefined, this.#more === undefined ? (this.#first ?? empty) : this.#more.whole());
  }

  /** The client has left. Every body closes in the end: an error is made for those alone that did so too soon. */
  gone(): void {
    if (!this.ended) this.#tell(clientGone(), empty);
  }

  fail(error: RpcError): void {
    if (!this.ended) this.#tell(error, empty);
  }

  #tell(error: RpcError | undefined, body: Uint8Array): void {
    const done = this.#done;
    this.#done = undefined;
    this.#more = undefined;
    this.#first = undefined;
    try {
      done?.(error, body);
    } catch (thrown) {
      this.#owner.threw(thrown);
    }
  }
}

/**
 * Pulled: the stream is paused while nobody asks.
 * @param came hears of every piece, and of those that nobody reads.
 * @throws RpcError CALL_CANCELED when the client leaves.
 */
export async function* readChunks(
  stream: Readable,
  came: (chunk: Uint8Array) => void = () => {},
): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
      came(chunk as Uint8Array);
      yield chunk as Uint8Array;
    }
  } catch {
    // Whatever the socket said, for the call it means that the client is gone.
    throw clientGone();
  } finally {
    // What nobody reads flows into nothing: left where it is, it would keep HTTP/1 from its next request.
    if (!stream.readableEnded) stream.on("data", came).resume();
  }
}
