/** Reads a request body from a Node stream, whole or piece by piece. */
import type { Readable } from "node:stream";
import { clientGone } from "#rpc/call.ts";
import { bodyTooLarge } from "./body-limit.ts";

const empty = new Uint8Array(0);

/** @throws RpcError PAYLOAD_TOO_LARGE as soon as the limit is passed; CALL_CANCELED when the client leaves. */
export function readWhole(stream: Readable, maxBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let first: Buffer | undefined;
    let more: Buffer[] | undefined;
    let size = 0;
    let ended = false;
    stream.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > maxBytes) {
        ended = true;
        stream.removeAllListeners("data");
        // The rest flows into nothing, so that the connection can carry the answer.
        stream.resume();
        reject(bodyTooLarge(maxBytes));
        return;
      }
      if (first === undefined) first = chunk;
      else if (more === undefined) more = [first, chunk];
      else more.push(chunk);
    });
    stream.once("end", () => {
      if (ended) return;
      ended = true;
      resolve(more === undefined ? (first ?? empty) : Buffer.concat(more, size));
    });
    const gone = (): void => {
      if (ended) return;
      ended = true;
      reject(clientGone());
    };
    stream.once("error", gone);
    stream.once("close", gone);
  });
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
