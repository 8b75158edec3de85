/** Reasons of the events service. */
import type { Reasons } from "#rpc/reasons.ts";

export const reasons = {
  TOPIC_INVALID: { code: "invalid_argument", meaning: "there are no topics of this name" },
  TOPIC_FORBIDDEN: { code: "permission_denied", meaning: "the caller may not read what the topic is about" },
  CURSOR_INVALID: { code: "invalid_argument", meaning: "the cursor is none that this log gave" },
  CURSOR_EXPIRED: {
    code: "out_of_range",
    meaning: "events after the cursor are gone; read what they were about anew",
  },
  FOLLOWERS_LIMITED: { code: "resource_exhausted", meaning: "too many streams of events are open" },
  SERVER_DRAINING: {
    code: "unavailable",
    meaning: "the process shuts down; come again with the last cursor",
  },
} as const satisfies Reasons;
