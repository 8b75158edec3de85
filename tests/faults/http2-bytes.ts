/** HTTP/2 written by hand, where a client library refuses to send what a server must refuse to take. */
import { connect } from "node:net";

/** RFC 9113 section 7. */
export const protocolError = 1;
export const internalError = 2;

export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const settings = frameBytes(4, 0, 0, Buffer.alloc(0));

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export function frameBytes(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** HEADERS of a gRPC call on stream 1, every field a literal without Huffman (RFC 7541 section 6.2.2). */
export function headersFrame(
  more: readonly (readonly [string, string])[],
  { path = "/test.v1.Echo/Unary" } = {},
): Buffer {
  const fields = [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "localhost"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...more,
  ];
  const literals = fields.flatMap(([name = "", value = ""]) => [
    Buffer.from([0, name.length]),
    Buffer.from(name, "latin1"),
    Buffer.from([value.length]),
    Buffer.from(value, "latin1"),
  ]);
  return frameBytes(1, 4, 1, Buffer.concat(literals));
}

/** DATA that ends stream 1. */
export function dataFrame(payload: Buffer): Buffer {
  return frameBytes(0, 1, 1, payload);
}

/** Sends the frames on a new connection and collects what comes back until the stream ends or is refused. */
export function openRaw(port: number, frames: Buffer): Promise<Frame[]> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const socket = connect(port, "127.0.0.1", () => socket.write(Buffer.concat([preface, settings, frames])));
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`the stream goes on; frames: ${parseFrames(received).map(({ type }) => type)}`));
    }, 2000);
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (
        parseFrames(received).some(
          ({ type, flags, stream }) => type === 3 || type === 7 || (stream === 1 && (flags & 1) === 1),
        )
      )
        socket.destroy();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(parseFrames(received));
    });
  });
}

/** The code of RST_STREAM or GOAWAY. */
export function streamError(frames: readonly Frame[]): number | undefined {
  const reset = frames.find(({ type }) => type === 3);
  if (reset !== undefined) return reset.payload.readUInt32BE(0);
  return frames.find(({ type }) => type === 7)?.payload.readUInt32BE(4);
}

export function parseFrames(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at + 9 <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    if (at + 9 + length > bytes.length) break;
    frames.push({
      type: bytes[at + 3]!,
      flags: bytes[at + 4]!,
      stream: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + 9, at + 9 + length),
    });
    at += 9 + length;
  }
  return frames;
}
