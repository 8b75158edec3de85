/**
 * The wire, case by case: `*.golden` files hold requests and the exact answers to them.
 *
 * `=== name` begins a case, `---` stands between request and answer. A `*` in an expected header or body stands for
 * anything, `!name` for a header that must not be there, `(cut)` for an answer that must end in the middle. JSON is compared by
 * its keys and values; `error 3 FIELD_INVALID i32: *` is an error's code, reason and message, `details [...]` are its own details.
 * REST cases (`rest-*.golden`) are sent over HTTP/1 and over clear-text HTTP/2. gRPC cases (`grpc-*.golden`) have hexadecimal bodies
 * and expect headers, then messages in hexadecimal, then after `+++` trailers.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { type EchoServer, startEcho } from "../support/echo.ts";
import {
  fits,
  type HttpAnswer,
  parseRequest,
  sendHttp1,
  sendHttp2,
  splitOnce,
} from "../support/http-case.ts";

interface Case {
  readonly name: string;
  readonly request: string;
  readonly expected: string;
}

let echo: EchoServer;
before(async () => {
  echo = await startEcho();
});
after(() => echo.close());

const files = readdirSync(import.meta.dirname).filter((name) => name.endsWith(".golden"));

function casesOf(file: string): Case[] {
  const text = readFileSync(path.join(import.meta.dirname, file), "utf8");
  return text
    .split(/^=== /m)
    .slice(1)
    .map((part) => {
      const [name = "", rest = ""] = splitOnce(part, "\n");
      const [request = "", expected = ""] = splitOnce(rest, "\n---\n");
      return { name, request, expected: expected.trimEnd() };
    });
}

interface Expectation {
  readonly status: number;
  readonly headers: readonly (readonly [string, string | undefined])[];
  readonly cut: boolean;
}

function parseHead(text: string): Expectation {
  const [status = "", ...lines] = text.split("\n").filter((line) => line !== "");
  return {
    status: Number(status),
    cut: lines.includes("(cut)"),
    headers: lines
      .filter((line) => line !== "(cut)")
      .map((line) => {
        if (line.startsWith("!")) return [line.slice(1), undefined];
        const [name = "", value = ""] = splitOnce(line, ":");
        return [name, value.trim()];
      }),
  };
}

function checkFields(actual: ReadonlyMap<string, string>, expected: Expectation["headers"]): void {
  for (const [name, value] of expected) {
    const found = actual.get(name);
    if (value === undefined) assert.equal(found, undefined, `${name} is there`);
    else if (found === undefined || !fits(found, value)) assert.equal(found, value, name);
  }
}

function checkText(actual: string, expected: string): void {
  const [kind = "", rest = ""] = splitOnce(expected, " ");
  if (kind === "error") checkError(JSON.parse(actual) as ErrorBody, rest);
  else if (kind === "details")
    assert.deepEqual((JSON.parse(actual) as ErrorBody).details.slice(2), JSON.parse(rest));
  else if (!fits(canonical(actual), canonical(expected)))
    assert.equal(canonical(actual), canonical(expected));
}

interface ErrorBody {
  readonly code: number;
  readonly message: string;
  readonly details: readonly {
    readonly reason?: string;
    readonly domain?: string;
    readonly requestId?: string;
  }[];
}

/** `error 3 FIELD_INVALID i32: *`: code, reason, pattern of the message. */
function checkError(error: ErrorBody, expected: string): void {
  const [code, rest = ""] = splitOnce(expected, " ");
  const [reason, message = ""] = splitOnce(rest, " ");
  const [info, request] = error.details;
  assert.deepEqual(
    [String(error.code), info?.reason, info?.domain],
    [code, reason, "portico"],
    error.message,
  );
  assert.notEqual(request?.requestId ?? "", "");
  if (!fits(error.message, message)) assert.equal(error.message, message);
}

/** JSON (or lines of it) with sorted keys and numbers as they were written; other text as it is. */
function canonical(text: string): string {
  try {
    return text
      .split("\n")
      .map((line) => JSON.stringify(sorted(JSON.parse(line, numberAsWritten))))
      .join("\n");
  } catch {
    // Not JSON: compared as text.
    return text;
  }
}

function numberAsWritten(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  return typeof value === "number" ? `number ${context?.source}` : value;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}

function checkRest(answer: HttpAnswer, expected: string): void {
  const [head = "", body = ""] = splitOnce(expected, "\n\n");
  const wanted = parseHead(head);
  const text = answer.body.toString("utf8").replace(/\n$/, "");
  assert.equal(answer.status, wanted.status, text);
  checkFields(answer.headers, wanted.headers);
  checkText(text, body);
  assert.equal(answer.complete, !wanted.cut, "whether the answer is complete");
}

for (const file of files.filter((name) => name.startsWith("rest-"))) {
  for (const [version, send] of [
    ["HTTP/1", sendHttp1],
    ["HTTP/2", sendHttp2],
  ] as const) {
    describe(`${file} over ${version}`, { concurrency: 8 }, () => {
      for (const { name, request, expected } of casesOf(file))
        test(name, async () => checkRest(await send(echo.httpPort, parseRequest(request)), expected));
    });
  }
}

/** Hexadecimal with `#` comments to the end of the line. */
function hexOf(text: string): Buffer {
  return Buffer.from(text.replaceAll(/#.*$/gm, "").replaceAll(/\s/g, ""), "hex");
}

async function checkGrpc({ request, expected }: Case): Promise<void> {
  const [head = "", body] = splitOnce(request, "\n\n");
  const parsed = parseRequest(head);
  const given = new Set(parsed.headers.map(([name]) => name));
  const usual = [
    ["content-type", "application/grpc"],
    ["te", "trailers"],
  ] as const;
  const answer = await sendHttp2(echo.grpcPort, {
    ...parsed,
    headers: [...usual.filter(([name]) => !given.has(name)), ...parsed.headers],
    body: hexOf(body ?? ""),
  });
  const [leading = "", tail] = splitOnce(expected, "\n+++\n");
  const [wantedHead = "", wantedBody = ""] = splitOnce(leading, "\n\n");
  const wanted = parseHead(wantedHead);
  const why = `${[...answer.headers, ...answer.trailers].join("; ")} ${answer.body.toString("latin1")}`;
  assert.equal(answer.status, wanted.status, why);
  checkFields(answer.headers, wanted.headers);
  if (wantedBody.startsWith("text: ")) checkText(answer.body.toString("utf8"), `${wantedBody.slice(6)}\n`);
  else assert.equal(answer.body.toString("hex"), hexOf(wantedBody).toString("hex"), why);
  // Without `+++` the answer is a single block of headers.
  if (tail === undefined) assert.deepEqual([...answer.trailers], []);
  else checkFields(answer.trailers, parseHead(`0\n${tail}`).headers);
}

for (const file of files.filter((name) => name.startsWith("grpc-"))) {
  describe(file, { concurrency: 8 }, () => {
    for (const one of casesOf(file)) test(one.name, () => checkGrpc(one));
  });
}
