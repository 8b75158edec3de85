/**
 * gRPC's length-prefixed messages: one flag byte, four bytes of length, the message.
 *
 * The declared length is checked before anything is allocated for it.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests ("Length-Prefixed-Message")
 */
import { RpcError } from "#rpc/error.ts";
import type { Encoding, Payload } from "#rpc/payload.ts";
import { ByteSink } from "#std/byte-sink.ts";

export interface Frame {
  readonly compressed: boolean;
  readonly bytes: Uint8Array;
}

/** Flag byte and length in front of a message. */
export const prefixBytes = 5;

/** A message with its prefix, in one buffer. */
export function writeFrame(message: Uint8Array, compressed: boolean): Buffer {
  const frame = Buffer.allocUnsafe(prefixBytes + message.length);
  frame[0] = compressed ? 1 : 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, prefixBytes);
  return frame;
}

/** Shared: a frame is written without a pause. */
const scratch = new ByteSink();

/** The message of a payload with its prefix, in one buffer. @throws what the payload throws */
export function frameOf(payload: Payload, encoding: Encoding): Buffer {
  scratch.at = 0;
  appendFrame(scratch, payload, encoding);
  return scratch.take();
}

/** The same behind what the sink holds: encoded where it stands. @throws what the payload throws; the sink is then as it was */
export function appendFrame(sink: ByteSink, payload: Payload, encoding: Encoding): void {
  const before = sink.at;
  sink.room(prefixBytes);
  sink.at = before + prefixBytes;
  try {
    payload.writeTo(sink, encoding);
  } catch (thrown) {
    sink.at = before;
    throw thrown;
  }
  sink.bytes[before] = 0;
  sink.bytes.writeUInt32BE(sink.at - before - prefixBytes, before + 1);
}

/**
 * Takes chunks as they come and gives frames as they are complete. Holds at most one message and one chunk.
 */
export class FrameReader {
  readonly #maxBytes: number;
  #chunks: Uint8Array[] = [];
  #held = 0;
  /** Declared size of the message under way with its prefix; 0 while the prefix is not complete. */
  #needed = 0;

  /** @param maxBytes of one message as declared, prefix not counted. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#held += chunk.length;
  }

  /**
   * The next complete frame, or undefined until more has come.
   * @throws RpcError `resource_exhausted` for a declared length over the limit, `internal` for unknown flags.
   */
  next(): Frame | undefined {
    if (this.#needed === 0) {
      if (this.#held < prefixBytes) return undefined;
      this.#needed = this.#readPrefix() + prefixBytes;
    }
    if (this.#held < this.#needed) return undefined;
    const all = this.#join();
    const frame = { compressed: all[0] === 1, bytes: all.subarray(prefixBytes, this.#needed) };
    const rest = all.subarray(this.#needed);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#held = rest.length;
    this.#needed = 0;
    return frame;
  }

  /** @throws RpcError `internal` when the stream ended inside a frame. */
  end(): void {
    if (this.#held > 0) {
      throw malformedFrame(
        `the stream ended inside a message: ${this.#held} of ${this.#needed || "unknown"} bytes had come`,
      );
    }
  }

  #readPrefix(): number {
    const head = this.#join();
    const flags = head[0] ?? 0;
    if (flags > 1) throw malformedFrame(`unknown flags ${flags} in front of a message`);
    const length = ((head[1] ?? 0) << 24) | ((head[2] ?? 0) << 16) | ((head[3] ?? 0) << 8) | (head[4] ?? 0);
    const declared = length >>> 0;
    if (declared > this.#maxBytes) throw messageTooLarge(declared, this.#maxBytes);
    return declared;
  }

  #join(): Uint8Array {
    const [first] = this.#chunks;
    if (this.#chunks.length === 1 && first !== undefined) return first;
    const joined = Buffer.concat(this.#chunks, this.#held);
    this.#chunks = [joined];
    return joined;
  }
}

export function malformedFrame(message: string): RpcError {
  return new RpcError("internal", { reason: "FRAME_MALFORMED", message });
}

export function messageTooLarge(bytes: number, maxBytes: number): RpcError {
  return new RpcError("resource_exhausted", {
    reason: "PAYLOAD_TOO_LARGE",
    message: `a message of ${bytes} bytes is larger than the ${maxBytes} that are allowed`,
    metadata: { limitBytes: String(maxBytes) },
  });
}
