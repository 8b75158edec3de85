/** What an operation may be answered with: its success, and the errors that can happen to it. */
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { type Catalog, type HttpRoute, isWatch } from "#gateway/catalog/catalog.ts";
import { hasUnaryReply } from "#rpc/method.ts";
import { type Answer, errors, statusRef } from "./error-answers.ts";
import { exampleOfField, exampleOfMessage } from "./examples.ts";
import {
  deprecationHeaders,
  etag,
  idempotentReplayed,
  plannedHeaders,
  rateLimit,
  requestId,
  takesIdempotencyKey,
} from "./rest-headers.ts";
import type { Schema, Schemas } from "./schemas.ts";

export interface Reference {
  readonly $ref: string;
}

const httpBody = "google.api.HttpBody";
export const binary: Schema = { type: "string", format: "binary" };

export function responses(
  catalog: Catalog,
  schemas: Schemas,
  of: OperationCircumstances,
): Record<string, Answer | Reference> {
  const { route, limited } = of;
  const tagged = hasEtag(route);
  const success = successes(catalog, schemas, route);
  const deprecated = deprecationHeaders(catalog, route);
  const planned = plannedHeaders(route, schemas);
  const link = {
    Link: { description: "The next page, and where to read more.", schema: { type: "string" } },
  };
  const headers = {
    "X-Request-Id": requestId,
    ...(tagged ? { ETag: etag } : {}),
    ...(limited ? rateLimit : {}),
    ...(limited && takesIdempotencyKey(route) ? idempotentReplayed : {}),
    ...deprecated,
    ...planned,
    ...("Link" in deprecated && "Link" in planned ? link : {}),
  };
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

export interface OperationCircumstances {
  readonly route: HttpRoute;
  /** Callers have to show who they are. */
  readonly authenticated: boolean;
  /** Callers have a rate, and may send a call again. */
  readonly limited: boolean;
}

function happens(name: string, { route, authenticated, limited }: OperationCircumstances): boolean {
  switch (name) {
    case "Unauthorized":
    case "Forbidden":
      return authenticated;
    case "TooManyRequests":
      return limited;
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

const descriptions: Readonly<Record<string, string>> = {
  "201": "What was made.",
  "202": "It will be done.",
};

function successes(catalog: Catalog, schemas: Schemas, route: HttpRoute): Record<string, Answer> {
  const { output, kind } = route.method;
  if (isContent(route)) {
    const content = { "*/*": { schema: binary } };
    return {
      "200": { description: "The content.", content },
      "206": { description: "The part that Range asks for.", content },
    };
  }
  const { responseBody, rest } = route;
  const status = String(rest?.status ?? 200);
  if (status === "204") return { "204": { description: "It is done; there is nothing to say." } };
  const schema = responseBody === undefined ? schemas.ofMessage(output.desc) : schemas.ofField(responseBody);
  const example =
    responseBody === undefined
      ? exampleOfMessage(catalog, output.desc, "answer")
      : exampleOfField(catalog, responseBody, "answer");
  if (hasUnaryReply(kind)) {
    const content = { "application/json": { schema, example } };
    return {
      ...(status !== "200" && rest?.validateOnly !== undefined
        ? { "200": { description: "What would be made; `validateOnly` was true, and nothing was.", content } }
        : {}),
      [status]: { description: descriptions[status] ?? "The answer.", content },
    };
  }
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
