/** Writes an attack on a connection of its own and sees how the server ends it. */
import type { Socket } from "node:net";
import { dial, type Where } from "../../support/dial.ts";
import { type Frame, frameBytes, parseFrames } from "../http2-bytes.ts";
import type { Attack } from "./http2-attacks.ts";

export interface Ending {
  readonly closed: boolean;
  readonly ms: number;
  /** Codes of RST_STREAM, in order, each once; of the last GOAWAY. */
  readonly resets: readonly number[];
  readonly goaway: number | undefined;
}

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1");
/** PING. */
const one = frameBytes(6, 0, 0, Buffer.alloc(8));
/** An attack is over when the server closes, or after so long. */
const patienceMs = 5000;

export function attack(
  where: Where,
  { sends, reads = true, ends }: Attack,
  withinMs = patienceMs,
): Promise<Ending> {
  const started = performance.now();
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let closed = false;
    const socket = dial(where, () => {
      socket.write(preface);
      let at = 0;
      const write = (): void => {
        while (at < sends.length && !socket.destroyed) {
          const piece = Buffer.concat(sends.slice(at, at + 500));
          at += 500;
          if (!socket.write(piece)) {
            socket.once("drain", write);
            return;
          }
        }
      };
      write();
    });
    const over = (): void => {
      clearTimeout(timer);
      clearInterval(poking);
      socket.destroy();
      const frames = parseFrames(Buffer.concat(chunks));
      resolve({ closed, ms: performance.now() - started, ...codesIn(frames) });
    };
    const timer: NodeJS.Timeout = setTimeout(over, withinMs);
    if (reads)
      socket.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        if (ends === "closed") return;
        const { resets } = codesIn(parseFrames(Buffer.concat(chunks)));
        if (resets.includes(ends.refused)) over();
      });
    // Who reads nothing hears of the end when it writes.
    const poking = reads
      ? undefined
      : setInterval(() => {
          if (socket.writableLength === 0) socket.write(one);
        }, 100);
    // A server that has had enough closes with bytes unread, which resets the connection.
    socket.on("error", () => {});
    socket.on("close", () => {
      closed = true;
      over();
    });
  });
}

function codesIn(frames: readonly Frame[]): { resets: number[]; goaway: number | undefined } {
  const resets = frames.filter(({ type }) => type === 3).map(({ payload }) => payload.readUInt32BE(0));
  const goaway = frames.findLast(({ type }) => type === 7)?.payload.readUInt32BE(4);
  return { resets: [...new Set(resets)], goaway };
}

export interface Http2Connection {
  write(bytes: Buffer): void;
  /** All frames so far, as soon as they are enough. */
  until(enough: (frames: readonly Frame[]) => boolean, ms: number): Promise<readonly Frame[]>;
  end(): void;
}

/** A client that answers PINGs and SETTINGS, and does what it is told besides. @param window of each stream, in bytes. */
export function openHttp2(where: Where, { window = 65_535 } = {}): Http2Connection {
  const socket = dial(where);
  const initialWindow = Buffer.alloc(6);
  initialWindow.writeUInt16BE(4);
  initialWindow.writeUInt32BE(window, 2);
  socket.write(Buffer.concat([preface.subarray(0, 24), frameBytes(4, 0, 0, initialWindow)]));
  let received = Buffer.alloc(0);
  let answered = 0;
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    const frames = parseFrames(received);
    for (const { type, flags, payload } of frames.slice(answered)) {
      if (type === 6 && (flags & 1) === 0) socket.write(frameBytes(6, 1, 0, payload));
      if (type === 4 && (flags & 1) === 0) socket.write(frameBytes(4, 1, 0, Buffer.alloc(0)));
    }
    answered = frames.length;
  });
  socket.on("error", () => {});
  return {
    write: (bytes) => void socket.write(bytes),
    until: async (enough, ms) => {
      for (const late = performance.now() + ms; ; ) {
        const frames = parseFrames(received);
        if (enough(frames)) return frames;
        if (performance.now() > late)
          throw new Error(
            `it did not come: ${JSON.stringify(frames.map(({ type, stream }) => [type, stream]))}`,
          );
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
    end: () => socket.destroy(),
  };
}

/** Writes the frames and waits until stream 1 is over. */
export async function say(where: Where, frames: readonly Buffer[]): Promise<readonly Frame[]> {
  const connection = openHttp2(where);
  connection.write(Buffer.concat(frames));
  try {
    return await connection.until(
      (all) => all.some(({ type, flags, stream }) => stream === 1 && (type === 3 || (flags & 1) === 1)),
      4000,
    );
  } finally {
    connection.end();
  }
}

/** A client that closes nothing by itself, writes on, and so hears when the server has closed. */
export function pour(where: Where, sent: string, ms: number): Promise<{ closed: boolean; got: string }> {
  return new Promise((resolve) => {
    let got = "";
    const socket = dial(where, undefined, true);
    const over = (closed: boolean): void => {
      clearInterval(poking);
      clearTimeout(timer);
      socket.destroy();
      resolve({ closed, got });
    };
    const poking = setInterval(() => {
      if (socket.writableLength === 0) socket.write("\r\n");
    }, 100);
    const timer = setTimeout(() => over(false), ms);
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      got += chunk.toString("latin1");
    });
    socket.once("close", () => over(true));
    socket.write(sent);
  });
}

/** Who reads nothing hears of the end when it writes. */
export async function closedWithin(socket: Socket, ms: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const poking = setInterval(() => {
      if (socket.writableLength === 0) socket.write("\r\n");
    }, 100);
    const over = (closed: boolean): void => {
      clearInterval(poking);
      clearTimeout(timer);
      socket.destroy();
      resolve(closed);
    };
    const timer: NodeJS.Timeout = setTimeout(() => over(false), ms);
    socket.once("close", () => over(true));
  });
}

/** Writes letter by letter until the server closes. */
export function drip(where: Where, sent: string, everyMs: number): Promise<string> {
  return new Promise((resolve) => {
    let got = "";
    let at = 0;
    const socket = dial(where);
    const timer = setInterval(() => {
      socket.write(sent.charAt(at));
      at += 1;
    }, everyMs);
    socket.on("data", (chunk: Buffer) => {
      got += chunk.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      clearInterval(timer);
      resolve(got);
    });
  });
}
