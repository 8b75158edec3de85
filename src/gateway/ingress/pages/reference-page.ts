/** The API reference as one page of HTML without scripts: every method, its bindings, its fields. */
import { createHash } from "node:crypto";
import type { DescField } from "@bufbuild/protobuf";
import type { Catalog, HttpRoute } from "#gateway/catalog/catalog.ts";
import type { Method } from "#rpc/method.ts";

const styles = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:0 auto;padding:1.5rem}
code{font-family:ui-monospace,monospace;font-size:.9em}
nav a{margin-right:1rem}
article{border-top:1px solid color-mix(in srgb,currentColor 25%,transparent);padding:.5rem 0 1rem}
h3{margin:.5rem 0}
.verb{display:inline-block;min-width:4rem;font-weight:700}
table{border-collapse:collapse;width:100%;font-size:.9rem}
td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0}
`;

/** For the page's content security policy: this style and no other. */
export const stylesHash = `sha256-${createHash("sha256").update(styles).digest("base64")}`;

export function referencePage(catalog: Catalog, version: string): string {
  const services = catalog.services.filter((service) =>
    catalog.routes.some((route) => route.method.service === service.typeName),
  );
  const sections = services.map((service) => {
    const methods = [...catalog.methods.values()].filter((method) => method.service === service.typeName);
    return `<section><h2 id="${escapeHtml(service.typeName)}">${escapeHtml(service.name)}</h2><p>${escapeHtml(catalog.commentOf(service))}</p>
${methods.map((method) => article(catalog, method)).join("\n")}</section>`;
  });
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Portico ${escapeHtml(version)}</title><style>${styles}</style></head>
<body><h1>Portico <small>${escapeHtml(version)}</small></h1>
<nav><a href="/openapi.json">openapi.json</a><a href="/readyz">readyz</a><a href="/metrics">metrics</a></nav>
<p>Every method below is served over REST as shown, over REST as <code>POST /package.Service/Method</code>, and over gRPC with reflection.</p>
${sections.join("\n")}
</body></html>
`;
}

function article(catalog: Catalog, method: Method): string {
  const routes = catalog.routes.filter((route) => route.method === method);
  return `<article id="${escapeHtml(method.desc.name)}"><h3>${escapeHtml(method.desc.name)}</h3>
${routes.map(binding).join("\n")}
<p>${escapeHtml(catalog.commentOf(method.desc))}</p>
<details><summary>Request <code>${escapeHtml(method.input.desc.typeName)}</code></summary>${table(catalog, method.input.desc.fields)}</details>
<details><summary>${method.kind === "unary" || method.kind === "client_stream" ? "Answer" : "Answers, a stream of"} <code>${escapeHtml(method.output.desc.typeName)}</code></summary>${table(catalog, method.output.desc.fields)}</details>
</article>`;
}

function binding(route: HttpRoute): string {
  return `<div><code><span class="verb">${escapeHtml(route.httpMethod)}</span>${escapeHtml(route.template)}</code></div>`;
}

function table(catalog: Catalog, fields: readonly DescField[]): string {
  if (fields.length === 0) return "<p>No fields.</p>";
  const rows = fields.map(
    (field) =>
      `<tr><td><code>${escapeHtml(field.jsonName)}</code></td><td>${escapeHtml(typeOf(field))}</td><td>${escapeHtml(catalog.commentOf(field))}</td></tr>`,
  );
  return `<table><tr><th>field</th><th>type</th><th></th></tr>${rows.join("")}</table>`;
}

function typeOf(field: DescField): string {
  const type =
    field.proto.typeName === ""
      ? (scalarNames[field.proto.type] ?? "scalar")
      : field.proto.typeName.slice(field.proto.typeName.lastIndexOf(".") + 1);
  return field.fieldKind === "list" ? `list of ${type}` : field.fieldKind === "map" ? "map" : type;
}

/** FieldDescriptorProto.Type. */
const scalarNames: Readonly<Record<number, string>> = {
  1: "double",
  2: "float",
  3: "int64",
  4: "uint64",
  5: "int32",
  6: "fixed64",
  7: "fixed32",
  8: "bool",
  9: "string",
  12: "bytes",
  13: "uint32",
  15: "sfixed32",
  16: "sfixed64",
  17: "sint32",
  18: "sint64",
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
}
