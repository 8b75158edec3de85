/** Reads a request body from a Node stream, whole or piece by piece. */
import type { Readable } from "node:stream";
import { clientGone } from "#rpc/call.ts";
import { bodyTooLarge } from "./body-limit.ts";
import type { BodyListener } from "./exchange.ts";

const empty = new Uint8Array(0);

/**
 * The whole body; `done` runs once, in the turn in which the last byte comes.
 * Errors: PAYLOAD_TOO_LARGE as soon as the limit is passed; CALL_CANCELED when the client leaves.
 */
export function collectWhole(stream: Readable, maxBytes: number, done: BodyListener): void {
  let first: Buffer | undefined;
  let more: Buffer[] | undefined;
  let size = 0;
  let ended = false;
  stream.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size > maxBytes) {
      // The rest flows into nothing, so that the connection can carry the answer.
      if (ended) return;
      ended = true;
      done(bodyTooLarge(maxBytes), empty);
    } else if (first === undefined) first = chunk;
    else if (more === undefined) more = [first, chunk];
    else more.push(chunk);
  });
  stream.on("end", () => {
    if (ended) return;
    ended = true;
    done(undefined, more === undefined ? (first ?? empty) : Buffer.concat(more, size));
  });
  const gone = (): void => {
    if (ended) return;
    ended = true;
    done(clientGone(), empty);
  };
  stream.on("error", gone);
  stream.on("close", gone);
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
