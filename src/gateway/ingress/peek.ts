/** Which HTTP a connection in clear text speaks, told by its first bytes. */
import type { Socket } from "node:net";
import { swallow } from "./connections.ts";

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
/** What begins with its first line means HTTP/2, and hears in HTTP/2 what is wrong with the rest. */
const prefaceLine = 16;

/** Looks at the first bytes and puts them back. A socket that stays silent is closed. */
export function peek(socket: Socket, timeoutMs: number, found: (isHttp2: boolean) => void): void {
  const drop = (): void => void socket.destroy();
  const timer = setTimeout(drop, timeoutMs);
  socket.on("error", swallow);
  // HTTP/1's sockets may be half open: one whose client has gone without a word would stay until the timer.
  socket.once("end", drop);
  const look = (): void => {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) {
      if (!socket.destroyed && !socket.readableEnded) socket.once("readable", look);
      return;
    }
    const compared = Math.min(chunk.length, prefaceLine);
    const same = chunk.subarray(0, compared).equals(preface.subarray(0, compared));
    socket.unshift(chunk);
    // "P" alone could still become PUT or PATCH; three bytes decide.
    if (same && compared < 3) {
      setTimeout(look, 10);
      return;
    }
    clearTimeout(timer);
    socket.removeListener("error", swallow);
    socket.removeListener("end", drop);
    found(same);
  };
  socket.once("readable", look);
  socket.once("close", () => clearTimeout(timer));
}
