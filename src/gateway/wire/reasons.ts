/** Reasons of framing. */
import type { Reasons } from "#rpc/reasons.ts";

export const reasons = {
  FRAME_MALFORMED: { code: "internal", meaning: "the bytes around a message do not follow the protocol" },
  METADATA_INVALID: {
    code: "invalid_argument",
    meaning: "a header or metadata value is not of the form its name demands",
  },
  TIMEOUT_INVALID: { code: "invalid_argument", meaning: "a timeout header is not a number with a unit" },
  COMPRESSION_UNKNOWN: {
    code: "unimplemented",
    meaning: "the message is compressed in a way that is not supported",
  },
} as const satisfies Reasons;
