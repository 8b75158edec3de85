/** Reasons of the listener and the protocol adapters. */
import type { Reasons } from "#rpc/reasons.ts";

export const reasons = {
  ROUTE_NOT_FOUND: { code: "not_found", meaning: "no binding matches the path" },
  METHOD_NOT_BOUND: { code: "unimplemented", meaning: "the path exists, but not with this HTTP method" },
  PATH_INVALID: { code: "invalid_argument", meaning: "the path cannot be decoded or has dot segments" },
  HOST_INVALID: { code: "invalid_argument", meaning: "the request names no host, or more than one" },
  HOST_FOREIGN: { code: "invalid_argument", meaning: "the request is for another server" },
  HEADERS_TOO_MANY: {
    code: "resource_exhausted",
    meaning: "the request has more headers than the limit, or larger ones",
  },
  URL_TOO_LONG: { code: "invalid_argument", meaning: "the URL is longer than the limit" },
  CREDENTIAL_IN_URL: {
    code: "invalid_argument",
    meaning: "a credential came in the query, where logs and histories keep it; it is not taken from there",
  },
  CONTENT_TYPE_UNSUPPORTED: {
    code: "invalid_argument",
    meaning: "the body is of a type that the method does not take",
  },
  ENCODING_UNSUPPORTED: {
    code: "invalid_argument",
    meaning: "the body is compressed in a way that is not supported",
  },
  NOT_ACCEPTABLE: {
    code: "invalid_argument",
    meaning: "the client accepts no type that the method answers with",
  },
  BODY_UNEXPECTED: {
    code: "invalid_argument",
    meaning: "the request has a body where the method takes none",
  },
  ETAG_CONFLICT: {
    code: "invalid_argument",
    meaning: "the If-Match header and the message name different etags",
  },
  CORS_ORIGIN_FOREIGN: {
    code: "permission_denied",
    meaning: "a browser asked whether a page of this origin may call, and it may not",
  },
} as const satisfies Reasons;
