/**
 * The `Accept` header: whether what a method answers with is welcome.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
 */
import { type HttpRoute, isWatch } from "#gateway/catalog/catalog.ts";
import { RpcError } from "#rpc/error.ts";
import { hasUnaryReply } from "#rpc/method.ts";
import type { Exchange } from "../exchange.ts";

export const httpBody = "google.api.HttpBody";

interface Range {
  readonly type: string;
  readonly quality: number;
}

/** Longer headers are not parsed: nobody needs a thousand media ranges. */
const maxAcceptBytes = 2048;

/** What a stream is written as. */
export type StreamType = LinesType | "text/event-stream" | "application/json";
/** One form under the names that are in use for it; the first is the one that we name. */
export type LinesType = "application/x-ndjson" | "application/ndjson" | "application/jsonl";

type Offer = readonly [StreamType, ...StreamType[]];

const streamTypes: Offer = ["application/x-ndjson", "text/event-stream", "application/json"];
/** One array needs an end. */
const watchTypes: Offer = ["application/x-ndjson", "text/event-stream"];
const unaryTypes: Offer = ["application/json"];
const otherNamesOfLines: readonly LinesType[] = ["application/ndjson", "application/jsonl"];

/**
 * What the answer will be: the welcome type of the highest quality, among equals the one that was named most exactly, then ours.
 *
 * @throws RpcError NOT_ACCEPTABLE. Asking for problem+json concerns errors alone and never refuses.
 */
export function negotiate(exchange: Exchange, route: HttpRoute): StreamType {
  const { method } = route;
  const offered = hasUnaryReply(method.kind) ? unaryTypes : isWatch(method) ? watchTypes : streamTypes;
  const [first] = offered;
  const header = exchange.headers.accept;
  if (method.output.desc.typeName === httpBody) return first;
  const best = preferred(header, first === "application/json" ? offered : [...offered, ...otherNamesOfLines]);
  if (best !== undefined) return best;
  const ranges = parseAccept(String(header));
  if (ranges.some((range) => range.type === "application/problem+json" && range.quality > 0)) return first;
  throw new RpcError("invalid_argument", {
    reason: "NOT_ACCEPTABLE",
    message: `accept: this method answers with ${offered.join(", ")}`,
    metadata: { offered: offered.join(", ") },
  });
}

/**
 * The welcome type of the highest quality, among equals the one that was named most exactly, then the first.
 *
 * @returns undefined where none of them is welcome.
 */
export function preferred<Type extends string>(
  header: string | string[] | undefined,
  offered: readonly [Type, ...Type[]],
): Type | undefined {
  if (header === undefined || header === "*/*") return offered[0];
  const ranges = parseAccept(String(header));
  let best: { readonly type: Type; readonly rank: number } | undefined;
  for (const type of offered) {
    const rank = rankOf(ranges, type);
    if (rank > 0 && (best === undefined || rank > best.rank)) best = { type, rank };
  }
  return best?.type;
}

/** Whether errors should be RFC 9457 problems. */
export function wantsProblem(exchange: Exchange): boolean {
  const header = exchange.headers.accept;
  return (
    typeof header === "string" &&
    header.length <= maxAcceptBytes &&
    header.includes("application/problem+json")
  );
}

function parseAccept(header: string): Range[] {
  return header
    .slice(0, maxAcceptBytes)
    .split(",")
    .map((part) => {
      const [type = "", ...parameters] = part.split(";").map((text) => text.trim().toLowerCase());
      const q = parameters.find((parameter) => parameter.startsWith("q="));
      return { type, quality: q === undefined ? 1 : Number(q.slice(2)) || 0 };
    });
}

/** The most specific range that fits decides; between types of one quality the one that fits more specifically. 0: unwelcome. */
function rankOf(ranges: readonly Range[], type: string): number {
  const [main] = type.split("/", 1);
  const candidates = [type, `${main}/*`, "*/*"];
  for (const [index, candidate] of candidates.entries()) {
    const range = ranges.find((one) => one.type === candidate);
    if (range !== undefined)
      return range.quality === 0 ? 0 : range.quality * 10_000 + candidates.length - index;
  }
  return 0;
}
