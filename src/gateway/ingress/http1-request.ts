/**
 * Requests over HTTP/1 whose body can be had without a stream: what node's parser reads goes to who waits for the whole of it, in the turn in
 * which it comes. A stream's life (flow, read, end, close, each a turn later) costs a small body more than its decoding. See decision 0026.
 */
import type { WholeBody } from "./body-reader.ts";
import { IncomingMessage } from "./node-http.ts";

/** Node's own way to say that a request's stream has been played to its end; without it, it is played. */
interface Inner {
  _dumpAndCloseReadable?(): void;
}

export class Http1Request extends IncomingMessage {
  #whole: WholeBody | undefined;

  /** Gives the body to `whole` alone, what has come of it at once. */
  collect(whole: WholeBody): void {
    this.#whole = whole;
    if (this.readableLength > 0)
      for (let chunk = this.read() as Buffer | null; chunk !== null; chunk = this.read() as Buffer | null)
        whole.add(chunk);
    if (this.complete) whole.end();
    else if (this.socket.destroyed) whole.gone();
  }

  /** Called by node's parser for each piece, and with null at the end. @returns false to read no more of the socket. */
  override push(chunk: Uint8Array | null, encoding?: BufferEncoding): boolean {
    const whole = this.#whole;
    if (whole === undefined) return super.push(chunk, encoding);
    if (chunk !== null) return whole.add(chunk);
    const inner = this as Inner;
    if (inner._dumpAndCloseReadable !== undefined) inner._dumpAndCloseReadable();
    else {
      super.push(null);
      this.resume();
    }
    whole.end();
    return false;
  }

  /** Node lets what nobody reads flow away once the answer is written: of a flood nothing more is read. */
  override _read(size: number): void {
    if (this.#whole?.isFlood !== true) super._read(size);
  }

  /** A client that leaves, too: whoever waits for a body that comes no more is told. */
  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#whole?.gone();
    super._destroy(error, callback);
  }
}
