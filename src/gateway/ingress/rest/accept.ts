/**
 * The `Accept` header: whether what a method answers with is welcome.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
 */
import type { HttpRoute } from "#gateway/catalog/catalog.ts";
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

/** @throws RpcError NOT_ACCEPTABLE. Asking for problem+json concerns errors alone and never refuses. */
export function checkAccept(exchange: Exchange, route: HttpRoute): void {
  const header = exchange.headers.accept;
  if (header === undefined || header === "*/*" || route.method.output.desc.typeName === httpBody) return;
  const offered = hasUnaryReply(route.method.kind) ? "application/json" : "application/x-ndjson";
  const ranges = parseAccept(String(header));
  if (ranges.some((range) => range.type === "application/problem+json" && range.quality > 0)) return;
  if (quality(ranges, offered) > 0) return;
  throw new RpcError("invalid_argument", {
    reason: "NOT_ACCEPTABLE",
    message: `accept: this method answers with ${offered}`,
    metadata: { offered },
  });
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

/** The most specific range that fits decides. */
function quality(ranges: readonly Range[], type: string): number {
  const [main] = type.split("/", 1);
  for (const candidate of [type, `${main}/*`, "*/*"]) {
    const range = ranges.find((one) => one.type === candidate);
    if (range !== undefined) return range.quality;
  }
  return 0;
}
