/**
 * "Please go" over HTTP/2: a GOAWAY that refuses no stream (RFC 9113 section 6.8). What is on its way meanwhile is served; the last GOAWAY,
 * which names the last stream that is, comes when the news has spread.
 *
 * Node's own `goaway()` cannot say that: nghttp2 passes over every stream that comes after it, whatever id it names, so their clients wait
 * until the last one and ask again. nghttp2 has a call for it (`nghttp2_submit_shutdown_notice`) that Node does not offer. So the frame is
 * written here: between two writes of a session there is never half a frame.
 */
import type { ServerHttp2Session } from "node:http2";

export interface NoticeSocket {
  readonly writable: boolean;
  write(bytes: Uint8Array): unknown;
}

/** Length 8, GOAWAY, no flags, stream 0; the highest stream there can be, NO_ERROR. */
const pleaseGo = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

/**
 * @param socket the session's; undefined over TLS, whose sockets take one write at a time and would have two: there the last GOAWAY
 * comes at once, and what was on its way is asked again.
 */
export function sendNotice(session: ServerHttp2Session, socket: NoticeSocket | undefined): void {
  if (session.closed || session.destroyed) return;
  if (socket?.writable === true) socket.write(pleaseGo);
  else session.close();
}
