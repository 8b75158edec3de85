/** Which of the metadata that handlers set is said in HTTP. */
import type { Call } from "#rpc/call.ts";
import type { ResponseHeaders } from "../exchange.ts";

/** What handlers may say in HTTP's own words; everything else they set stays inside (gRPC carries it all). */
const allowedHeaders: ReadonlySet<string> = new Set([
  "accept-ranges",
  "cache-control",
  "content-disposition",
  "content-language",
  "content-range",
  "deprecation",
  "etag",
  "idempotent-replayed",
  "last-modified",
  "link",
  "location",
  "ratelimit",
  "ratelimit-policy",
  "retry-after",
  "sunset",
  "traceparent",
]);

export function copyHeaders(call: Call, headers: ResponseHeaders): void {
  call.responseHeaders.forEach((name, value) => {
    if (allowedHeaders.has(name) && typeof value === "string") headers[name] = value;
  });
  // What a handler lets caches keep is still the caller's own.
  if (headers["cache-control"] !== "no-store") headers.vary = "accept, authorization, x-api-key";
}
