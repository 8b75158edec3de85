/** Where servers listen: taking a port, and accepting no more on it. */
import type { Server } from "node:http";
import type { Http2Server } from "node:http2";
import { type AddressInfo, Server as NetServer } from "node:net";

/** Connections that wait to be taken, where the system allows it: one more is dropped, and its client tries again in 1 s, then 3, 7 and 15. */
const backlog = 4096;

/** @returns the port, which the system chose where 0 was asked for. */
export function listenOn(
  server: Server | Http2Server,
  where: { readonly host: string; readonly port: number; readonly reusePort: boolean },
): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ ...where, backlog }, () => {
      server.removeListener("error", reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/** `close` also closes idle HTTP/1 connections, and since Node 24 sessions of HTTP/2; here they first get their chance to hear about it. */
export function stopAccepting(server: Server | Http2Server): Promise<void> {
  return new Promise((resolve) => {
    if (!("closeIdleConnections" in server)) {
      NetServer.prototype.close.call(server as unknown as NetServer, () => resolve());
      return;
    }
    server.closeIdleConnections = () => {};
    server.close(() => resolve());
    delete (server as { closeIdleConnections?: unknown }).closeIdleConnections;
  });
}
