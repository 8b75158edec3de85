/** Rows of sizes, compression, JSON and idempotency over GraphQL and MCP, whose answers have forms of their own: the same statuses and reasons as over REST. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { sendHttp1, sendHttp2 } from "../support/http-case.ts";
import { ask, bpmnXml, startPortico, type TestPortico } from "../support/portico.ts";
import { threadMs } from "../support/thread-time.ts";
import { bomb, nested } from "./rows-grpc.ts";

let portico: TestPortico;
before(async () => {
  portico = await startPortico();
});
after(() => portico.stop());

const mebi = 1024 * 1024;
const rpc = (params: string): string => `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":${params}}`;
const protocols = {
  GraphQL: { target: "/graphql", carrying: (json: string) => `{"query":"{__typename}","variables":${json}}` },
  MCP: { target: "/mcp", carrying: (json: string) => rpc(`{"name":"get_bpmn","arguments":${json}}`) },
} as const;
type Carrying = (json: string) => string;

interface Case {
  readonly row: number;
  readonly what: string;
  body(carrying: Carrying): string | Uint8Array;
  readonly encoding?: string;
  readonly status: number;
  readonly reason?: string;
}

const cases: readonly Case[] = [
  {
    ...{ row: 21, what: "more than 1 MiB", status: 413, reason: "PAYLOAD_TOO_LARGE" },
    body: (carrying) => carrying(`{"id":"${"a".repeat(mebi)}"}`),
  },
  {
    ...{ row: 22, what: "a gibibyte in gzip", status: 413, reason: "PAYLOAD_TOO_LARGE" },
    ...{ body: () => bomb, encoding: "gzip" },
  },
  {
    ...{ row: 22, what: "gzip in gzip", status: 415, reason: "ENCODING_UNSUPPORTED" },
    ...{ body: () => gzipSync(bomb), encoding: "gzip, gzip" },
  },
  {
    ...{ row: 25, what: "an unknown encoding", status: 415, reason: "ENCODING_UNSUPPORTED" },
    ...{ body: (carrying) => carrying("{}"), encoding: "snappy" },
  },
  {
    ...{ row: 26, what: "corrupt gzip", status: 400, reason: "MESSAGE_MALFORMED" },
    ...{ body: () => "nope", encoding: "gzip" },
  },
  {
    ...{ row: 28, what: "101 levels", status: 400, reason: "MESSAGE_MALFORMED" },
    body: (carrying) => carrying(nested("[", "]", 101)),
  },
  {
    ...{ row: 36, what: "a key twice", status: 400, reason: "FIELD_REPEATED" },
    body: (carrying) => carrying('{"id":"a","x":[{"a":1,"b":2,"\\u0061":3}]}'),
  },
  { ...{ row: 36, what: "text behind it", status: 400 }, body: (carrying) => `${carrying("{}")} x` },
  {
    ...{ row: 36, what: "bytes that are not UTF-8", status: 400 },
    body: (carrying) => Buffer.from(carrying('{"id":"\xff"}'), "latin1"),
  },
  { ...{ row: 40, what: "a million brackets", status: 400 }, body: () => "[".repeat(1_000_000) },
];

for (const [protocol, { target, carrying }] of Object.entries(protocols))
  describe(`bad input over ${protocol}`, () => {
    for (const { row, what, body, encoding, status, reason } of cases)
      test(`${row}. ${what}`, async () => {
        for (const send of [sendHttp1, sendHttp2]) {
          const answer = await send(portico.httpPort, {
            ...{ method: "POST", target, body: Buffer.from(body(carrying)) },
            headers: Object.entries({
              "content-type": "application/json",
              accept: "application/json, text/event-stream",
              "mcp-protocol-version": "2025-11-25",
              ...(encoding === undefined ? {} : { "content-encoding": encoding }),
            }),
          });
          const text = answer.body.toString();
          assert.equal(answer.status, status, text.slice(0, 300));
          if (reason !== undefined) assert.match(text, new RegExp(`"reason":"${reason}"`));
          assert.doesNotMatch(text, /node_modules|\.ts:|"data":\{"__typename/);
        }
      });

    test("39. keys of JavaScript's prototypes are names that are not there", async () => {
      const sent = carrying('{"__proto__":{"x":1},"constructor":{"prototype":{"x":1}}}');
      const answer = await sendHttp1(portico.httpPort, {
        ...{ method: "POST", target, body: Buffer.from(sent) },
        headers: Object.entries({
          "content-type": "application/json",
          accept: "application/json, text/event-stream",
        }),
      });
      assert.equal(answer.status, 200);
      assert.equal(({} as { x?: number }).x, undefined);
    });
  });

test("what is around a tool's arguments is bounded: the library looks at each part of it several times", async () => {
  const keys = (count: number) => Array.from({ length: count }, (_unused, at) => `"k${at}":1`).join();
  const send = async (params: string) =>
    await sendHttp1(portico.httpPort, {
      ...{ method: "POST", target: "/mcp", body: Buffer.from(rpc(params)) },
      headers: [
        ["content-type", "application/json"],
        ["accept", "application/json, text/event-stream"],
      ],
    });
  const call = (args: string, meta: string) => `{"name":"get_bpmn","arguments":{${args}},"_meta":{${meta}}}`;
  const started = process.cpuUsage();
  const refused = await send(call("", keys(60_000)));
  const { user } = process.cpuUsage(started);
  assert.equal(refused.status, 413);
  assert.match(refused.body.toString(), /"reason":"TOO_MANY_ELEMENTS"/);
  assert.ok(user < 150_000, `${user} µs, with the client's own part`);
  assert.equal((await send(call("", keys(500)))).status, 200);
  // Arguments are for the method's codec to judge.
  assert.match((await send(call(keys(2000), ""))).body.toString(), /FIELD_UNKNOWN/);
});

/** A tool's arguments in either revision, as they are written. */
const sendTool = (args: string, revision: "older" | "newest", meta = "") => {
  const about =
    '"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"a","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}';
  const all = [revision === "newest" ? about : "", meta].filter((part) => part !== "").join();
  const headers =
    revision === "newest"
      ? { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "get_bpmn" }
      : { "mcp-protocol-version": "2025-11-25" };
  return sendHttp1(portico.httpPort, {
    ...{ method: "POST", target: "/mcp" },
    body: Buffer.from(rpc(`{"name":"get_bpmn","arguments":${args},"_meta":{${all}}}`)),
    headers: Object.entries({
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...headers,
    }),
  });
};
const manyKeys = (count: number, last = ""): string =>
  `{${Array.from({ length: count }, (_unused, at) => `"k${at}":1`).join()}${last}}`;

for (const revision of ["older", "newest"] as const)
  describe(`a tool's arguments that are none, in the ${revision} revision`, () => {
    const cases = [
      ["60,000 unknown keys", manyKeys(60_000), 200, "FIELD_UNKNOWN: k0"],
      ["as many, and half a character", manyKeys(60_000, ',"\\ud800":1'), 400, "FIELD_INVALID"],
      ["as many, and the first again", manyKeys(60_000, ',"k0":1'), 400, "FIELD_REPEATED"],
      ["400,000 elements", `{"id":[${"0,".repeat(400_000)}0]}`, 413, "TOO_MANY_ELEMENTS"],
      ["a list instead", `[${manyKeys(500)}]`, 200, "arguments"],
    ] as const;
    for (const [what, args, status, said] of cases)
      test(`${what}: ${said}, and at once`, async () => {
        const costs: number[] = [];
        // The first ones pay for compiling what they run.
        for (let round = 0; round < 9; round += 1) {
          const before = threadMs();
          const answer = await sendTool(args, revision);
          costs.push(threadMs() - before);
          assert.equal(answer.status, status, answer.body.toString().slice(0, 300));
          assert.ok(answer.body.toString().includes(said), answer.body.toString().slice(0, 300));
        }
        // With the client's own part.
        const [, , , , ofHalf = 0] = costs.toSorted((a, b) => a - b);
        assert.ok(ofHalf < 50, `${costs.map(Math.round).join()} ms`);
      });
  });

test("half a character among keys hides nothing behind it, over GraphQL and MCP", async () => {
  const meta = await sendTool("{}", "older", `"\\ud800":1,${manyKeys(2000).slice(1, -1)}`);
  assert.equal(meta.status, 400);
  assert.match(meta.body.toString(), /FIELD_INVALID/);
  const body = '{"variables":{"\\ud800":1},"query":"{ __typename }","query":"{ a }"}';
  const graphql = await ask(portico.base, "POST", "/graphql", {
    ...{ body, headers: { "content-type": "application/json" } },
  });
  assert.equal(graphql.status, 400);
  assert.equal(graphql.json.errors[0].extensions.reason, "FIELD_INVALID", graphql.text);
});

test("a prompt's arguments, which no codec reads, are as few as what is around a tool's", async () => {
  const asked = (args: string) =>
    ask(portico.base, "POST", "/mcp", {
      body: `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"none","arguments":${args}}}`,
      headers: { "content-type": "application/json", accept: "application/json, text/event-stream" },
    });
  const many = await asked(manyKeys(1001));
  assert.deepEqual([many.status, many.json.error.data.reason], [413, "TOO_MANY_ELEMENTS"], many.text);
  assert.match((await asked('{"a":"1"}')).text, /there is no prompt none/);
});

const list = `query Q($pageSize: Int, $pageToken: String, $filter: String) {
  listBPMN(pageSize: $pageSize, pageToken: $pageToken, filter: $filter) { nextPageToken }
}`;
const stale = { document: { id: "order", displayName: "a", etag: "stale" } };
/** What a method refuses has the place of an error in each protocol, with the reason of all others. */
const byMethod = [
  [43, "a page size below zero", { pageSize: -1 }, "FIELD_INVALID"],
  [43, "a forged page token", { pageToken: "abc.def" }, "PAGE_TOKEN_INVALID"],
  [43, "a filter of 100 KB", { filter: `display_name = "${"a".repeat(100_000)}"` }, "FILTER_INVALID"],
  [44, "a stale etag", stale, "ETAG_MISMATCH"],
] as const;

describe("what methods refuse, over GraphQL and MCP", () => {
  before(() => ask(portico.base, "POST", "/api/v1/bpmn?documentId=order", { body: { xml: bpmnXml() } }));

  for (const [row, what, args, reason] of byMethod)
    test(`${row}. ${what}`, async () => {
      const query =
        args === stale
          ? `mutation { updateBPMN(document: ${JSON.stringify(stale.document).replaceAll(/"(\w+)":/g, "$1:")}) { id } }`
          : list;
      const graphql = await ask(portico.base, "POST", "/graphql", {
        body: { query, variables: args === stale ? {} : args },
      });
      assert.equal(graphql.json.errors[0].extensions.reason, reason, graphql.text);
      assert.equal(graphql.json.data?.listBPMN ?? graphql.json.data?.updateBPMN ?? null, null);
      const { text } = await ask(portico.base, "POST", "/mcp", {
        body: {
          ...{ jsonrpc: "2.0", id: 1, method: "tools/call" },
          params: { name: args === stale ? "update_bpmn" : "list_bpmn", arguments: args },
        },
        headers: { accept: "application/json, text/event-stream" },
      });
      const { result } = JSON.parse(text.slice(text.indexOf("{")));
      assert.equal(result.isError, true);
      assert.ok(result.content[0].text.startsWith(`${reason}: `), text);
    });
});

describe("44. an idempotency key that is used again", () => {
  let identified: TestPortico;
  before(async () => {
    // Without authentication nobody has keys.
    identified = await startPortico({ authentication: "on" });
  });
  after(() => identified.stop());

  const send = (target: string, body: unknown, more: Readonly<Record<string, string>>) =>
    ask(identified.base, "POST", target, {
      body,
      headers: { "x-api-key": identified.key, accept: "application/json, text/event-stream", ...more },
    });
  const document = (displayName: string) => ({ displayName, xml: bpmnXml() });
  const overRest = (displayName: string, key: object) =>
    send("/api/v1/bpmn?documentId=mine", document(displayName), { ...key });
  const overGraphql = (displayName: string, key: object) => {
    const query =
      'mutation M($document: BPMNDocumentInput!) { createBPMN(document: $document, documentId: "mine") { id displayName } }';
    return send("/graphql", { query, variables: { document: document(displayName) } }, { ...key });
  };
  const overMcp = (displayName: string, key: object) => {
    const params = {
      name: "create_bpmn",
      arguments: { documentId: "mine", document: document(displayName) },
    };
    return send("/mcp", { jsonrpc: "2.0", id: 1, method: "tools/call", params }, { ...key });
  };
  const resultOf = ({ text }: { readonly text: string }) => JSON.parse(text.slice(text.indexOf("{"))).result;
  const message = "the idempotency key was used for another request; make a new one for each request";

  test("for the same request: the first answer again, whichever protocol it comes by", async () => {
    const key = { "idempotency-key": "one" };
    const first = await overRest("a", key);
    assert.deepEqual([first.status, first.headers.get("idempotent-replayed")], [201, null], first.text);
    const graphql = await overGraphql("a", key);
    assert.deepEqual(graphql.json.data, { createBPMN: { id: "mine", displayName: "a" } }, graphql.text);
    assert.equal(graphql.headers.get("idempotent-replayed"), "true");
    const mcp = await overMcp("a", key);
    assert.equal(resultOf(mcp).structuredContent.revision, first.json.revision, mcp.text);
    // Without a key, it is there already.
    assert.equal((await overGraphql("a", {})).json.errors[0].extensions.reason, "RESOURCE_EXISTS");
    assert.match(resultOf(await overMcp("a", {})).content[0].text, /^RESOURCE_EXISTS: /);
  });

  test("for another request over GraphQL: FAILED_PRECONDITION, and nothing is done", async () => {
    const { status, json, text } = await overGraphql("b", { "idempotency-key": "one" });
    const [{ message: said, path, extensions }] = json.errors;
    assert.deepEqual(
      [status, json.data, said, path],
      [200, { createBPMN: null }, message, ["createBPMN"]],
      text,
    );
    assert.deepEqual([extensions.code, extensions.reason], ["FAILED_PRECONDITION", "IDEMPOTENCY_KEY_REUSED"]);
  });

  test("for another request over MCP: a tool's error, and nothing is done", async () => {
    const answer = await overMcp("b", { "idempotency-key": "one" });
    assert.equal(answer.status, 200);
    const { isError, content } = resultOf(answer);
    assert.equal(isError, true, answer.text);
    assert.equal(content.length, 1);
    const [line, status = ""] = content[0].text.split("\n");
    assert.equal(line, `IDEMPOTENCY_KEY_REUSED: ${message}`);
    // What programs read, as gRPC has it.
    const { code, details } = JSON.parse(status);
    assert.deepEqual([code, details[0].reason], [9, "IDEMPOTENCY_KEY_REUSED"]);
    const now = await ask(identified.base, "GET", "/api/v1/bpmn/mine", {
      headers: { "x-api-key": identified.key },
    });
    assert.equal(now.json.displayName, "a");
  });
});
