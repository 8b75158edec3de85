/**
 * "Please go" over HTTP/2: a GOAWAY that refuses no stream (RFC 9113 section 6.8). What is on its way meanwhile is served; the last GOAWAY,
 * which names the last stream that is, comes when the news has spread.
 *
 * Node's own `goaway()` cannot say that: nghttp2 passes over every stream that comes after it, whatever id it names, so their clients wait
 * until the last one and ask again. nghttp2 has a call for it (`nghttp2_submit_shutdown_notice`) that Node does not offer. So the frame is
 * written here: between two writes of a session there is never half a frame.
 *
 * It is written past node, and only where the system takes all of it at once. The end of a write that has to wait would be told to the session,
 * which did not begin it, and node ends the process over that (`is_write_in_progress()`): a client that reads nothing could have it so.
 */
import { writeSync } from "node:fs";
import type { ServerHttp2Session } from "node:http2";

export interface NoticeSocket {
  readonly destroyed: boolean;
  destroy(): void;
}

/** What node keeps of a connection and its types leave out; where it does not, the last GOAWAY comes at once. */
interface Inner {
  readonly _handle?: { readonly fd?: number; readonly writeQueueSize?: number } | null;
}

/** Length 8, GOAWAY, no flags, stream 0; the highest stream there can be, NO_ERROR. */
const pleaseGo = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

/**
 * @param socket the session's; undefined over TLS, whose records only node can write: there the last GOAWAY comes at once, and what was on its
 * way is asked again. (SETTINGS with no streams at all would have the same refused before they are heard of.) So it does where a client has not
 * read what it was sent.
 */
export function sendNotice(session: ServerHttp2Session, socket: NoticeSocket | undefined): void {
  if (session.closed || session.destroyed) return;
  if (socket === undefined || !isWritten(socket)) session.close();
}

function isWritten(socket: NoticeSocket): boolean {
  const { fd = -1, writeQueueSize } = (socket as Inner)._handle ?? {};
  // What waits may end in the middle of a frame.
  if (socket.destroyed || fd < 0 || writeQueueSize !== 0) return false;
  try {
    // A part of a frame can be followed by nothing.
    if (writeSync(fd, pleaseGo) < pleaseGo.length) socket.destroy();
    return true;
  } catch {
    // There is no room, or nobody: the session hears of the latter itself.
    return false;
  }
}
