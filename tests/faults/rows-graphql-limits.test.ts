/** What a GraphQL request may hold besides its variables, and what holds for the queries of URLs over every protocol that reads one. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { ask, startPortico, type TestPortico } from "../support/portico.ts";
import { threadMs } from "../support/thread-time.ts";

let portico: TestPortico;
before(async () => {
  portico = await startPortico();
});
after(() => portico.stop());

const keys = (count: number): string =>
  `{${Array.from({ length: count }, (_unused, at) => `"${at.toString(36)}":0`).join()}}`;
const post = (body: string) =>
  ask(portico.base, "POST", "/graphql", { body, headers: { "content-type": "application/json" } });
const told = ({ status, json }: Awaited<ReturnType<typeof post>>) => [
  status,
  json.errors?.[0]?.extensions?.reason,
];
const typename = '"query":"{__typename}"';

describe("a GraphQL request", () => {
  for (const [what, body] of [
    ["extensions", `{${typename},"extensions":{"p":${keys(1000)}}}`],
    ["members that nobody knows", `{${typename},"more":[${Array(1000).fill(0).join()}]}`],
    ["extensions in a batch", `[{${typename}},{${typename},"extensions":${keys(1000)}}]`],
    ["variables that are no object", `{${typename},"variables":[${Array(1000).fill(0).join()}]}`],
    ["variables somewhere else", `{${typename},"extensions":{"variables":${keys(1000)}}}`],
  ] as const)
    test(`with more than 1000 elements of ${what} is too large`, async () => {
      const answer = await post(body);
      assert.deepEqual(told(answer), [400, "QUERY_TOO_LARGE"]);
      assert.match(
        answer.json.errors[0].message,
        /more than 1000 keys and list elements beside its variables/,
      );
    });

  test("by GET has the same limit", async () => {
    const extensions = encodeURIComponent(`[${Array(1001).fill(0).join()}]`).replaceAll("%2C", ",");
    const target = `/graphql?query={__typename}&extensions={"p":${extensions}}`;
    assert.deepEqual(told(await ask(portico.base, "GET", target)), [400, "QUERY_TOO_LARGE"]);
  });

  test("may have as many variables as any request has elements", async () => {
    for (const body of [
      `{${typename},"variables":${keys(50_000)}}`,
      `[{${typename},"variables":${keys(2000)}},{${typename},"variables":${keys(2000)}}]`,
    ]) {
      const answer = await post(body);
      assert.equal(answer.status, 200, answer.text);
      assert.match(answer.text, /"__typename":"Query"/);
    }
    assert.deepEqual(told(await post(`{${typename},"variables":${keys(100_001)}}`)), [
      ...[413, "TOO_MANY_ELEMENTS"],
    ]);
    const half = `{${typename},"variables":${keys(50_001)}}`;
    assert.deepEqual(told(await post(`[${half},${half}]`)), [413, "TOO_MANY_ELEMENTS"]);
  });

  test("of a mebibyte of extensions costs no more than to read it", async () => {
    const body = `{${typename},"extensions":{"p":${keys(108_000)}}}`;
    await post(body);
    const before = threadMs();
    for (let count = 0; count < 5; count += 1)
      assert.deepEqual(told(await post(body)), [400, "QUERY_TOO_LARGE"]);
    const each = (threadMs() - before) / 5;
    assert.ok(each < 60, `${each} ms each, with the client's own part`);
  });

  for (const [what, query] of [
    ["lists", `{getBPMN(id:${"[".repeat(1900)}`],
    ["lists that end", `{getBPMN(id:${"[".repeat(900)}${"]".repeat(900)}){id}}`],
    ["objects", `{getBPMN(id:${"{a:".repeat(600)}1${"}".repeat(600)}){id}}`],
    ["selections", `{${"a{".repeat(900)}b${"}".repeat(900)}}`],
    ["types", `query($a:${"[".repeat(1900)}`],
  ] as const)
    test(`with very many ${what} in each other is too large`, async () => {
      const answer = await post(JSON.stringify({ query }));
      assert.deepEqual(told(answer), [400, "QUERY_TOO_LARGE"]);
      assert.doesNotMatch(answer.text, /call stack/);
      assert.match(answer.text, /brackets in each other: at most 84/);
    });

  test("counts no brackets that are text", async () => {
    const open = "[{(".repeat(200);
    const query = `# ${open}\n{getBPMN(id:"${open}"){id}}`;
    assert.equal(
      (await post(JSON.stringify({ query }))).json.errors[0].extensions.reason,
      "RESOURCE_NOT_FOUND",
    );
    const block = `{getBPMN(id:"""${open}"""){id}}`;
    assert.doesNotMatch((await post(JSON.stringify({ query: block }))).text, /QUERY_TOO_LARGE/);
  });

  test("on a socket is refused with the reason, and the socket closed", async () => {
    const socket = new WebSocket(`${portico.base.replace("http", "ws")}/graphql`, "graphql-transport-ws");
    const closed = Promise.withResolvers<[number, string]>();
    socket.on("close", (code, reason) => closed.resolve([code, String(reason)]));
    socket.on("error", closed.reject);
    socket.on("open", () => socket.send('{"type":"connection_init"}'));
    socket.on("message", () =>
      socket.send(
        `{"id":"1","type":"subscribe","payload":{${typename},"variables":${keys(2000)},"extensions":${keys(1000)}}}`,
      ),
    );
    assert.deepEqual(await closed.promise, [
      4400,
      "the request has more than 1000 keys and list elements beside its variables; send fewer",
    ]);
  });
});

describe("more parameters than a query may have", () => {
  const many = Array.from({ length: 201 }, (_unused, at) => `p${at}=1`).join("&");
  const problem = "query: has more than the 200 parameters that are allowed";

  test("are refused over GraphQL", async () => {
    const answer = await ask(portico.base, "GET", `/graphql?query={__typename}&${many}`);
    assert.deepEqual(told(answer), [400, "FIELD_INVALID"]);
    assert.equal(answer.json.errors[0].message, problem);
  });

  test("are refused over Connect", async () => {
    const target = `/portico.bpmn.v1.BPMNService/ListBPMN?connect=v1&encoding=json&message={}`;
    assert.equal((await ask(portico.base, "GET", target)).status, 200);
    const answer = await ask(portico.base, "GET", `${target}&${many}`);
    assert.deepEqual([answer.status, answer.json.code], [400, "invalid_argument"]);
    assert.equal(answer.json.message, problem);
  });

  test("are refused over REST", async () => {
    const answer = await ask(portico.base, "GET", `/api/v1/bpmn?${many}`);
    assert.deepEqual([answer.status, answer.json.message], [400, problem]);
  });

  test("is what the operator says", async () => {
    const own = await startPortico({ maxQueryParameters: "3" });
    try {
      for (const target of [
        "/graphql?query={__typename}&a&b&c",
        "/portico.bpmn.v1.BPMNService/ListBPMN?connect=v1&encoding=json&message={}&a=1",
        "/api/v1/bpmn?a&b&c&d",
      ]) {
        const answer = await ask(own.base, "GET", target);
        assert.equal(answer.status, 400, target);
        assert.match(answer.text, /more than the 3 parameters/);
      }
    } finally {
      await own.stop();
    }
  });
});
