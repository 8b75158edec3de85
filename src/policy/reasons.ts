/** Reasons of the policies. */
import type { Reasons } from "#rpc/reasons.ts";

export const reasons = {
  CREDENTIAL_MISSING: {
    code: "unauthenticated",
    meaning: "the method is not for everybody, and no credential came",
  },
  CREDENTIAL_INVALID: {
    code: "unauthenticated",
    meaning:
      "the credential is not one of ours, is over, revoked, or not for this network, or its user is suspended",
  },
  CREDENTIAL_AMBIGUOUS: {
    code: "unauthenticated",
    meaning: "more than one credential of a kind came; send one",
  },
  CREDENTIALS_DIFFER: {
    code: "unauthenticated",
    meaning: "two credentials came that stand for different callers",
  },
  RIGHTS_CHANGED: {
    code: "unavailable",
    meaning: "what the caller may do changed while its stream was open; call again",
  },
  RATE_LIMITED: {
    code: "resource_exhausted",
    meaning: "the caller calls more often than it may; Retry-After says when to try again",
  },
  OVERLOADED: {
    code: "unavailable",
    meaning: "the process works on as many calls as it can carry; Retry-After says when to try again",
  },
  IDEMPOTENCY_KEY_REUSED: {
    code: "failed_precondition",
    meaning: "the idempotency key came before with another request",
  },
  IDEMPOTENCY_IN_PROGRESS: {
    code: "aborted",
    meaning: "a call with the same idempotency key is still being worked on",
  },
  IDEMPOTENCY_ANSWER_LOST: {
    code: "aborted",
    meaning: "the call was done before, and its answer is not kept: it held a secret, or the process died",
  },
  RULE_DENIED: {
    code: "permission_denied",
    meaning: "the method's rule does not allow this request to this caller",
  },
  SCOPE_MISSING: {
    code: "permission_denied",
    meaning: "the caller has none of the scopes that the method asks for",
  },
} as const satisfies Reasons;
