/** Reasons of storage. */
import type { Reasons } from "#rpc/reasons.ts";

export const reasons = {
  PAGE_TOKEN_INVALID: {
    code: "invalid_argument",
    meaning: "the page token is not one of ours, is too old, or belongs to another query",
  },
  FILTER_INVALID: {
    code: "invalid_argument",
    meaning: "the filter is not in the language of AIP-160, or names a field that cannot be filtered by",
  },
  ORDER_INVALID: {
    code: "invalid_argument",
    meaning: "the order names a field that cannot be ordered by, or one field twice",
  },
  DATABASE_UNAVAILABLE: {
    code: "unavailable",
    meaning: "the database does not answer; the call may be tried again",
  },
  DATABASE_CONFLICT: {
    code: "aborted",
    meaning: "another call was changing the same rows; nothing was written; the call may be tried again",
  },
  DATABASE_FULL: { code: "unavailable", meaning: "the database has no room left; nothing was written" },
} as const satisfies Reasons;
