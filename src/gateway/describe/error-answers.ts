/** The errors that operations can have, and what they look like. */
import { rateLimit, requestId, retryAfter } from "./rest-headers.ts";
import type { Schema } from "./schemas.ts";

/** By media type. */
export type Content = Readonly<Record<string, { readonly schema: Schema; readonly example?: unknown }>>;

export interface Answer {
  readonly description: string;
  readonly headers?: Readonly<Record<string, Schema>>;
  readonly content?: Content;
}

export const statusRef = { $ref: "#/components/schemas/google.rpc.Status" };

interface ErrorAnswer {
  readonly name: string;
  readonly status: string;
  readonly description: string;
  /** google.rpc.Code */
  readonly code: number;
  readonly reason: string;
  readonly message: string;
}

export const errors: readonly ErrorAnswer[] = [
  {
    name: "BadRequest",
    status: "400",
    description:
      "The request is malformed, or a field has a value that it cannot have; the message names the field.",
    code: 3,
    reason: "FIELD_UNKNOWN",
    message: "pageSiz: there is no such field; did you mean pageSize?",
  },
  {
    name: "Unauthorized",
    status: "401",
    description: "No credential came, or one that is not good.",
    code: 16,
    reason: "CREDENTIAL_MISSING",
    message: "show who you are: send `Authorization: Bearer <token>` or `X-API-Key: <key>`",
  },
  {
    name: "Forbidden",
    status: "403",
    description: "The caller has none of the scopes that the method asks for.",
    code: 7,
    reason: "SCOPE_MISSING",
    message: "portico.bpmn.v1.BPMNService/CreateBPMN needs bpmn:write",
  },
  {
    name: "NotFound",
    status: "404",
    description: "What the path names is not there.",
    code: 5,
    reason: "RESOURCE_NOT_FOUND",
    message: "there is no bpmn/order",
  },
  {
    name: "Conflict",
    status: "409",
    description: "It is there already, or has changed since it was read.",
    code: 10,
    reason: "ETAG_MISMATCH",
    message: "the document has changed since it was read; read it again and repeat the change",
  },
  {
    name: "PreconditionFailed",
    status: "412",
    description: "If-Match names another version than the current one.",
    code: 10,
    reason: "ETAG_MISMATCH",
    message: "the document has changed since it was read; read it again and repeat the change",
  },
  {
    name: "ContentTooLarge",
    status: "413",
    description: "The body is larger than the limit, or holds too many elements.",
    code: 8,
    reason: "PAYLOAD_TOO_LARGE",
    message: "the body is larger than 1048576 bytes",
  },
  {
    name: "UnsupportedMediaType",
    status: "415",
    description: "The body is of a type or in an encoding that this operation does not take.",
    code: 3,
    reason: "CONTENT_TYPE_UNSUPPORTED",
    message: "send application/json",
  },
  {
    name: "RangeNotSatisfiable",
    status: "416",
    description: "The range begins behind the end.",
    code: 11,
    reason: "RANGE_NOT_SATISFIABLE",
    message: "the range begins behind the end of the content",
  },
  {
    name: "TooManyRequests",
    status: "429",
    description: "The caller, or its tenant, calls too often.",
    code: 8,
    reason: "RATE_LIMITED",
    message: "you call too often; try again in 1 s",
  },
  {
    name: "Error",
    status: "default",
    description:
      "Any other error: a code, a message for people, and details of which the first names the reason.",
    code: 4,
    reason: "DEADLINE_EXCEEDED",
    message: "the deadline has passed",
  },
];

/** The error answers that operations refer to. */
export function errorResponses(): Record<string, Answer> {
  return Object.fromEntries(
    errors.map((error) => {
      const { name, description, code, reason, message } = error;
      const details = [
        { "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason, domain: "portico", metadata: {} },
        { "@type": "type.googleapis.com/google.rpc.RequestInfo", requestId: "req-5c2f5041c5fbb2085616652f" },
      ];
      const status = error.status === "default" ? 504 : Number(error.status);
      return [
        name,
        {
          description,
          headers: {
            "X-Request-Id": requestId,
            ...(name === "TooManyRequests" ? { ...rateLimit, ...retryAfter } : {}),
          },
          content: {
            "application/json": { schema: statusRef, example: { code, message, details } },
            "application/problem+json": {
              schema: { $ref: "#/components/schemas/Problem" },
              example: {
                type: `/docs/errors#${reason}`,
                title: reason,
                status,
                detail: message,
                code,
                requestId: "req-5c2f5041c5fbb2085616652f",
                details,
              },
            },
          },
        },
      ];
    }),
  );
}

/** RFC 9457, with what google.rpc.Status has beside it. */
export const problemSchema: Schema = {
  type: "object",
  description: "A problem of RFC 9457: sent to clients that accept application/problem+json.",
  properties: {
    type: { type: "string", description: "Where the reason is explained.", format: "uri-reference" },
    title: { type: "string", description: "The reason." },
    status: { type: "integer", format: "int32" },
    detail: { type: "string", description: "For people." },
    code: { type: "integer", format: "int32", description: "google.rpc.Code." },
    requestId: { type: "string" },
    details: { type: "array", items: { type: "object", additionalProperties: true } },
  },
  required: ["type", "title", "status", "detail"],
};
