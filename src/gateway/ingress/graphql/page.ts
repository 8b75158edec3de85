/**
 * GraphiQL, the page on which queries are tried, for development. All of it comes from this process: the built package has the files in
 * `assets/vendor`, a clone has them in `node_modules`, of which they are development dependencies.
 */
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import { html } from "#std/html.ts";
import type { Exchange } from "../exchange.ts";
import { preferred } from "../rest/accept.ts";
import { secure } from "../rest/security-headers.ts";
import { vendorFiles } from "./page-files.ts";

const folder = "/graphql/page/";
const scripts = ["react.js", "react-dom.js", "graphiql.js", "start.js"] as const;
const styles = ["graphiql.css", "start.css"] as const;
export const pagePaths: readonly string[] = [...scripts, ...styles].map((name) => folder + name);

interface Asset {
  readonly bytes: Buffer;
  readonly etag: string;
}

const assets = new Map<string, Asset>();

/** A browser that goes to the address, and not a page's request for data. */
export function isPageAsked({ method, headers, query }: Exchange): boolean {
  if (method !== "GET" || /(^|&)query=/.test(query)) return false;
  return preferred(headers.accept, ["application/json", "text/html"]) === "text/html";
}

/** @param shown whether there is such a page at all. */
export function servePage(exchange: Exchange, shown: boolean): void {
  const id = requestIdFrom(exchange.headers["x-request-id"]);
  const text = secure("text/plain; charset=utf-8", id);
  if (!shown) {
    exchange.reply(404, text, "there is no page here; development mode has one\n");
    return;
  }
  if (exchange.method !== "GET") {
    exchange.reply(405, { ...text, allow: "GET" }, "use GET\n");
    return;
  }
  try {
    if (exchange.path.startsWith(folder)) replyAsset(exchange, id);
    else replyPage(exchange, id);
  } catch {
    // A clone without its development dependencies.
    exchange.reply(404, text, "GraphiQL is not installed: npm ci brings it; /graphql works without it\n");
  }
}

function replyPage(exchange: Exchange, id: string): void {
  for (const name of [...scripts, ...styles]) assetOf(name);
  const nonce = randomBytes(16).toString("base64");
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Portico: GraphiQL</title>
<link rel="icon" href="data:,">
${styles.map((name) => html`<link rel="stylesheet" nonce="${nonce}" href="${folder}${name}">`)}
</head>
<body>
<div id="graphiql">Loading…</div>
${scripts.map((name) => html`<script nonce="${nonce}" src="${folder}${name}"></script>`)}
</body>
</html>
`;
  exchange.reply(
    200,
    {
      ...secure("text/html; charset=utf-8", id),
      "content-security-policy": policyWith(nonce),
    },
    page.text,
  );
}

/** The page's scripts, and what they ask of this origin; a dialog makes a style element, which has the nonce too. */
function policyWith(nonce: string): string {
  return [
    "default-src 'none'",
    `script-src 'nonce-${nonce}'`,
    `style-src 'nonce-${nonce}'`,
    "font-src data:",
    "img-src data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}

function replyAsset(exchange: Exchange, id: string): void {
  const name = exchange.path.slice(folder.length);
  const { bytes, etag } = assetOf(name);
  const type = name.endsWith(".css") ? "text/css" : "text/javascript";
  const headers = { ...secure(`${type}; charset=utf-8`, id), etag, "cache-control": "no-cache" };
  if (exchange.headers["if-none-match"] === etag) exchange.reply(304, headers, undefined);
  else exchange.reply(200, headers, bytes);
}

/** @throws Error where it is not installed. */
function assetOf(name: string): Asset {
  let asset = assets.get(name);
  if (asset === undefined) {
    const bytes = readAsset(name);
    const etag = `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`;
    asset = { bytes, etag };
    assets.set(name, asset);
  }
  return asset;
}

function readAsset(name: string): Buffer {
  const vendor = vendorFiles.get(name);
  if (vendor === undefined) return readFileSync(new URL(`./assets/${name}`, import.meta.url));
  try {
    return readFileSync(new URL(`./assets/vendor/${name}`, import.meta.url));
  } catch {
    const { resolve } = createRequire(import.meta.url);
    return readFileSync(path.join(path.dirname(resolve(`${vendor.package}/package.json`)), vendor.file));
  }
}
