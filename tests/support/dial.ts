/** Connections of clients that write bytes themselves, in clear text or over TLS. */
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** A port of this machine: in clear text, or over TLS with who signed its certificate and what is said to be spoken on it, if anything is. */
export type Where =
  | number
  | { readonly port: number; readonly ca: string; readonly speaks: "h2" | "http/1.1" | undefined };

/** @param connected is called when something may be written. @param halfOpen whether the other end's end is not also ours. */
export function dial(where: Where, connected: () => void = () => {}, halfOpen = false): Socket {
  const there = { host: "127.0.0.1", allowHalfOpen: halfOpen };
  if (typeof where === "number") return connect({ ...there, port: where }, connected);
  const { port, ca, speaks } = where;
  const alpn = speaks === undefined ? {} : { ALPNProtocols: [speaks] };
  return connectTls({ ...there, ...{ port, ca }, servername: "localhost", ...alpn }, connected);
}
