/** The request half of GraphQL over HTTP. @see https://graphql.github.io/graphql-over-http/draft/ */
import type { InflateLimits } from "#gateway/codec/compression.ts";
import { checkJson, type JsonCheck } from "#gateway/codec/json-depth.ts";
import { checkParameters } from "#gateway/codec/query.ts";
import { RpcError } from "#rpc/error.ts";
import type { Exchange } from "../exchange.ts";
import { readPackedBody } from "../packed-body.ts";
import { preferred } from "../rest/accept.ts";
import { type EnvelopeLimits, envelopeOf } from "./envelope.ts";

/** One operation, as a client asks for it. */
export interface Asked {
  readonly query: string;
  readonly variables: Readonly<Record<string, unknown>> | undefined;
  readonly operationName: string | undefined;
}

const graphqlJson = "application/graphql-response+json";
const plainJson = "application/json";
const events = "text/event-stream";
/** What answers are written as: with plain JSON an error of the query itself has status 200, as older clients want it. */
export type AnswerType = typeof graphqlJson | typeof plainJson | typeof events;

/** What a request may take. */
export interface RequestLimits extends EnvelopeLimits {
  readonly body: InflateLimits;
  readonly maxBatch: number;
  readonly maxQueryParameters: number;
}

/** The option's default. */
export const defaultMaxBatch = 10;

/** @throws RpcError NOT_ACCEPTABLE. */
export function answerTypeOf({ headers }: Pick<Exchange, "headers">): AnswerType {
  const { accept } = headers;
  const named = String(accept ?? "").includes(graphqlJson);
  const type = preferred(accept, named ? [graphqlJson, plainJson, events] : [plainJson, graphqlJson, events]);
  if (type !== undefined) return type;
  throw new RpcError("invalid_argument", {
    reason: "NOT_ACCEPTABLE",
    message: `accept: GraphQL answers with ${graphqlJson}, ${plainJson} or ${events}`,
  });
}

/** Whether a stream is welcome where it is all that there is. */
export function takesEvents({ headers }: Pick<Exchange, "headers">): boolean {
  return preferred(headers.accept, [events]) !== undefined;
}

/**
 * The body of a request, not yet looked at; undefined: it is in the query.
 * @throws RpcError METHOD_NOT_BOUND, CONTENT_TYPE_UNSUPPORTED, ENCODING_UNSUPPORTED, PAYLOAD_TOO_LARGE.
 */
export async function readBody(exchange: Exchange, limits: InflateLimits): Promise<Uint8Array | undefined> {
  if (exchange.method === "GET") return undefined;
  if (exchange.method !== "POST")
    throw new RpcError("unimplemented", {
      reason: "METHOD_NOT_BOUND",
      message: `${exchange.method.slice(0, 20)} is not possible here; use GET or POST`,
    });
  checkContentType(exchange.headers["content-type"]);
  return await readPackedBody(exchange, limits);
}

/**
 * @param body undefined: it is in the query.
 * @returns a list where the client sent one.
 * @throws RpcError QUERY_INVALID, QUERY_TOO_LARGE, TOO_MANY_ELEMENTS, MESSAGE_MALFORMED, FIELD_REPEATED, FIELD_INVALID.
 */
export function toAsked(
  { query }: Pick<Exchange, "query">,
  body: Uint8Array | undefined,
  limits: RequestLimits,
): Asked | readonly Asked[] {
  if (body === undefined) return askedByGet(query, limits);
  const sent = parseJson(body, "the body", envelopeOf(limits, ["variables"]));
  if (!Array.isArray(sent)) return operationOf(sent);
  if (sent.length === 0 || sent.length > limits.maxBatch)
    throw new RpcError("resource_exhausted", {
      reason: "QUERY_TOO_LARGE",
      message: `a batch has 1 to ${limits.maxBatch} operations; this one has ${sent.length}`,
    });
  return sent.map(operationOf);
}

/** A page cannot send JSON to a foreign origin unasked: no other type is taken. */
function checkContentType(header: string | string[] | undefined): void {
  const [type = "", ...parameters] = String(header ?? "")
    .toLowerCase()
    .split(";")
    .map((part) => part.trim());
  const charset = parameters.find((parameter) => parameter.startsWith("charset="));
  if (type === plainJson && (charset === undefined || /^charset="?utf-?8"?$/.test(charset))) return;
  throw new RpcError("invalid_argument", {
    reason: "CONTENT_TYPE_UNSUPPORTED",
    message: `content-type: send ${plainJson} in UTF-8`,
  });
}

function askedByGet(query: string, limits: RequestLimits): Asked {
  checkParameters(query, limits.maxQueryParameters);
  const parameters = new URLSearchParams(query);
  const json = (name: string, check: JsonCheck): unknown => {
    const text = parameters.get(name);
    if (text === null || text === "") return undefined;
    return parseJson(Buffer.from(text), name, check);
  };
  return operationOf({
    query: parameters.get("query") ?? undefined,
    operationName: parameters.get("operationName") ?? undefined,
    variables: json("variables", { maxDepth: limits.maxJsonDepth, maxElements: limits.maxElements }),
    extensions: json("extensions", envelopeOf(limits)),
  });
}

function operationOf(sent: unknown): Asked {
  if (!isObject(sent)) throw invalid('the body is an object: {"query": "…", "variables": {…}}');
  const { query, variables, operationName, extensions } = sent;
  if (typeof query !== "string" || query === "") throw invalid("query: is missing, or is no text");
  if (operationName != null && typeof operationName !== "string") throw invalid("operationName: is no text");
  if (variables != null && !isObject(variables)) throw invalid("variables: is no object");
  if (extensions != null && !isObject(extensions)) throw invalid("extensions: is no object");
  return { query, variables: variables ?? undefined, operationName: operationName || undefined };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whoever writes out again what nests too deep runs out of stack. */
function parseJson(text: Uint8Array, what: string, limits: JsonCheck): unknown {
  checkJson(text, limits);
  try {
    return JSON.parse(Buffer.from(text.buffer, text.byteOffset, text.length).toString("utf8"));
  } catch {
    throw invalid(`${what}: is no JSON`);
  }
}

function invalid(problem: string): RpcError {
  return new RpcError("invalid_argument", { reason: "QUERY_INVALID", message: problem });
}
