/** The API reference: every operation of the OpenAPI document, with its fields, examples, errors and a form that sends it. */

import type {
  Answer,
  Content,
  OpenApiDocument,
  Operation,
  Parameter,
  Schema,
} from "#gateway/describe/describe.ts";
import { Html, html } from "#std/html.ts";
import { page, prose } from "./html.ts";

interface Entry {
  readonly path: string;
  /** In upper case. */
  readonly verb: string;
  readonly operation: Operation;
}

const schemaRef = /^#\/components\/schemas\/(.+)$/;

export function docsPage(document: OpenApiDocument, version: string): string {
  const entries = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, verb: method.toUpperCase(), operation })),
  );
  const ofTag = (tag: string): Entry[] => entries.filter(({ operation }) => operation.tags[0] === tag);
  return page(
    "Portico: API reference",
    html`<header>
<h1>Portico <small>${version}</small></h1>
<nav aria-label="Documents"><a href="/openapi.json">OpenAPI</a> <a href="/asyncapi.json">AsyncAPI</a> <a href="/schemas">Schemas</a> <a href="/docs/errors">Errors</a> <a href="/readyz">Readiness</a> <a href="/metrics">Metrics</a></nav>
${document.components.securitySchemes === undefined ? undefined : credentialInput}
</header>
<div class="columns">
<nav class="index" aria-label="Operations">
<input id="filter" type="search" placeholder="Filter (press /)" aria-label="Filter operations" hidden>
${document.tags.map((tag) => html`<h2>${tag.name}</h2><ul>${ofTag(tag.name).map(indexEntry)}</ul>`)}
<h2>Schemas</h2><ul>${Object.keys(document.components.schemas).map((name) => html`<li><a href="#${anchor(name)}">${shortName(name)}</a></li>`)}</ul>
</nav>
<main>
<p>Each method is here over REST as shown; over REST, Connect and gRPC-Web as <code>POST /package.Service/Method</code>; over gRPC; on a WebSocket at
<code>/ws</code>; and, where it takes one message, in GraphQL at <code>/graphql</code>. It is the same method with the same answer.</p>
${document.tags.map((tag) => html`<section><h2>${tag.name}</h2><p>${prose(tag.description)}</p>${ofTag(tag.name).map((entry) => article(document, entry))}</section>`)}
<section><h2>Schemas</h2>${Object.entries(document.components.schemas).map(([name, schema]) => schemaArticle(name, schema))}</section>
</main>
</div>`,
  );
}

/** Kept by the page alone, until it is left. */
const credentialInput = html`<label class="credential" hidden><span>Credential</span><input id="credential" type="password" autocomplete="off" placeholder="access token or API key"></label>`;

function indexEntry({ verb, path, operation }: Entry): Html {
  return html`<li><a href="#${operation.operationId}" title="${verb} ${path}"><span class="verb ${verb.toLowerCase()}">${verb}</span> ${methodOf(operation)}</a></li>`;
}

function article(document: OpenApiDocument, entry: Entry): Html {
  const { verb, path, operation } = entry;
  return html`
<article id="${operation.operationId}">
<h3><a href="#${operation.operationId}">${methodOf(operation)}</a></h3>
<p class="route"><span class="verb ${verb.toLowerCase()}">${verb}</span> <code>${path}</code></p>
<p>${prose(operation.description)}</p>
${needed(operation)}
${parameters(operation.parameters)}
${operation.requestBody === undefined ? undefined : html`<h4>Body</h4>${content(operation.requestBody.content)}`}
<h4>Answers</h4>
${answers(document, operation)}
<details><summary>From a shell</summary><pre><code>${curlLine(document, entry)}</code></pre>
<p>gRPC: <code>${operation["x-grpc-method"]}</code></p></details>
${form(entry)}
</article>`;
}

function needed(operation: Operation): Html | undefined {
  const scopes = operation["x-required-scopes"];
  if (scopes === undefined) return undefined;
  return html`<p>Needs ${scopes.map((scope, at) => html`${at === 0 ? "" : " or "}<code>${scope}</code>`)}.</p>`;
}

function parameters(list: readonly Parameter[]): Html | undefined {
  if (list.length === 0) return undefined;
  const rows = list.map(
    (
      parameter,
    ) => html`<tr><td><code>${parameter.name}</code>${parameter.required === true ? html` <em>required</em>` : undefined}</td>
<td>${typeOf(parameter.schema)}<br><small>${parameter.in}</small></td><td>${prose(parameter.description ?? "")}</td></tr>`,
  );
  return html`<h4>Parameters</h4><table><thead><tr><th>Name</th><th>Type</th><th>Meaning</th></tr></thead><tbody>${rows}</tbody></table>`;
}

function content(types: Content): Html {
  return html`${Object.entries(types).map(
    ([type, { schema, example }]) =>
      html`<p><code>${type}</code> ${typeOf(schema)}</p>${example === undefined ? undefined : html`<details><summary>Example</summary><pre><code>${pretty(example)}</code></pre></details>`}`,
  )}`;
}

function answers(document: OpenApiDocument, operation: Operation): Html {
  const rows = Object.entries(operation.responses).map(([status, answer]) => {
    const whole = resolve(document, answer);
    const success = status.startsWith("2");
    return html`<dt>${status === "default" ? "other" : status}</dt><dd>${prose(whole.description)}${success && whole.content !== undefined ? content(whole.content) : undefined}</dd>`;
  });
  return html`<dl class="answers">${rows}</dl>`;
}

function resolve(document: OpenApiDocument, answer: Operation["responses"][string]): Answer {
  if (!("$ref" in answer)) return answer;
  const name = answer.$ref.slice(answer.$ref.lastIndexOf("/") + 1);
  return document.components.responses[name] ?? { description: name };
}

function schemaArticle(name: string, schema: Schema): Html {
  const fields = Object.entries((schema.properties ?? {}) as Readonly<Record<string, Schema>>);
  const rows = fields.map(
    ([
      field,
      one,
    ]) => html`<tr><td><code>${field}</code>${one.readOnly === true ? html` <em>read only</em>` : undefined}</td>
<td>${typeOf(one)}</td><td>${prose(textOf(one.description))}</td></tr>`,
  );
  return html`
<article id="${anchor(name)}"><h3>${shortName(name)}</h3><p><small><code>${name}</code></small></p><p>${prose(textOf(schema.description))}</p>
${rows.length === 0 ? html`<p>No fields.</p>` : html`<table><thead><tr><th>Field</th><th>Type</th><th>Meaning</th></tr></thead><tbody>${rows}</tbody></table>`}
</article>`;
}

function typeOf(schema: Schema): Html {
  const ref = schemaRef.exec(textOf(schema.$ref))?.[1];
  if (ref !== undefined) return html`<a href="#${anchor(ref)}">${shortName(ref)}</a>`;
  if (schema.type === "array") return html`list of ${typeOf(schema.items as Schema)}`;
  if (Array.isArray(schema.enum))
    return html`${schema.enum.map((value, at) => html`${at === 0 ? "" : " | "}<code>${String(value)}</code>`)}`;
  if (typeof schema.additionalProperties === "object")
    return html`map of ${typeOf(schema.additionalProperties as Schema)}`;
  const { type, format } = schema;
  if (format === "binary") return html`bytes`;
  const base = Array.isArray(type) ? type.join(" | ") : textOf(type) || "any";
  return typeof format === "string" ? html`${base} <small>${format}</small>` : html`${base}`;
}

/** Filled in by the script, which also shows it: without scripts there is no form. */
function form({ verb, path, operation }: Entry): Html {
  const inputs = operation.parameters.map(
    (parameter) =>
      html`<label><span>${parameter.name} <small>${parameter.in}</small></span>${input(operation, parameter)}</label>`,
  );
  return html`<details class="try" hidden><summary>Try it</summary>
<form data-verb="${verb}" data-path="${path}">${inputs}${bodyInput(operation)}<p><button type="submit">Send</button> <small class="note">Sent to this server.</small></p></form>
<output aria-live="polite"></output></details>`;
}

function input(operation: Operation, { name, in: where, required, schema, example }: Parameter): Html {
  const id = `${operation.operationId}.${name}`;
  const choices = Array.isArray(schema.enum)
    ? schema.enum
    : schema.type === "boolean"
      ? [true, false]
      : undefined;
  if (choices !== undefined)
    return html`<select id="${id}" data-name="${name}" data-in="${where}"><option value="">(default)</option>${choices.map((choice) => html`<option>${String(choice)}</option>`)}</select>`;
  const value = required === true && example !== undefined ? String(example) : "";
  const many = schema.type === "array" ? new Html(' data-many placeholder="separated by commas"') : undefined;
  const needed = required === true ? new Html(" required") : undefined;
  return html`<input id="${id}" data-name="${name}" data-in="${where}" value="${value}"${many}${needed}>`;
}

function bodyInput({ requestBody, operationId }: Operation): Html | undefined {
  if (requestBody === undefined) return undefined;
  const [type, { example }] = Object.entries(requestBody.content)[0] ?? [
    "application/json",
    { example: undefined },
  ];
  if (type !== "application/json")
    return html`<label><span>Body <small>file</small></span><input type="file" data-type="${type}"></label>`;
  return html`<label><span>Body <small>${type}</small></span><textarea id="${operationId}.body" data-type="${type}" rows="8" spellcheck="false">${pretty(example)}</textarea></label>`;
}

function curlLine(document: OpenApiDocument, { verb, path, operation }: Entry): string {
  const target = path.replace(/\{([^}]*)\}/g, (_, name: string) => {
    const parameter = operation.parameters.find((one) => one.in === "path" && one.name === name);
    return encodeURIComponent(textOf(parameter?.example) || name);
  });
  const query = operation.parameters
    .filter(
      ({ in: where, required, example }) => where === "query" && required === true && example !== undefined,
    )
    .map(({ name, example }) => `${name}=${encodeURIComponent(String(example))}`);
  const url = `${document.servers[0]?.url ?? ""}${target}${query.length === 0 ? "" : `?${query.join("&")}`}`;
  const credential = operation["x-required-scopes"] === undefined ? "" : ` -H "X-API-Key: $KEY"`;
  const base = `${verb === "GET" ? "curl" : `curl -X ${verb}`} '${url}'${credential}`;
  const [type, body] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  if (type === undefined) return base;
  if (type !== "application/json") return `${base} -H 'content-type: ${type}' --data-binary @FILE`;
  const data = JSON.stringify(body?.example).replaceAll("'", String.raw`'\''`);
  return `${base} -H 'content-type: ${type}' -d '${data}'`;
}

function methodOf(operation: Operation): string {
  const name = operation["x-grpc-method"];
  return name.slice(name.indexOf("/") + 1);
}

function shortName(name: string): string {
  return name.slice(name.lastIndexOf(".") + 1);
}

function anchor(name: string): string {
  return `schema-${name}`;
}

function pretty(value: unknown): string {
  return JSON.stringify(value, undefined, 2) ?? "";
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
