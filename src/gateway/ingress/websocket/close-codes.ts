/** Why a socket is closed, where the protocol's own codes do not say it. The ones from 4400 on are HTTP's, and graphql-ws made them known. */
export const closeCodes = {
  /** RFC 6455 section 7.4.1: the call is done. */
  normal: 1000,
  /** RFC 6455 section 7.4.1: against our rules, where no other code says which. */
  policy: 1008,
  /** RFC 6455 section 7.4.1: something unexpected happened here. */
  internal: 1011,
  /** IANA: the server restarts; connect again. */
  restart: 1012,
  /** IANA: try again later; what waits for the client is more than may wait. */
  lagging: 1013,
  badFrame: 4400,
  unauthenticated: 4401,
  forbidden: 4403,
  subprotocol: 4406,
  initTimeout: 4408,
  duplicateId: 4409,
  tooMany: 4429,
  /** graphql-ws's own for what went wrong here. */
  graphqlInternal: 4500,
} as const;

/** A single call that failed closes its socket with 4000 and its google.rpc.Code. */
export const failedCall = 4000;

/** A close frame has room for 123 bytes. */
export function shortened(reason: string): string {
  const bytes = Buffer.from(reason, "utf8");
  return bytes.length <= 123
    ? reason
    : bytes
        .subarray(0, 120)
        .toString("utf8")
        .replace(/\uFFFD$/, "");
}
