/** The request half of REST: path, query, headers and body become a call. */
import {
  create,
  type DescField,
  type DescMessage,
  type Message,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import { type HttpRoute, requestHeaders, streamFields } from "#gateway/catalog/catalog.ts";
import type { CompiledType } from "#gateway/codec/codec.ts";
import { defaultInflationFreeBytes, defaultMaxInflation } from "#gateway/codec/compression.ts";
import { fieldError } from "#gateway/codec/field-error.ts";
import { readTimeout } from "#gateway/wire/grpc-timeout.ts";
import { type AdapterCall, type Call, type CallStart, createStreamCall, createUnaryCall } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import { Metadata, type MetadataValue } from "#rpc/metadata.ts";
import { hasUnaryRequest } from "#rpc/method.ts";
import { LazyPayload, type Payload } from "#rpc/payload.ts";
import { localPrincipal } from "#rpc/principal.ts";
import { isWithheld } from "../client-headers.ts";
import type { Exchange, RequestHeaders } from "../exchange.ts";
import { readPackedBody } from "../packed-body.ts";
import { withTicket } from "../ticket.ts";
import { httpBody } from "./accept.ts";
import { bindIfMatch } from "./etag.ts";
import { bindPrefer, waitingTimeoutMs } from "./prefer.ts";
import { streamedRequests } from "./stream-read.ts";
import { isUpload, uploadRequests } from "./upload.ts";

export interface RestLimits {
  /** Largest JSON body, as sent and inflated, in bytes. Default 1 MiB. */
  readonly maxJsonBytes: number;
  /** Largest raw body (`google.api.HttpBody`), in bytes. Default 10 MiB. */
  readonly maxRawBytes: number;
  /** How many times its size a compressed body may inflate to, above `inflationFreeBytes`. Default 100. */
  readonly maxInflation: number;
  /** What it may inflate to whatever its size, in bytes. Default 65 536. */
  readonly inflationFreeBytes: number;
  /** Largest server-sent event, in bytes. Default 256 KiB. */
  readonly maxEventBytes: number;
  /** Longest silence of a stream, in milliseconds: proxies cut what says nothing. Default 15 000. */
  readonly heartbeatMs: number;
}

export const defaultRestLimits: RestLimits = {
  maxJsonBytes: 1024 * 1024,
  maxRawBytes: 10 * 1024 * 1024,
  maxInflation: defaultMaxInflation,
  inflationFreeBytes: defaultInflationFreeBytes,
  maxEventBytes: 256 * 1024,
  heartbeatMs: 15_000,
};

type Fields = Record<string, unknown>;

export interface ReadOptions {
  readonly variables: readonly string[];
  /** What of the query is for the method. */
  readonly query: string;
  readonly id: string;
  readonly limits: RestLimits;
}

/** What of a request the fields that are no body come from. */
export type RequestHead = Pick<
  Exchange,
  "method" | "path" | "query" | "headers" | "peer" | "startedAtMs" | "hasBody"
>;

/**
 * A call over a socket of its own.
 * @param about.body the one message of a method that takes its body from it; undefined: path and query have all.
 * @param about.requests the messages of a method that takes many.
 */
export function readSocketCall(
  head: RequestHead,
  route: HttpRoute,
  about: {
    readonly variables: readonly string[];
    readonly id: string;
    readonly body: Uint8Array | undefined;
    readonly requests: AsyncIterable<Payload>;
  },
): AdapterCall<Call> {
  const { variables, body } = about;
  const start: CallStart = {
    ...startOf(head, route, { id: about.id, headers: head.headers }),
    protocol: "websocket",
  };
  const { input, kind } = route.method;
  if (!hasUnaryRequest(kind)) return createStreamCall(start, about.requests);
  const read = (): Message => (body === undefined ? create(input.desc) : input.decode(body, "json"));
  const options = { variables };
  return createUnaryCall(
    start,
    new LazyPayload(input, () => bind(read(), head, { route, options, query: head.query })),
  );
}

/** @throws RpcError naming the parameter, field or header that is wrong. */
export function readCall(
  exchange: Exchange,
  route: HttpRoute,
  options: ReadOptions,
): AdapterCall<Call> | Promise<AdapterCall<Call>> {
  const { headers, query } = withTicket(exchange, route.method, options.query);
  const start = startOf(exchange, route, { id: options.id, headers });
  if (hasUnaryRequest(route.method.kind)) {
    const toCall = (read: () => Message): AdapterCall<Call> =>
      createUnaryCall(
        start,
        new LazyPayload(route.method.input, () => bind(read(), exchange, { route, options, query })),
      );
    return route.body.kind === "none"
      ? toCall(() => readBodiless(exchange, route))
      : readBody(exchange, route, options.limits).then(toCall);
  }
  if (isUpload(route))
    return createStreamCall(start, uploadRequests(exchange, route, { variables: options.variables, query }));
  const maxBytes = options.limits.maxJsonBytes;
  return createStreamCall(start, streamedRequests(exchange, route, { query, maxBytes }));
}

function startOf(
  exchange: RequestHead,
  route: HttpRoute,
  { id, headers }: { readonly id: string; readonly headers: RequestHeaders },
): CallStart {
  return {
    method: route.method,
    id,
    protocol: "rest",
    peer: exchange.peer,
    principal: localPrincipal,
    metadata: new Metadata(() => metadataOf(headers), headers),
    timeoutMs: readTimeout(headers) ?? (route.rest && waitingTimeoutMs(headers, route)),
    startedAtMs: exchange.startedAtMs,
    route,
    path: exchange.path,
  };
}

function* metadataOf(headers: RequestHeaders): Generator<readonly [string, MetadataValue]> {
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || isWithheld(name)) continue;
    for (const text of Array.isArray(value) ? value : [value]) {
      yield [name, name.endsWith("-bin") ? new Uint8Array(Buffer.from(text, "base64")) : text];
    }
  }
}

/** Path, query and headers into the message that the body gave. */
function bind(
  message: Message,
  exchange: RequestHead,
  about: {
    readonly route: HttpRoute;
    readonly options: Pick<ReadOptions, "variables">;
    readonly query: string;
  },
): Message {
  const { route, options, query } = about;
  bindPath(route, message, options.variables);
  if (query !== "") bindQuery(query, route, message);
  bindHeaders(exchange, route, message);
  bindCursor(exchange, route, message);
  if (route.rest !== undefined) bindPrefer(exchange.headers, route, message);
  if (exchange.headers["if-match"] !== undefined) bindIfMatch(exchange, route, message);
  return message;
}

function readBodiless(exchange: Exchange, route: HttpRoute): Message {
  if (exchange.hasBody) {
    throw new RpcError("invalid_argument", {
      reason: "BODY_UNEXPECTED",
      message: `${exchange.method} ${route.template} takes no body; put the fields into the query`,
    });
  }
  return create(route.method.input.desc);
}

function bindPath(route: HttpRoute, message: Message, variables: readonly string[]): void {
  route.variables.forEach((variable, index) => {
    const before = route.body.kind === "none" ? undefined : variable.get(message);
    variable.setText(message, variables[index] ?? "");
    const after = variable.get(message);
    // What was read may be sent back: an id in the body is accepted when it is the one in the path.
    if (before !== undefined && before !== "" && before !== 0 && before !== after) {
      throw fieldError(
        "FIELD_INVALID",
        variable.fields.map((field) => field.jsonName).join("."),
        "differs from the one in the path",
      );
    }
  });
}

function bindQuery(query: string, route: HttpRoute, message: Message): void {
  if (route.query !== undefined) {
    route.query.bind(message, query);
    return;
  }
  const name = query.split(/[=&]/, 1)[0] ?? "";
  throw fieldError(
    "FIELD_UNKNOWN",
    decodeName(name),
    "this method takes no query parameters; put the field into the body",
  );
}

function decodeName(raw: string): string {
  try {
    return decodeURIComponent(raw).slice(0, 200);
  } catch {
    // Only for the message: what cannot be decoded is shown as it was sent.
    return raw.slice(0, 200);
  }
}

/** Fields that the contract binds to request headers. */
function bindHeaders(exchange: RequestHead, route: HttpRoute, message: Message): void {
  for (const { name, field } of requestHeaders(route.method.input.desc)) {
    const value = exchange.headers[name];
    if (value === undefined) continue;
    const target = message as unknown as Fields;
    if ((target[field.localName] ?? "") !== "")
      throw fieldError("FIELD_REPEATED", field.jsonName, `is given by the ${name} header too`);
    target[field.localName] = String(value);
  }
}

/** An EventSource that comes again has the same URL and knows better where it was. */
function bindCursor(exchange: RequestHead, route: HttpRoute, message: Message): void {
  const last = exchange.headers["last-event-id"];
  if (typeof last !== "string" || last === "") return;
  const { cursor } = streamFields(route.method.input.desc);
  if (cursor !== undefined) (message as unknown as Fields)[cursor.localName] = last;
}

/** Reads the bytes; what it gives makes the message of them when somebody asks. */
function readBody(exchange: Exchange, route: HttpRoute, limits: RestLimits): Promise<() => Message> {
  const type = route.method.input as CompiledType;
  if (route.body.kind === "field") return readFieldBody(exchange, route, { field: route.body.field, limits });
  if (type.desc.typeName === httpBody) return readHttpBody(exchange, type.desc, limits);
  return readJson(exchange, limits).then(
    (bytes) => () => (bytes.length === 0 ? create(type.desc) : type.decode(bytes, "json")),
  );
}

function readFieldBody(
  exchange: Exchange,
  route: HttpRoute,
  body: { readonly field: DescField; readonly limits: RestLimits },
): Promise<() => Message> {
  const { field, limits } = body;
  const type = route.method.input as CompiledType;
  if (field.fieldKind === "message" && field.message.typeName === httpBody)
    return readHttpBody(exchange, field.message, limits).then(
      (read) => () => withField(type.desc, field, read()),
    );
  return readJson(exchange, limits).then(
    (bytes) => () =>
      bytes.length === 0 ? create(type.desc) : fromFieldBody(exchange, type, { field, bytes }),
  );
}

function fromFieldBody(
  exchange: Exchange,
  type: CompiledType,
  { field, bytes }: { readonly field: DescField; readonly bytes: Uint8Array },
): Message {
  const mask = maskField(type.desc);
  if (exchange.method !== "PATCH" || mask === undefined || field.fieldKind !== "message")
    return withField(type.desc, field, type.decodeJsonField(field, bytes));
  const { message: inner, paths } = type.decodeJsonFieldWithPaths(field, bytes);
  const message = withField(type.desc, field, inner);
  if (!/(^|&)(updateMask|update_mask)=/.test(exchange.query))
    (message as unknown as Fields)[mask.localName] = create(mask.message, {
      paths,
    } as MessageInitShape<DescMessage>);
  return message;
}

function withField(desc: DescMessage, field: DescField, value: unknown): Message {
  const message = create(desc);
  (message as unknown as Fields)[field.localName] = value;
  return message;
}

/** The `update_mask` of an update request (AIP-134). */
function maskField(desc: DescMessage): (DescField & { readonly fieldKind: "message" }) | undefined {
  const field = desc.fields.find((candidate) => candidate.name === "update_mask");
  return field?.fieldKind === "message" && field.message.typeName === "google.protobuf.FieldMask"
    ? field
    : undefined;
}

async function readHttpBody(
  exchange: Exchange,
  desc: DescMessage,
  limits: RestLimits,
): Promise<() => Message> {
  const contentType = String(exchange.headers["content-type"] ?? "application/octet-stream");
  const data = await exchange.readBody(limits.maxRawBytes);
  return () => create(desc, { contentType, data } as MessageInitShape<DescMessage>);
}

/** @throws RpcError CONTENT_TYPE_UNSUPPORTED, at once. */
function readJson(exchange: Exchange, limits: RestLimits): Promise<Uint8Array> {
  const contentType = exchange.headers["content-type"];
  if (
    contentType === undefined
      ? exchange.hasBody && exchange.headers["content-length"] !== "0"
      : !isJson(String(contentType))
  ) {
    throw new RpcError("invalid_argument", {
      reason: "CONTENT_TYPE_UNSUPPORTED",
      message: `content-type: must be application/json in UTF-8${contentType === undefined ? "; the request names none" : ""}`,
    });
  }
  const { maxJsonBytes: maxBytes, maxInflation, inflationFreeBytes } = limits;
  return readPackedBody(exchange, { maxBytes, maxInflation, inflationFreeBytes });
}

function isJson(contentType: string): boolean {
  return (
    contentType === "application/json" ||
    /^application\/json\s*(;\s*charset="?utf-?8"?\s*)?;?$/i.test(contentType.trim())
  );
}
