/** Reasons of storage. */
import type { Reasons } from "#rpc/reasons.ts";

export const reasons = {
  PAGE_TOKEN_INVALID: {
    code: "invalid_argument",
    meaning: "the page token is not one of ours, is too old, or belongs to another query",
  },
} as const satisfies Reasons;
