/** Whoever sends ten thousand frames at once does not have them all looked at before anybody else's. */
import type { WebSocket } from "ws";

/** What one read of a socket brings comes besides. */
const messagesOfTurn = 100;

/** After so many messages the socket is not read until all others had their turn. */
export function takeTurns(socket: WebSocket): void {
  let messages = 0;
  socket.on("message", () => {
    messages += 1;
    if (messages < messagesOfTurn) return;
    messages = 0;
    // Somebody waits already, and says when to go on.
    if (socket.isPaused) return;
    socket.pause();
    setImmediate(() => {
      if (socket.readyState === socket.OPEN) socket.resume();
    });
  });
}
