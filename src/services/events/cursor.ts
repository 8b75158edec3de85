/** Cursors: an event's number with leading zeros, so that they compare as text as they do as numbers. */
import { RpcError } from "#rpc/error.ts";

const digits = 16;

export function cursorOf(number: number): string {
  return String(number).padStart(digits, "0");
}

/** @param head number of the last event. @throws RpcError CURSOR_INVALID. */
export function readCursor(text: string, head: number, field: string): number {
  const number = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (number <= head) return number;
  throw new RpcError("invalid_argument", {
    reason: "CURSOR_INVALID",
    message: `${field}: is no cursor of this log; leave it empty to begin now, or send "0" for all that is kept`,
    metadata: { field },
  });
}
