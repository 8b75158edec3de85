/** Which headers a contract may bind its fields to: those that mean something to a service, and nothing to HTTP, browsers or the gateway. */

const form = /^[a-z][a-z0-9-]{0,63}$/;

/** HTTP's own: of one connection (RFC 9110 section 7.6.1), of the message's framing and of its representation. */
const framing: readonly string[] = [
  ...["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host", "expect", "date"],
  ...["content-encoding", "content-length", "content-type", "accept", "accept-encoding", "vary", "via"],
  ...["http2-settings", "age", "alt-svc", "server", "allow", "accept-post", "accept-patch"],
];

/** Those whose meaning is the gateway's, on the way in or out. */
const ours: readonly string[] = [
  ...["x-request-id", "idempotency-key", "idempotent-replayed", "portico-timeout", "last-event-id"],
  ...["etag", "if-match", "if-none-match", "location", "link", "deprecation", "sunset", "cache-control"],
  ...["prefer", "preference-applied", "ratelimit", "ratelimit-policy", "retry-after", "traceparent"],
  ...["content-range", "server-timing", "x-accel-buffering"],
];

/** What callers show, and what browsers obey. */
const guarded: readonly string[] = [
  ...["authorization", "authentication-info", "cookie", "set-cookie", "www-authenticate", "x-api-key"],
  ...["origin", "referer", "referrer-policy", "clear-site-data", "content-security-policy", "refresh"],
  ...["content-security-policy-report-only", "permissions-policy", "feature-policy", "expect-ct", "nel"],
  ...["report-to", "reporting-endpoints", "origin-agent-cluster", "service-worker-allowed", "sourcemap"],
  ...["strict-transport-security", "timing-allow-origin", "x-content-type-options", "x-frame-options"],
  ...["x-xss-protection", "x-permitted-cross-domain-policies", "x-dns-prefetch-control", "x-sendfile"],
  ...["forwarded", "x-real-ip", "x-http-method-override"],
];
const guardedPrefixes = /^(access-control|connect|cross-origin|grpc|proxy|sec|trailer|x-accel|x-forwarded)-/;

const taken: ReadonlySet<string> = new Set([...framing, ...ours, ...guarded]);

/** What is wrong with a header for a field; undefined: nothing. */
export function headerProblem(name: string): string | undefined {
  const lower = name.toLowerCase();
  if (!form.test(lower))
    return `"${printable(name)}" is no name of a header: a letter, then letters, digits and hyphens, at most 64`;
  if (taken.has(lower) || guardedPrefixes.test(lower))
    return `"${name}" is HTTP's, the browser's or the gateway's own; choose another`;
  return undefined;
}

function printable(name: string): string {
  return name.slice(0, 64).replace(/[^\x20-\x7e]/g, "?");
}
