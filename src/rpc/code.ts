/**
 * The one code table: the 17 gRPC codes and what each is called or numbered in every protocol.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/statuscodes.md
 * @see https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto (the HTTP mapping)
 */

/** A gRPC status code by its lower-case name; the spelling Connect uses on the wire. */
export type Code = keyof typeof codes;

/** Every code but `ok`: what an error can carry. */
export type ErrorCode = Exclude<Code, "ok">;

export interface CodeRow {
  /** The number in `grpc-status` and `google.rpc.Status.code`. */
  readonly number: number;
  /** The HTTP status of a REST or Connect unary answer. */
  readonly http: number;
  /** The upper-case name people know from `google.rpc.Code`. */
  readonly label: string;
}

export const codes = {
  ok: { number: 0, http: 200, label: "OK" },
  canceled: { number: 1, http: 499, label: "CANCELLED" },
  unknown: { number: 2, http: 500, label: "UNKNOWN" },
  invalid_argument: { number: 3, http: 400, label: "INVALID_ARGUMENT" },
  deadline_exceeded: { number: 4, http: 504, label: "DEADLINE_EXCEEDED" },
  not_found: { number: 5, http: 404, label: "NOT_FOUND" },
  already_exists: { number: 6, http: 409, label: "ALREADY_EXISTS" },
  permission_denied: { number: 7, http: 403, label: "PERMISSION_DENIED" },
  resource_exhausted: { number: 8, http: 429, label: "RESOURCE_EXHAUSTED" },
  failed_precondition: { number: 9, http: 400, label: "FAILED_PRECONDITION" },
  aborted: { number: 10, http: 409, label: "ABORTED" },
  out_of_range: { number: 11, http: 400, label: "OUT_OF_RANGE" },
  unimplemented: { number: 12, http: 501, label: "UNIMPLEMENTED" },
  internal: { number: 13, http: 500, label: "INTERNAL" },
  unavailable: { number: 14, http: 503, label: "UNAVAILABLE" },
  data_loss: { number: 15, http: 500, label: "DATA_LOSS" },
  unauthenticated: { number: 16, http: 401, label: "UNAUTHENTICATED" },
} as const satisfies Record<string, CodeRow>;

const byNumber: readonly Code[] = (Object.keys(codes) as Code[]).sort(
  (a, b) => codes[a].number - codes[b].number,
);

/** The code of a `grpc-status` number; a number outside 0-16 means `unknown`, as the gRPC spec asks. */
export function codeFromNumber(number: number): Code {
  return byNumber[number] ?? "unknown";
}

/**
 * Reasons whose HTTP status differs from their code's, because a REST user expects it.
 * Only REST reads this; every other protocol follows the code.
 */
const httpByReason: Readonly<Record<string, number>> = {
  REQUEST_TIMEOUT: 408,
  PAYLOAD_TOO_LARGE: 413,
  TOO_MANY_ELEMENTS: 413,
  CONTENT_TOO_LARGE: 413,
  URL_TOO_LONG: 414,
  CONTENT_TYPE_UNSUPPORTED: 415,
  ENCODING_UNSUPPORTED: 415,
  NOT_ACCEPTABLE: 406,
  CREDENTIAL_AMBIGUOUS: 400,
  METHOD_NOT_BOUND: 405,
  ROUTE_NOT_FOUND: 404,
  RANGE_NOT_SATISFIABLE: 416,
  ETAG_PRECONDITION_FAILED: 412,
  IDEMPOTENCY_KEY_REUSED: 422,
  CURSOR_EXPIRED: 410,
  STATE_TRANSITION_INVALID: 409,
};

/** The HTTP status a REST answer with this error has. */
export function httpStatusOf(error: { readonly code: Code; readonly reason: string }): number {
  return httpByReason[error.reason] ?? codes[error.code].http;
}
