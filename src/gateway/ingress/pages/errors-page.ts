/** Every error reason on one page, each under its own anchor: `type` of a problem (RFC 9457) points here. */

import { codes, httpStatusOf } from "#rpc/code.ts";
import type { Reasons } from "#rpc/reasons.ts";
import { html } from "#std/html.ts";
import { page, prose } from "./html.ts";

export function errorsPage(tables: readonly Reasons[]): string {
  const reasons = tables.flatMap((table) => Object.entries(table)).sort(([a], [b]) => (a < b ? -1 : 1));
  return page(
    "Portico: errors",
    html`<header><h1>Errors</h1><nav aria-label="Documents"><a href="/docs">API reference</a></nav></header>
<main class="alone">
<p>Every error is a <code>google.rpc.Status</code>: a code, a message for people, and details. The first detail is a <code>google.rpc.ErrorInfo</code> with one of
these reasons: switch on the reason, show the message. With <code>Accept: application/problem+json</code> the same comes as a problem of RFC 9457.</p>
<table class="reasons"><thead><tr><th>Reason</th><th>Code</th><th>Meaning</th></tr></thead><tbody>
${reasons.map(([reason, { code, meaning }]) => html`<tr id="${reason}"><td><code>${reason}</code></td><td>${codes[code].label} <small>gRPC ${codes[code].number}, HTTP ${httpStatusOf({ code, reason })}</small></td><td>${prose(meaning)}.</td></tr>\n`)}
</tbody></table></main>`,
  );
}
