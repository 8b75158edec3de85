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
  REQUEST_TIMEOUT: { code: "deadline_exceeded", meaning: "the body of the request did not come in time" },
  REQUEST_MALFORMED: {
    code: "invalid_argument",
    meaning: "the bytes of the request are not HTTP/1.1 as RFC 9112 has it",
  },
  PROTOCOL_FOREIGN: {
    code: "invalid_argument",
    meaning: "a connection began with something that is no HTTP at all, and was closed",
  },
  TLS_UNEXPECTED: {
    code: "invalid_argument",
    meaning:
      "a connection began with a TLS handshake where there is no TLS, and was closed: its client was given https:// for http://",
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
  PROTOCOL_VERSION_UNKNOWN: {
    code: "invalid_argument",
    meaning: "the client speaks a version of its protocol that is not spoken here",
  },
  ENCODING_UNSUPPORTED: {
    code: "invalid_argument",
    meaning: "the body is compressed or coded in a way that is not supported",
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
    meaning: "a page of this origin may not call, or open a WebSocket",
  },
  UPGRADE_INVALID: {
    code: "invalid_argument",
    meaning: "the request asks for a WebSocket without the headers of one",
  },
  QUERY_INVALID: {
    code: "invalid_argument",
    meaning: "a GraphQL request is none, or its query does not fit the schema",
  },
  QUERY_TOO_LARGE: {
    code: "resource_exhausted",
    meaning: "a GraphQL query is deeper, wider or dearer than the limits",
  },
  INTROSPECTION_OFF: {
    code: "permission_denied",
    meaning: "the GraphQL schema is not shown here; `PORTICO_GRAPHQL_INTROSPECTION=on` shows it",
  },
  MUTATION_BY_GET: {
    code: "unimplemented",
    meaning: "a GraphQL mutation came by GET, which changes nothing",
  },
  SOCKETS_LIMITED: { code: "unavailable", meaning: "as many WebSockets are open as the server takes" },
  SOCKET_CALLS_LIMITED: {
    code: "resource_exhausted",
    meaning: "as many calls are running on this WebSocket as one takes",
  },
  EVENT_TOO_LARGE: {
    code: "resource_exhausted",
    meaning: "a message of a stream is larger than a server-sent event may be",
  },
  READER_STALLED: {
    code: "resource_exhausted",
    meaning:
      "the client stopped reading, and what it was sent waited longer than `PORTICO_HTTP_STALLED_TIMEOUT_MS`",
  },
  SOCKET_FRAME_INVALID: {
    code: "invalid_argument",
    meaning:
      "a frame of a WebSocket is none of its protocol's, and the socket was closed (1002, 1007, 4400, 4406, 4409)",
  },
  SOCKET_FRAME_TOO_LARGE: {
    code: "resource_exhausted",
    meaning: "a message of a WebSocket is larger than the limit, and the socket was closed (1009)",
  },
  SOCKET_FRAMES_LIMITED: {
    code: "resource_exhausted",
    meaning:
      "a WebSocket brought more PING and PONG frames than a client may send, or a message in more pieces, and was closed (1008)",
  },
  SOCKET_SILENT: {
    code: "deadline_exceeded",
    meaning: "the first frame of a WebSocket did not come in time, and the socket was closed (4408)",
  },
  SOCKET_UNAUTHENTICATED: {
    code: "unauthenticated",
    meaning: "a WebSocket was closed because its client did not say who it is (4401, 4403)",
  },
  AGENT_REQUEST_INVALID: {
    code: "invalid_argument",
    meaning:
      "an agent's request is no JSON-RPC, none that the Model Context Protocol has, or names a tool, prompt or resource that is not there",
  },
  AGENT_SESSION_UNKNOWN: {
    code: "not_found",
    meaning: "an agent's session is none of this process's: it begins again with initialize",
  },
  OAUTH_REFUSED: {
    code: "invalid_argument",
    meaning:
      "the authorization server refused a request at `/oauth2/`; its answer says why, in OAuth's words",
  },
  METRICS_CLOSED: {
    code: "permission_denied",
    meaning: "`/metrics` is for peers on this machine and for callers with the scope `telemetry:read`",
  },
  PAGE_REFUSED: {
    code: "not_found",
    meaning: "a page or a document that the gateway has of its own was asked for wrongly, or is not there",
  },
  CREDIT_EXCEEDED: {
    code: "resource_exhausted",
    meaning: "a client sent more messages of a call than the server had given credit for",
  },
} as const satisfies Reasons;
