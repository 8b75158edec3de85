/** Reasons of the users service. */
import type { Reasons } from "#rpc/reasons.ts";

export const reasons = {
  SIGN_IN_REFUSED: {
    code: "unauthenticated",
    meaning: "the e-mail, the password, or both are not right, or the user may not sign in",
  },
  SIGN_IN_LIMITED: {
    code: "resource_exhausted",
    meaning: "too many attempts for this account or from this address; wait as long as Retry-After says",
  },
  SIGN_IN_OVERLOADED: { code: "resource_exhausted", meaning: "too many passwords are being checked at once" },
  REFRESH_TOKEN_INVALID: {
    code: "unauthenticated",
    meaning: "the refresh token is unknown, over, or was used before, which ends its session",
  },
  EMAIL_TAKEN: { code: "already_exists", meaning: "another user of the tenant has this e-mail" },
  CERTIFICATE_TAKEN: { code: "already_exists", meaning: "a certificate's URI stands for another user" },
  ROLE_IN_USE: { code: "failed_precondition", meaning: "users have this role; take it from them first" },
  ROLE_BUILT_IN: { code: "failed_precondition", meaning: "built-in roles cannot be changed" },
  SELF_FORBIDDEN: { code: "permission_denied", meaning: "nobody may do this to themselves" },
  SCOPE_EXCEEDED: {
    code: "permission_denied",
    meaning: "nobody can give away more than they have themselves",
  },
} as const satisfies Reasons;
