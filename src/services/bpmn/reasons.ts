/** Reasons of the BPMN service. */
import type { Reasons } from "#rpc/reasons.ts";

export const reasons = {
  CONTENT_TOO_LARGE: {
    code: "failed_precondition",
    meaning: "the content is too large for this method; use download",
  },
  RANGE_NOT_SATISFIABLE: { code: "out_of_range", meaning: "the range begins behind the end of the content" },
  DIGEST_MISMATCH: {
    code: "invalid_argument",
    meaning: "the bytes that came are not the ones that were announced",
  },
  MODEL_INVALID: { code: "invalid_argument", meaning: "the XML is not a BPMN 2.0 document that can be kept" },
  ANALYSIS_OVERLOADED: {
    code: "resource_exhausted",
    meaning: "too many documents are being analysed at once",
  },
  ANALYSIS_TOO_COSTLY: {
    code: "resource_exhausted",
    meaning: "reading the document takes more time or memory than is allowed",
  },
  ANALYSIS_STOPPED: { code: "unavailable", meaning: "the process shut down before the document was read" },
} as const satisfies Reasons;
