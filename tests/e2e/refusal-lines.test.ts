/** Whatever is refused has a line and a count, in every family of requests, with the trace that its client named and who it was where that is known. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { ask } from "../support/portico.ts";
import { type Running, serve } from "../support/process.ts";
import { binary, frame, more, ping, Raw, text } from "../support/websocket-bytes.ts";

const dataDir = mkdtempSync(path.join(tmpdir(), "portico-refusals-"));
let running: Running;
let key: Record<string, string>;
let traces = 0;

before(async () => {
  running = await serve(
    dataDir,
    [
      ...["--database-url", "memory:", "--authentication", "on", "--rate-limit", "off"],
      ...["--mcp-meta-tools", "on"],
    ],
    { env: { PORTICO_WEBSOCKET_FIRST_MESSAGE_TIMEOUT_MS: "1000" } },
  );
  key = { "x-api-key": readFileSync(path.join(dataDir, "dev-key"), "utf8").trim() };
});
after(() => {
  running.child.kill("SIGKILL");
  rmSync(dataDir, { recursive: true, force: true });
});

type Line = Readonly<Record<string, unknown>>;

/** The process writes them within 200 ms. */
async function linesOf(traceId: string): Promise<readonly Line[]> {
  for (let tries = 0; tries < 60; tries += 1) {
    const found = running.lines
      .filter((line) => line.includes(traceId))
      .map((line) => JSON.parse(line) as Line);
    if (found.length > 0) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return [];
}

async function metric(name: string): Promise<number> {
  const { text: all } = await ask(running.base, "GET", "/metrics");
  const line = all.split("\n").find((one) => one.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1) ?? 0);
}

/** A trace of its own, by which its line is found. */
function traced(): { readonly traceId: string; readonly headers: Record<string, string> } {
  traces += 1;
  const traceId = traces.toString(16).padStart(32, "b");
  return { traceId, headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` } };
}

interface Expected {
  readonly protocol: string;
  readonly code: string;
  readonly reason: string;
  /** Absent: nobody showed who they are. */
  readonly principal?: string;
  /** What of `portico_limited_total`; absent: it was no limit. */
  readonly limited?: string;
}

async function told(expected: Expected, run: (headers: Record<string, string>) => Promise<unknown>) {
  const count = `portico_errors_total{reason="${expected.reason}"}`;
  const limit = `portico_limited_total{what="${expected.limited}"}`;
  const before = [await metric(count), await metric(limit)];
  const { traceId, headers } = traced();
  await run(headers);
  const [line, ...others] = await linesOf(traceId);
  assert.ok(line !== undefined, "there is no line");
  assert.deepEqual(others, []);
  assert.deepEqual(
    [line.protocol, line.code, line.reason, line.traceId],
    [expected.protocol, expected.code, expected.reason, traceId],
  );
  assert.equal(line.principal, expected.principal);
  assert.equal(line.peer, "127.0.0.1");
  assert.equal(await metric(count), Number(before[0]) + 1);
  assert.equal(await metric(limit), Number(before[1]) + (expected.limited === undefined ? 0 : 1));
}

const invalid = { protocol: "graphql", code: "invalid_argument", reason: "QUERY_INVALID" };
const post =
  (target: string, body: unknown, more: Record<string, string> = {}) =>
  (headers: Record<string, string>) =>
    ask(running.base, "POST", target, { body, headers: { ...headers, ...more } });
const query = (body: object, accept?: string) =>
  post("/graphql", body, accept === undefined ? {} : { accept });

describe("a line for what GraphQL refuses", () => {
  const deep = `{ ${"listBPMN { bpmns { ".repeat(40)} id ${"} }".repeat(40)} }`;
  const rows: readonly (readonly [
    string,
    Expected,
    (headers: Record<string, string>) => Promise<unknown>,
  ])[] = [
    ["text that is no query", invalid, query({ query: "{" })],
    ["a query that does not fit", invalid, query({ query: "{ nope }" })],
    ["an operation that is not there", invalid, query({ query: "{ __typename }", operationName: "x" })],
    [
      "variables that do not fit",
      invalid,
      query({ query: "query ($a: Int!) { listBPMN(pageSize: $a) { totalSize } }" }),
    ],
    ["one that does not fit, as events", invalid, query({ query: "{ nope }" }, "text/event-stream")],
    [
      "a batch with one that does not fit",
      invalid,
      query([{ query: "{ __typename }" }, { query: "{ nope }" }]),
    ],
    ["a body that is no JSON", invalid, post("/graphql", "{", { "content-type": "application/json" })],
    [
      "a query that is too deep",
      { ...invalid, code: "resource_exhausted", reason: "QUERY_TOO_LARGE" },
      query({ query: deep }),
    ],
    [
      "a mutation by GET",
      { ...invalid, code: "unimplemented", reason: "MUTATION_BY_GET" },
      (headers) =>
        ask(
          running.base,
          "GET",
          `/graphql?query=${encodeURIComponent('mutation { deleteBPMN(id: "a") { id } }')}`,
          { headers },
        ),
    ],
    ["metadata that is none", { ...invalid, reason: "METADATA_INVALID" }, query({ query: "{ __typename }" })],
  ];
  for (const [what, expected, run] of rows)
    test(what, () =>
      told(expected, (headers) =>
        run(expected.reason === "METADATA_INVALID" ? { ...headers, "x-some-bin": "a" } : headers),
      ),
    );

  test("an operation on a socket", () =>
    told(invalid, async (headers) => {
      const socket = new WebSocket(`${running.base.replace("http", "ws")}/graphql`, "graphql-transport-ws", {
        headers,
      });
      await new Promise((resolve) => socket.once("open", resolve));
      socket.send('{"type":"connection_init"}');
      await new Promise((resolve) => socket.once("message", resolve));
      socket.send('{"id":"1","type":"subscribe","payload":{"query":"{ nope }"}}');
      await new Promise((resolve) => socket.once("message", resolve));
      socket.close();
    }));
});

describe("a line for what an agent is refused", () => {
  const expected = {
    ...{ protocol: "mcp", code: "invalid_argument", reason: "AGENT_REQUEST_INVALID" },
    principal: "users/admin",
  };
  const agent =
    (body: unknown, own: Record<string, string> = {}) =>
    (headers: Record<string, string>) =>
      post("/mcp", body, {
        ...{ accept: "application/json, text/event-stream", "content-type": "application/json" },
        ...{ "mcp-protocol-version": "2025-11-25", ...key, ...own },
      })(headers);
  const call = (name: string, given: object = {}) =>
    JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: given } });
  const rows: readonly (readonly [
    string,
    Expected,
    (headers: Record<string, string>) => Promise<unknown>,
  ])[] = [
    ["what is no JSON", expected, agent("{")],
    [
      "a method that the protocol does not have",
      expected,
      agent('{"jsonrpc":"2.0","id":1,"method":"nope/nope"}'),
    ],
    ["a tool that is not there", expected, agent(call("nope"))],
    [
      "a method that no tool calls",
      { ...expected, reason: "METHOD_UNKNOWN" },
      agent(call("call_method", { method: "a.B/C" })),
    ],
    [
      "a session that is not there",
      { ...expected, code: "not_found", reason: "AGENT_SESSION_UNKNOWN" },
      agent('{"jsonrpc":"2.0","id":1,"method":"tools/list"}', { "mcp-session-id": "none" }),
    ],
  ];
  for (const [what, wanted, run] of rows) test(what, () => told(wanted, run));

  test("and none besides that of the call, where one was made", async () => {
    const { traceId, headers } = traced();
    await agent(call("get_bpmn", { id: "none" }))(headers);
    assert.deepEqual(
      (await linesOf(traceId)).map((line) => line.reason),
      ["RESOURCE_NOT_FOUND"],
    );
  });
});

describe("a line for what the pages and the authorization server refuse", () => {
  const form = { "content-type": "application/x-www-form-urlencoded" };
  const oauth = { protocol: "rest", code: "invalid_argument", reason: "OAUTH_REFUSED" };
  const get =
    (target: string, own: Record<string, string> = {}) =>
    (headers: Record<string, string>) =>
      ask(running.base, "GET", target, { headers: { ...headers, ...own } });
  const rows: readonly (readonly [
    string,
    Expected,
    (headers: Record<string, string>) => Promise<unknown>,
  ])[] = [
    [
      "a token request of an unknown kind",
      oauth,
      post("/oauth2/token", "grant_type=password&password=x", form),
    ],
    [
      "a token request of an unknown client",
      { ...oauth, code: "unauthenticated" },
      post("/oauth2/token", "grant_type=client_credentials&client_id=x&client_secret=y", form),
    ],
    ["a client that is unknown", oauth, get("/oauth2/authorize?client_id=x")],
    [
      "metrics for a stranger",
      { protocol: "rest", code: "permission_denied", reason: "METRICS_CLOSED" },
      get("/metrics", { "x-forwarded-for": "192.0.2.1" }),
    ],
    [
      "a page by POST",
      { protocol: "rest", code: "unimplemented", reason: "METHOD_NOT_BOUND" },
      post("/docs", ""),
    ],
  ];
  for (const [what, expected, run] of rows) test(what, () => told(expected, run));
});

describe("a line for what ends a socket", () => {
  const wrong = { protocol: "websocket", code: "invalid_argument", reason: "SOCKET_FRAME_INVALID" };
  const tooMuch = { protocol: "websocket", code: "resource_exhausted" };
  const send = (...pieces: readonly Buffer[]) => sendTo("/ws", {}, ...pieces);
  const sendTo =
    (target: string, own: Record<string, string>, ...pieces: readonly Buffer[]) =>
    async (headers: Record<string, string>) => {
      const port = Number(new URL(running.base).port);
      const lines = Object.entries({ ...headers, ...own }).map(([name, value]) => `${name}: ${value}`);
      const raw = await new Raw(port, target, Buffer.alloc(0), lines).opened();
      for (const piece of pieces) raw.socket.write(piece);
      await raw.until(() => raw.ended, 5000);
    };
  const graphql = { "sec-websocket-protocol": "graphql-transport-ws" };
  const many = (count: number, one: Buffer): Buffer => Buffer.concat(Array<Buffer>(count).fill(one));
  const rows: readonly (readonly [
    string,
    Expected,
    (headers: Record<string, string>) => Promise<unknown>,
  ])[] = [
    ["a frame that is none of ours (4400)", wrong, send(frame(text, "{}"))],
    ["a kind of data that is not taken (4400)", wrong, send(frame(binary, "\xff"))],
    ["a frame without its mask (1002)", wrong, send(frame(text, "{}", { masked: false }))],
    ["text that is no UTF-8 (1007)", wrong, send(frame(text, Buffer.from([0xff])))],
    [
      "a message that is too large (1009)",
      { ...tooMuch, reason: "SOCKET_FRAME_TOO_LARGE", limited: "frame" },
      send(frame(text, Buffer.alloc(1024 * 1024 + 1, 32))),
    ],
    [
      "a message in too many pieces (1008)",
      { ...tooMuch, reason: "SOCKET_FRAMES_LIMITED", limited: "frame" },
      send(frame(text, "{", { fin: false }), many(2000, frame(more, " ", { fin: false }))),
    ],
    [
      "too many PINGs at once",
      { ...tooMuch, reason: "SOCKET_FRAMES_LIMITED", limited: "frame" },
      send(many(5000, frame(ping, "a"))),
    ],
    [
      "what is none of GraphQL's messages (4400)",
      { ...wrong, protocol: "graphql" },
      sendTo("/graphql", graphql, frame(text, '{"type":"nope"}')),
    ],
    [
      "an operation before GraphQL knows its client (4401)",
      { protocol: "graphql", code: "unauthenticated", reason: "SOCKET_UNAUTHENTICATED" },
      sendTo(
        "/graphql",
        graphql,
        frame(text, '{"id":"1","type":"subscribe","payload":{"query":"{ __typename }"}}'),
      ),
    ],
    [
      "a message of GraphQL that is too large (1009)",
      { ...tooMuch, protocol: "graphql", reason: "SOCKET_FRAME_TOO_LARGE", limited: "frame" },
      sendTo("/graphql", graphql, frame(text, Buffer.alloc(1024 * 1024 + 1, 32))),
    ],
    [
      "a kind of data that a method of its own socket does not take (4400)",
      { ...wrong, principal: "users/admin" },
      (headers) => sendTo("/api/v1/bpmn:upload", key, frame(binary, "\xff"))(headers),
    ],
    [
      "a credential that is none (4401)",
      { protocol: "websocket", code: "unauthenticated", reason: "CREDENTIAL_INVALID" },
      send(frame(text, '{"init":{"token":"nobody"}}')),
    ],
    ["silence (4408)", { protocol: "websocket", code: "deadline_exceeded", reason: "SOCKET_SILENT" }, send()],
  ];
  for (const [what, expected, run] of rows) test(what, () => told(expected, run));

  test("and for a call that does not begin, with who it was", () =>
    told(
      { protocol: "websocket", code: "unimplemented", reason: "METHOD_UNKNOWN", principal: "users/admin" },
      async (headers) => {
        const socket = new WebSocket(`${running.base.replace("http", "ws")}/ws`, {
          headers: { ...headers, ...key },
        });
        const ended = new Promise((resolve) => {
          socket.on("message", (data) => {
            if (String(data).includes('"end"')) resolve(undefined);
          });
        });
        await new Promise((resolve) => socket.once("open", resolve));
        socket.send('{"id":"1","call":{"method":"a.B/C"},"message":{},"end":true}');
        await ended;
        socket.close();
      },
    ));
});
