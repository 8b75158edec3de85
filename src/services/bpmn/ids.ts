/** Ids for documents whose creator did not choose one. */
import { randomBytes } from "node:crypto";

const crockford = "0123456789abcdefghjkmnpqrstvwxyz";

/** "bpm-" and a ULID in lower case: ten characters of milliseconds, sixteen of randomness. Sorts by time. */
export function newId(now: number): string {
  let time = "";
  for (let rest = now, at = 0; at < 10; at += 1, rest = Math.floor(rest / 32))
    time = crockford.charAt(rest % 32) + time;
  return `bpm-${time}${[...randomBytes(16)].map((byte) => crockford.charAt(byte % 32)).join("")}`;
}
