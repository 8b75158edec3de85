/**
 * Conditional requests, from the contract: a reply's `etag` field is the ETag header, If-Match fills the request's, and
 * If-None-Match answers 304.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-13 and https://google.aip.dev/154
 */
import type { DescMessage, Message } from "@bufbuild/protobuf";
import type { HttpRoute } from "#gateway/catalog/catalog.ts";
import { RpcError } from "#rpc/error.ts";
import type { Exchange } from "../exchange.ts";

type Fields = Record<string, unknown>;

/** Whether a message type has a string field `etag` of its own; asked once per type. */
const known = new WeakMap<DescMessage, boolean>();

export function hasEtag(desc: DescMessage): boolean {
  let has = known.get(desc);
  if (has === undefined) {
    has = desc.fields.some((field) => field.name === "etag" && field.fieldKind === "scalar");
    known.set(desc, has);
  }
  return has;
}

/** The header's form of a reply's etag; undefined where the reply has none. */
export function etagOf(desc: DescMessage, message: Message): string | undefined {
  if (!hasEtag(desc)) return undefined;
  const etag = (message as unknown as Fields).etag;
  return typeof etag === "string" && etag !== "" ? `"${etag}"` : undefined;
}

export function isUnmodified(exchange: Exchange, etag: string): boolean {
  const header = exchange.headers["if-none-match"];
  if (header === undefined || (exchange.method !== "GET" && exchange.method !== "HEAD")) return false;
  return String(header)
    .split(",")
    .some((candidate) => candidate.trim() === "*" || candidate.trim().replace(/^W\//, "") === etag);
}

/** Puts If-Match into the request: its own `etag`, or that of the message in the body. @throws RpcError ETAG_CONFLICT. */
export function bindIfMatch(exchange: Pick<Exchange, "headers">, route: HttpRoute, message: Message): void {
  const header = exchange.headers["if-match"];
  if (header === undefined || header === "*") return;
  const target = holderOf(route, message);
  if (target === undefined) return;
  const etag = String(header)
    .trim()
    .replace(/^"(.*)"$/, "$1");
  if (typeof target.etag === "string" && target.etag !== "" && target.etag !== etag) {
    throw new RpcError("invalid_argument", {
      reason: "ETAG_CONFLICT",
      message: "if-match: differs from the etag in the request; send one of them",
    });
  }
  target.etag = etag;
}

function holderOf(route: HttpRoute, message: Message): Fields | undefined {
  if (hasEtag(route.method.input.desc)) return message as unknown as Fields;
  if (
    route.body.kind !== "field" ||
    route.body.field.fieldKind !== "message" ||
    !hasEtag(route.body.field.message)
  )
    return undefined;
  return (message as unknown as Fields)[route.body.field.localName] as Fields | undefined;
}

/** A stale etag that came by If-Match is a failed precondition of HTTP: 412 instead of 409. */
export function preconditionOf(
  exchange: Exchange,
  error: RpcError,
): RpcError & { readonly httpStatus?: number } {
  if (error.reason !== "ETAG_MISMATCH" || exchange.headers["if-match"] === undefined) return error;
  return Object.assign(error, { httpStatus: 412 });
}
