/** Reasons of the gateway's own services. */
import type { Reasons } from "#rpc/reasons.ts";

export const reasons = {
  INSTALLATION_FORBIDDEN: {
    code: "permission_denied",
    meaning: "this is for administrators of the whole installation, which are those of its first tenant",
  },
  SERVICE_UNKNOWN: { code: "not_found", meaning: "health was asked for a service that is not hosted here" },
} as const satisfies Reasons;
