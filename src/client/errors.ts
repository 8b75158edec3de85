/** How a call failed, as the client sees it. */

/** Names of google.rpc.Code by number. @see https://grpc.io/docs/guides/status-codes/ */
const names = [
  "ok",
  "cancelled",
  "unknown",
  "invalid_argument",
  "deadline_exceeded",
  "not_found",
  "already_exists",
  "permission_denied",
  "resource_exhausted",
  "failed_precondition",
  "aborted",
  "out_of_range",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
  "unauthenticated",
] as const;

export type CodeName = (typeof names)[number];

/** A detail of an error: a message of google.rpc in ProtoJSON, by its type. */
export interface ErrorDetail {
  readonly "@type": string;
  readonly [field: string]: unknown;
}

export interface Status {
  readonly code?: number;
  readonly message?: string;
  readonly details?: readonly ErrorDetail[];
}

/** A call that did not go well: what the server answered, or why it could not be asked. */
export class CallError extends Error {
  override readonly name = "CallError";
  readonly code: CodeName;
  /** The stable name of what is wrong, such as `RESOURCE_NOT_FOUND`; `CONNECTION_LOST` where no server said anything. */
  readonly reason: string | undefined;
  readonly details: readonly ErrorDetail[];

  constructor(status: Status) {
    super(status.message ?? "");
    this.code = names[status.code ?? 2] ?? "unknown";
    this.details = status.details ?? [];
    const info = this.details.find((detail) => detail["@type"].endsWith("/google.rpc.ErrorInfo"));
    this.reason = typeof info?.reason === "string" ? info.reason : undefined;
  }
}

/** @returns an error that this side makes, in the form of the server's. */
export function ownError(code: CodeName, reason: string, message: string): CallError {
  return new CallError({
    code: names.indexOf(code),
    message,
    details: [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason, domain: "portico.client" }],
  });
}
