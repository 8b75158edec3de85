/**
 * Answers over HTTP/1 whose head is put together here where that is plain: node checks each header's name and value with a regular
 * expression, each time, which for the dozen that every answer has takes longer than all the rest that a call does in the gateway.
 *
 * Node's `_storeHeader` is the place; it is no documented one. A node that had it no longer would write heads as it does for everybody:
 * nothing here is needed, only faster. See decision 0026.
 */
import type { ServerResponse as Response } from "node:http";
import { ServerResponse } from "./node-http.ts";

type Headers = Readonly<Record<string, string | number | readonly string[]>>;

/** What node keeps of an answer and its types leave out. */
interface Inner {
  _header: string | null;
  _headerSent: boolean;
  _contentLength: number | null;
  _removedConnection: boolean;
  _removedContLen: boolean;
  _last: boolean;
  _defaultKeepAlive: boolean;
  _keepAliveTimeout: number;
  _maxRequestsPerSocket: number | null;
  maxRequestsOnConnectionReached?: boolean;
}

type StoreHeader = (this: Response, firstLine: string, headers: unknown) => void;
const nodes = ServerResponse.prototype as unknown as { readonly _storeHeader: StoreHeader };

export class Http1Response extends ServerResponse {
  /** Called by `writeHead`. */
  _storeHeader(firstLine: string, headers: unknown): void {
    const fields = isPlain(headers) ? fieldsOf(headers) : undefined;
    if (fields === undefined || !this.sendDate || inner(this)._removedConnection) {
      nodes._storeHeader.call(this, firstLine, headers);
      return;
    }
    const state = inner(this);
    state._contentLength = (headers as { readonly "content-length": number })["content-length"];
    state._removedContLen = false;
    state._header = `${firstLine}${fields}Date: ${dateNow()}\r\n${connectionOf(this)}\r\n`;
    state._headerSent = false;
  }
}

function inner(response: Response): Inner {
  return response as unknown as Inner;
}

/** Of known length: no chunks, no trailers. */
function isPlain(headers: unknown): headers is Headers {
  return (
    typeof headers === "object" &&
    headers !== null &&
    typeof (headers as Headers)["content-length"] === "number"
  );
}

/** Node's own rule, of which a length that is known leaves this much. */
function connectionOf(response: Response): string {
  const state = inner(response);
  if (!response.shouldKeepAlive) {
    state._last = true;
    return "Connection: close\r\n";
  }
  if (state.maxRequestsOnConnectionReached === true) return "Connection: close\r\n";
  if (!state._keepAliveTimeout || !state._defaultKeepAlive) return "Connection: keep-alive\r\n";
  return keepAliveOf(state._keepAliveTimeout, state._maxRequestsPerSocket ?? 0);
}

let keepAlive = { timeoutMs: -1, requests: -1, text: "" };

/** The same for every answer of a server. */
function keepAliveOf(timeoutMs: number, requests: number): string {
  if (keepAlive.timeoutMs !== timeoutMs || keepAlive.requests !== requests) {
    const max = requests > 0 ? `, max=${requests}` : "";
    const text = `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(timeoutMs / 1000)}${max}\r\n`;
    keepAlive = { timeoutMs, requests, text };
  }
  return keepAlive.text;
}

let today = { second: -1, text: "" };

/** RFC 9110 section 6.6.1, written once a second. */
function dateNow(): string {
  const second = Math.floor(Date.now() / 1000);
  if (today.second !== second) today = { second, text: new Date(second * 1000).toUTCString() };
  return today.text;
}

/** Names whose lines come again and again: a line that was written once is written. So many values of each are kept. */
const valuesOfName = 32;
const written = new Map<string, Map<string, string>>(
  [
    ...["cache-control", "content-security-policy", "content-type", "cross-origin-resource-policy"],
    ...["referrer-policy", "strict-transport-security", "vary", "x-content-type-options", "x-frame-options"],
  ].map((name) => [name, new Map()]),
);
/** Names that mean something to node, besides the length. */
const nodesOwn = new Set([
  ...["connection", "content-disposition", "cookie", "date", "expect", "keep-alive", "trailer"],
  "transfer-encoding",
]);
/** As node has them: RFC 9110 section 5.6.2 and 5.5. */
const token = /^[\^_`a-zA-Z\-0-9!#$%&'*+.|~]+$/;
const notInValues = /[^\t\x20-\x7e\x80-\xff]/;
/** Names that were looked at, to a bound: they are the contract's and the services'. */
const names = new Set<string>();
const namesKept = 512;

/** Undefined where node should see to it, and say what is wrong. */
function fieldsOf(headers: Headers): string | undefined {
  let text = "";
  for (const name in headers) {
    const value = headers[name];
    const line =
      typeof value === "string"
        ? lineOf(name, value)
        : value === undefined
          ? undefined
          : linesOf(name, value);
    if (line === undefined) return undefined;
    text += line;
  }
  return text;
}

function lineOf(name: string, value: string): string | undefined {
  const kept = written.get(name);
  if (kept === undefined)
    return isName(name) && !notInValues.test(value) ? `${name}: ${value}\r\n` : undefined;
  const before = kept.get(value);
  if (before !== undefined) return before;
  if (notInValues.test(value)) return undefined;
  const line = `${name}: ${value}\r\n`;
  if (kept.size < valuesOfName) kept.set(value, line);
  return line;
}

function linesOf(name: string, value: number | readonly string[]): string | undefined {
  if (!isName(name)) return undefined;
  if (typeof value === "number") return `${name}: ${value}\r\n`;
  let text = "";
  for (const one of value) {
    if (typeof one !== "string" || notInValues.test(one)) return undefined;
    text += `${name}: ${one}\r\n`;
  }
  return text;
}

function isName(name: string): boolean {
  if (names.has(name)) return true;
  if (nodesOwn.has(name) || name !== name.toLowerCase() || !token.test(name)) return false;
  if (names.size < namesKept) names.add(name);
  return true;
}
