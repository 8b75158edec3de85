/**
 * The form in which every area declares its error reasons, and the reasons of the call itself.
 *
 * A reason is the stable, public half of an error (`google.rpc.ErrorInfo.reason`, domain `portico`): clients switch on it.
 * Reasons are append-only, mean one thing each, and are described in docs/reference/errors.md (a test insists, both ways).
 */
import type { ErrorCode } from "./code.ts";

export interface Reason {
  /** The code this reason usually comes with. */
  readonly code: ErrorCode;
  /** One sentence for people: what happened. */
  readonly meaning: string;
}

/** A table of reasons: UPPER_SNAKE_CASE names (AIP-193, at most 63 characters). */
export type Reasons = Readonly<Record<string, Reason>>;

export const reasons = {
  INTERNAL: { code: "internal", meaning: "something failed inside; the request id is in the log" },
  CALL_CANCELED: { code: "canceled", meaning: "the caller went away or cancelled the call" },
  DEADLINE_EXCEEDED: { code: "deadline_exceeded", meaning: "the call took longer than its deadline" },
  INPUT_REQUIRED: {
    code: "failed_precondition",
    meaning: "the method needs answers before it goes on; clients that can be asked are, over MCP",
  },
  CONFIRMATION_DECLINED: {
    code: "aborted",
    meaning: "a person was asked whether to go on, and did not agree",
  },
  METHOD_UNKNOWN: { code: "unimplemented", meaning: "no service here has this method" },
  METHOD_UNHOSTED: {
    code: "unimplemented",
    meaning: "the contract has this method but nothing here serves it",
  },
  FIELD_INVALID: { code: "invalid_argument", meaning: "a field has a value its type or rule does not allow" },
  FIELD_UNKNOWN: { code: "invalid_argument", meaning: "a field or parameter that the message does not have" },
  FIELD_REPEATED: { code: "invalid_argument", meaning: "a field was given more than once" },
  MESSAGE_MALFORMED: {
    code: "invalid_argument",
    meaning: "the bytes are not a message of the expected type",
  },
  MESSAGE_COUNT_INVALID: {
    code: "unimplemented",
    meaning: "a unary call carried no message or more than one",
  },
  PAYLOAD_TOO_LARGE: { code: "resource_exhausted", meaning: "a message is larger than the limit" },
  TOO_MANY_ELEMENTS: { code: "resource_exhausted", meaning: "a message holds more elements than the limit" },
  RESOURCE_NOT_FOUND: { code: "not_found", meaning: "there is no such resource, or not for this caller" },
  RESOURCE_EXISTS: { code: "already_exists", meaning: "the id is taken, perhaps by a deleted resource" },
  ETAG_MISMATCH: { code: "aborted", meaning: "somebody changed the resource since it was read" },
  STATE_TRANSITION_INVALID: {
    code: "failed_precondition",
    meaning: "the resource is in a state that does not allow this",
  },
} as const satisfies Reasons;
