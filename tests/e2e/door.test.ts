/** What GraphQL, MCP and the authorization server do before there is a call, or without one, is limited as calls are, and told in their own words. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { ask, startPortico, type TestPortico } from "../support/portico.ts";
import { Metrics } from "../support/prometheus-text.ts";

const burst = 5;
let portico: TestPortico;
before(async () => {
  portico = await startPortico({
    ...{ authentication: "on", rateLimit: `1/s:${burst}`, trustedProxies: "127.0.0.0/8" },
  });
});
after(() => portico.stop());

let hosts = 0;
/** A caller that nobody has seen yet: what each test uses up is its own. */
const stranger = (): Record<string, string> => {
  hosts += 1;
  return { "x-forwarded-for": `192.0.2.${hosts}` };
};

type Send = (headers: Record<string, string>) => ReturnType<typeof ask>;
const query =
  (text: string): Send =>
  (headers) =>
    ask(portico.base, "POST", "/graphql", { headers, body: { query: text } });
const rpc =
  (method: string, params: object = {}): Send =>
  (headers) =>
    ask(portico.base, "POST", "/mcp", {
      headers: {
        ...{ accept: "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25" },
        ...headers,
      },
      body: { jsonrpc: "2.0", id: 1, method, params },
    });
const limitedCalls = async (): Promise<number> => {
  const { text } = await ask(portico.base, "GET", "/metrics");
  return new Metrics(text).value("portico_limited_total", { what: "call" }) ?? 0;
};

/** @param status of what is let in. @returns the refusal. */
async function sendTooOften(send: Send, headers: Record<string, string>, status: number) {
  const before = await limitedCalls();
  let sent = 0;
  let answer = await send(headers);
  // What comes back meanwhile is let in too.
  for (; answer.status !== 429; answer = await send(headers)) {
    sent += 1;
    assert.equal(answer.status, status, answer.text);
    assert.match(answer.headers.get("ratelimit") ?? "", /;r=[0-4];/);
    assert.ok(sent < 10 * burst, "all were let in");
  }
  assert.ok(sent >= burst, `${sent} were let in`);
  assert.equal(answer.headers.get("retry-after"), "1");
  assert.match(answer.headers.get("ratelimit") ?? "", /;r=0;/);
  assert.match(answer.headers.get("ratelimit-policy") ?? "", new RegExp(`;q=${burst};`));
  assert.equal(await limitedCalls(), before + 1);
  return answer;
}

describe("the limit of callers", () => {
  for (const [what, send, status] of [
    ["a query without a call", query("{__typename}"), 200],
    ["introspection", query("{__schema{types{name}}}"), 200],
    ["what is no query", query("{"), 200],
    ["by GET", (headers) => ask(portico.base, "GET", "/graphql?query={__typename}", { headers }), 200],
    ["what is no request", (headers) => ask(portico.base, "POST", "/graphql", { headers, body: "[]" }), 415],
  ] as readonly (readonly [string, Send, number])[])
    test(`holds for GraphQL: ${what}`, async () => {
      const { json } = await sendTooOften(send, stranger(), status);
      const [{ message, extensions }] = json.errors;
      assert.match(message, /you call too often; try again in 1 s/);
      assert.deepEqual([extensions.code, extensions.reason], ["RESOURCE_EXHAUSTED", "RATE_LIMITED"]);
      assert.match(JSON.stringify(extensions.details), /"retryDelay":"1s"/);
    });

  for (const [what, send] of [
    ["without a credential", rpc("tools/list")],
    ["with one that is made up", (headers) => rpc("tools/list")({ ...headers, "x-api-key": "ptk_test_a" })],
  ] as readonly (readonly [string, Send])[])
    test(`holds for MCP ${what}`, async () => {
      const { json } = await sendTooOften(send, stranger(), 401);
      assert.deepEqual([json.jsonrpc, json.id], ["2.0", null]);
      assert.deepEqual([json.error.code, json.error.data.reason], [-32_000, "RATE_LIMITED"]);
    });

  test("holds for the authorization server", async () => {
    const send: Send = (headers) =>
      ask(portico.base, "POST", "/oauth2/token", {
        headers: { "content-type": "application/x-www-form-urlencoded", ...headers },
        body: "grant_type=client_credentials",
      });
    const { json } = await sendTooOften(send, stranger(), 400);
    assert.equal(json.error, "temporarily_unavailable");
    assert.match(json.error_description, /you call too often/);
  });

  test("holds for operations on a GraphQL socket, which stays", async () => {
    const socket = new WebSocket(`${portico.base.replace("http", "ws")}/graphql`, "graphql-transport-ws", {
      headers: stranger(),
    });
    // biome-ignore lint/suspicious/noExplicitAny: messages of many shapes
    const told: any[] = [];
    const done = Promise.withResolvers<void>();
    const ends = (): number => told.filter(({ type }) => type === "complete" || type === "error").length;
    socket.on("message", (data) => {
      told.push(JSON.parse(String(data)));
      if (told.length === 1)
        for (let id = 0; id < 4 * burst; id += 1)
          socket.send(JSON.stringify({ id: `${id}`, type: "subscribe", payload: { query: "{__typename}" } }));
      if (ends() === 4 * burst) done.resolve();
    });
    socket.on("error", done.reject);
    socket.on("open", () => socket.send('{"type":"connection_init"}'));
    await done.promise;
    assert.equal(socket.readyState, socket.OPEN);
    socket.close();
    assert.ok(told.filter(({ type }) => type === "next").length >= burst);
    const errors = told.filter(({ type }) => type === "error");
    assert.ok(errors.length > 0);
    for (const { payload } of errors) assert.equal(payload[0].extensions.reason, "RATE_LIMITED");
  });
});

test("what was paid at the door is not paid again by the first call", async () => {
  const left = async (send: Send): Promise<number> => {
    const answer = await send({ "x-api-key": portico.key });
    assert.equal(answer.status, 200, answer.text);
    assert.doesNotMatch(answer.text, /"errors"|"isError"/);
    return Number(/;r=(\d+);/.exec(answer.headers.get("ratelimit") ?? "")?.[1]);
  };
  // At least: what comes back meanwhile is more.
  assert.ok((await left(query('{getUser(id:"me"){name}}'))) >= burst - 1);
  assert.ok((await left(rpc("tools/call", { name: "list_bpmn", arguments: {} }))) >= burst - 2);
  assert.ok((await left(query('{getUser(id:"me"){name} again:getUser(id:"me"){email}}'))) >= burst - 4);
  assert.ok((await left(rpc("tools/list"))) >= burst - 5);
});
