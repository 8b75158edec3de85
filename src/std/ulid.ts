/** ULIDs: 48 bits of milliseconds and 80 of randomness in Crockford's base 32; they sort by time. */
import { randomBytes } from "node:crypto";

const crockford = "0123456789abcdefghjkmnpqrstvwxyz";

/**
 * 26 characters in lower case: ten of the time, sixteen of randomness.
 *
 * @param now milliseconds since 1970.
 * @see https://github.com/ulid/spec
 */
export function ulid(now: number): string {
  let time = "";
  for (let rest = now, at = 0; at < 10; at += 1, rest = Math.floor(rest / 32))
    time = crockford.charAt(rest % 32) + time;
  return time + [...randomBytes(16)].map((byte) => crockford.charAt(byte % 32)).join("");
}
