/** What an operation may be answered with: its success, and the errors that can happen to it. */
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { type Catalog, type HttpRoute, isWatch } from "#gateway/catalog/catalog.ts";
import { hasUnaryReply } from "#rpc/method.ts";
import { exampleOfField, exampleOfMessage } from "./examples.ts";
import type { Schema, Schemas } from "./schemas.ts";

/** By media type. */
export type Content = Readonly<Record<string, { readonly schema: Schema; readonly example?: unknown }>>;

export interface Answer {
  readonly description: string;
  readonly headers?: Readonly<Record<string, Schema>>;
  readonly content?: Content;
}

export interface Reference {
  readonly $ref: string;
}

const httpBody = "google.api.HttpBody";
export const binary: Schema = { type: "string", format: "binary" };
const statusRef = { $ref: "#/components/schemas/google.rpc.Status" };

interface ErrorAnswer {
  readonly name: string;
  readonly status: string;
  readonly description: string;
  /** google.rpc.Code */
  readonly code: number;
  readonly reason: string;
  readonly message: string;
}

const errors: readonly ErrorAnswer[] = [
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
          headers: { "X-Request-Id": requestId },
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

const requestId = {
  description: "The request's id: the client's own, or one made here. It is in every log line.",
  schema: { type: "string" },
};
const etag = { description: "The version of what was answered.", schema: { type: "string" } };

export function responses(
  catalog: Catalog,
  schemas: Schemas,
  of: { readonly route: HttpRoute; readonly authenticated: boolean },
): Record<string, Answer | Reference> {
  const { route } = of;
  const tagged = hasEtag(route);
  const success = successes(catalog, schemas, route);
  const headers = { "X-Request-Id": requestId, ...(tagged ? { ETag: etag } : {}) };
  return {
    ...Object.fromEntries(
      Object.entries(success).map(([status, answer]) => [status, { ...answer, headers }]),
    ),
    ...(tagged && route.httpMethod === "GET"
      ? { "304": { description: "If-None-Match names the current version.", headers } }
      : {}),
    ...Object.fromEntries(
      errors
        .filter((error) => happens(error.name, of))
        .map(({ name, status }) => [status, { $ref: `#/components/responses/${name}` }]),
    ),
  };
}

function happens(
  name: string,
  { route, authenticated }: { readonly route: HttpRoute; readonly authenticated: boolean },
): boolean {
  switch (name) {
    case "Unauthorized":
    case "Forbidden":
      return authenticated;
    case "NotFound":
      return route.variables.length > 0;
    case "Conflict":
      return !isSafe(route);
    case "PreconditionFailed":
      return takesIfMatch(route);
    case "ContentTooLarge":
    case "UnsupportedMediaType":
      return route.body.kind !== "none";
    case "RangeNotSatisfiable":
      return isContent(route);
    default:
      return true;
  }
}

function successes(catalog: Catalog, schemas: Schemas, route: HttpRoute): Record<string, Answer> {
  const { output, kind } = route.method;
  if (isContent(route)) {
    const content = { "*/*": { schema: binary } };
    return {
      "200": { description: "The content.", content },
      "206": { description: "The part that Range asks for.", content },
    };
  }
  const { responseBody } = route;
  const schema = responseBody === undefined ? schemas.ofMessage(output.desc) : schemas.ofField(responseBody);
  const example =
    responseBody === undefined
      ? exampleOfMessage(catalog, output.desc, "answer")
      : exampleOfField(catalog, responseBody, "answer");
  if (hasUnaryReply(kind))
    return { "200": { description: "The answer.", content: { "application/json": { schema, example } } } };
  const line = { type: "object", properties: { result: schema, error: statusRef } };
  return {
    "200": {
      description: `A stream, as Accept asks: one JSON object a line, with an error as the last of a stream that fails; server-sent events, the last of them \`end\` or \`error\`${isWatch(route.method) ? "" : "; or one array, which a stream that fails does not close"}.`,
      content: {
        "application/x-ndjson": { schema: line, example: { result: example } },
        "text/event-stream": { schema: { type: "string" }, example: eventText(example) },
        ...(isWatch(route.method)
          ? {}
          : { "application/json": { schema: { type: "array", items: schema }, example: [example] } }),
      },
    },
  };
}

function eventText(example: unknown): string {
  return `data: ${JSON.stringify(example)}\n\nid: end\nevent: end\ndata: {}\n\n`;
}

function isContent(route: HttpRoute): boolean {
  return route.method.output.desc.typeName === httpBody;
}

function isSafe(route: HttpRoute): boolean {
  const { idempotency } = route.method.desc;
  return route.httpMethod === "GET" || idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
}

function hasEtag(route: HttpRoute): boolean {
  const { output, kind } = route.method;
  if (isContent(route)) return true;
  return hasUnaryReply(kind) && output.desc.fields.some((field) => field.name === "etag");
}

/** The etag of a change comes in If-Match or in the request itself. */
export function takesIfMatch(route: HttpRoute): boolean {
  // What is created has no version yet.
  const creates = route.httpMethod === "POST" && route.body.kind === "field";
  if (isSafe(route) || creates) return false;
  const { fields } = route.method.input.desc;
  const inside = route.body.kind === "field" ? (route.body.field.message?.fields ?? []) : [];
  return [...fields, ...inside].some((field) => field.name === "etag");
}

export function takesIfNoneMatch(route: HttpRoute): boolean {
  return route.httpMethod === "GET" && hasEtag(route);
}
