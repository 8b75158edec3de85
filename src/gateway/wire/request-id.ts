/** Request ids: the client's own where it is well formed, else a new one. */
import { randomBytes } from "node:crypto";

const wellFormed = /^[A-Za-z0-9._-]{1,128}$/;
/** Random bytes are drawn in bulk: one system call for a thousand ids instead of one each. */
const pool = { bytes: Buffer.alloc(0), at: 0 };
const idBytes = 12;

export function requestIdFrom(header: string | string[] | undefined): string {
  return typeof header === "string" && wellFormed.test(header) ? header : newRequestId();
}

function newRequestId(): string {
  if (pool.at + idBytes > pool.bytes.length) {
    pool.bytes = randomBytes(idBytes * 1024);
    pool.at = 0;
  }
  const id = pool.bytes.toString("hex", pool.at, pool.at + idBytes);
  pool.at += idBytes;
  return `req-${id}`;
}
