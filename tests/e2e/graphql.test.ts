/** GraphQL over HTTP, server-sent events and WebSocket, against a real server. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type Client, createClient } from "graphql-ws";
import { WebSocket } from "ws";
import { type EchoServer, startEcho } from "../support/echo.ts";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { ask, bpmnXml } from "../support/portico.ts";
import { undisturbedMs } from "../support/thread-time.ts";

interface Result {
  // biome-ignore lint/suspicious/noExplicitAny: data of many shapes
  readonly data?: any;
  readonly errors?: readonly {
    readonly message: string;
    readonly path?: readonly (string | number)[];
    readonly extensions?: { readonly code?: string; readonly reason?: string };
  }[];
}

async function query(
  base: string,
  text: string,
  options: { readonly key?: string; readonly variables?: object; readonly accept?: string } = {},
): Promise<Result & { readonly status: number }> {
  const { key, variables, accept = "application/graphql-response+json" } = options;
  const answer = await ask(base, "POST", "/graphql", {
    body: { query: text, variables },
    headers: { accept, ...(key === undefined ? {} : { "x-api-key": key }) },
  });
  return { status: answer.status, ...(JSON.parse(answer.text) as Result) };
}

const follow = 'subscription { subscribe(topics: ["bpmn/*"], after: "0") { type subject } }';

describe("GraphQL", () => {
  let server: IdentityServer;
  let key: string;
  let viewer: string;
  const clients: Client[] = [];
  const socketClient = (shown: Record<string, unknown>): Client => {
    const client = createClient({
      url: `${server.base.replace("http", "ws")}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: shown,
      retryAttempts: 0,
    });
    clients.push(client);
    return client;
  };
  before(async () => {
    server = await startIdentity();
    key = server.adminKey;
    viewer = await server.userWithKey("vera", ["viewer"]);
    for (const id of ["one", "two", "three"])
      await ask(server.base, "POST", `/api/v1/bpmn?documentId=${id}`, {
        headers: { "x-api-key": key },
        body: { xml: bpmnXml(), labels: { team: id } },
      });
  });
  after(async () => {
    for (const client of clients) await client.dispose();
    await server.close();
  });

  test("queries with variables, mutations one after the other", async () => {
    const read = await query(
      server.base,
      "query ($id: String!) { getBPMN(id: $id) { id name labels { key value } sizeBytes createTime metadata { processes { id } } } }",
      { key, variables: { id: "one" } },
    );
    assert.deepEqual(read.errors, undefined);
    const { id, labels, sizeBytes, createTime, metadata } = read.data.getBPMN;
    assert.deepEqual([id, labels, typeof sizeBytes], ["one", [{ key: "team", value: "one" }], "string"]);
    assert.match(createTime, /^\d{4}-.*Z$/);
    assert.equal(metadata.processes[0].id, "p");
    const changed = await query(
      server.base,
      `mutation { a: updateBPMN(document: { id: "two", displayName: "first" }, updateMask: "displayName") { displayName etag }
         b: updateBPMN(document: { id: "two", displayName: "second" }, updateMask: "displayName") { displayName } }`,
      { key },
    );
    assert.deepEqual(
      [changed.data?.a?.displayName, changed.data?.b?.displayName],
      ["first", "second"],
      JSON.stringify(changed),
    );
  });

  test("what a field names is joined, with one call for all of them", async () => {
    const before = await ask(server.base, "GET", "/api/v1/auditEntries?pageSize=1", {
      headers: { "x-api-key": key },
    });
    assert.equal(before.status, 200);
    const { data, errors } = await query(
      server.base,
      "{ listBPMN { documents { creatorResource { id displayName } lastEditorResource { id } } } listEvents(pageSize: 5) { events { principal principalResource { id } } } }",
      { key },
    );
    assert.equal(errors, undefined);
    for (const document of data.listBPMN.documents) assert.equal(document.creatorResource.id, "admin");
    for (const event of data.listEvents.events) assert.equal(event.principalResource.id, "admin");
    // A reader of documents who may not read users gets the documents, and is told what is missing.
    const partial = await query(server.base, "{ listBPMN { documents { id creatorResource { id } } } }", {
      key: viewer,
    });
    assert.equal(partial.status, 200);
    assert.equal(partial.data.listBPMN.documents.length, 3);
    assert.equal(partial.data.listBPMN.documents[0].creatorResource, null);
    assert.equal(partial.errors?.[0]?.extensions?.reason, "SCOPE_MISSING");
  });

  test("errors carry the call's code and reason, at their place", async () => {
    const missing = await query(server.base, '{ a: getBPMN(id: "none") { id } }', { key });
    assert.deepEqual(missing.errors?.[0]?.path, ["a"]);
    assert.deepEqual(
      [missing.errors?.[0]?.extensions?.code, missing.errors?.[0]?.extensions?.reason],
      ["NOT_FOUND", "RESOURCE_NOT_FOUND"],
    );
    const nobody = await query(server.base, '{ getBPMN(id: "one") { id } }');
    assert.equal(nobody.errors?.[0]?.extensions?.reason, "CREDENTIAL_MISSING");
    const invalid = await query(server.base, "{ getBPMN(idd: 1) { id } }", { key });
    assert.equal(invalid.status, 400);
    assert.match(invalid.errors?.[0]?.message ?? "", /idd/);
    const broken = await query(server.base, "{", { key });
    assert.equal(broken.status, 400);
  });

  test("a mutation over GET is refused, a query is not", async () => {
    const get = (text: string) =>
      ask(server.base, "GET", `/graphql?query=${encodeURIComponent(text)}`, {
        headers: { accept: "application/graphql-response+json", "x-api-key": key },
      });
    assert.equal((await get('{ getBPMN(id: "one") { id } }')).status, 200);
    const refused = await get('mutation { deleteBPMN(id: "one") { id } }');
    assert.ok(refused.status >= 400, refused.text);
    assert.equal((await get('{ getBPMN(id: "one") { deleteTime } }')).json.data.getBPMN.deleteTime, null);
  });

  const nested = (depth: number): string => `${"parent { ".repeat(depth)}id${" }".repeat(depth)}`;
  const large: readonly [string, string][] = [
    ["depth", `{ getBPMN(id: "one") { ${nested(12)} } }`],
    [
      "a fragment in itself",
      '{ getBPMN(id: "one") { ...a } } fragment a on BPMNDocument { ...b } fragment b on BPMNDocument { ...a }',
    ],
    ["aliases", `{ ${Array.from({ length: 31 }, (_, n) => `a${n}: getBPMN(id: "one") { id }`).join(" ")} }`],
    ["tokens", `{ ${"getBPMN(id: 1) { id } ".repeat(400)} }`],
    [
      "cost",
      `{ ${Array.from(
        { length: 30 },
        (_, n) =>
          `a${n}: listEvents { events { principalResource { id } principal2: principalResource { id } } }`,
      )
        .map((text) => text.replace(/principal2: principalResource { id }/, ""))
        .join(
          " ",
        )} ${"listBPMN { documents { creatorResource { id } lastEditorResource { id } } } ".repeat(60)} }`,
    ],
    [
      "fragments that double",
      `{ getBPMN(id: "one") { ...f0 } } ${Array.from({ length: 40 }, (_, n) => `fragment f${n} on BPMNDocument { ...f${n + 1} ...f${n + 1} }`).join(" ")} fragment f40 on BPMNDocument { a: id }`,
    ],
  ];
  for (const [what, text] of large)
    test(`too much is refused before it is validated: ${what}`, async () => {
      const began = performance.now();
      const { status, errors } = await query(server.base, text, { key });
      assert.equal(status, 400);
      assert.match(errors?.[0]?.message ?? "", /too large|token/);
      assert.ok(performance.now() - began < 500);
    });

  test("a body over the limit is 413, and another content type 415", async () => {
    const { status } = await query(server.base, `{ a }#${"x".repeat(1024 * 1024)}`, { key });
    assert.equal(status, 413);
    const form = await fetch(`${server.base}/graphql`, {
      method: "POST",
      headers: { "content-type": "text/plain" },
      body: '{"query":"{ __typename }"}',
    });
    assert.equal(form.status, 415);
  });

  test("a subscription as server-sent events", async () => {
    const stop = new AbortController();
    const answer = await fetch(`${server.base}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "text/event-stream", "x-api-key": key },
      body: JSON.stringify({ query: follow }),
      signal: stop.signal,
    });
    assert.match(answer.headers.get("content-type") ?? "", /^text\/event-stream/);
    let text = "";
    for await (const chunk of answer.body ?? []) {
      text += Buffer.from(chunk as Uint8Array).toString();
      if (text.split("\n\n").length > 3) break;
    }
    stop.abort();
    const first = /^event: next\ndata: (.*)\n/.exec(text)?.[1] ?? "";
    assert.deepEqual(JSON.parse(first).data.subscribe, {
      type: "portico.bpmn.created.v1",
      subject: "bpmn/one",
    });
    const once = await fetch(`${server.base}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "text/event-stream", "x-api-key": key },
      body: JSON.stringify({ query: '{ getBPMN(id: "one") { id } }' }),
    });
    assert.equal(
      await once.text(),
      'event: next\ndata: {"data":{"getBPMN":{"id":"one"}}}\n\nevent: complete\ndata:\n\n',
    );
    const failing = await fetch(`${server.base}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "text/event-stream" },
      body: JSON.stringify({ query: follow }),
    });
    assert.equal(failing.status, 401);
    assert.equal(failing.headers.get("www-authenticate"), "Bearer");
    assert.match(await failing.text(), /CREDENTIAL_MISSING/);
    const invalid = await fetch(`${server.base}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "text/event-stream" },
      body: JSON.stringify({ query: "subscription { none }" }),
    });
    assert.equal(invalid.status, 200);
    assert.match(await invalid.text(), /^event: next\ndata: \{"errors".*QUERY_INVALID.*\n\nevent: complete/s);
  });

  test("queries and subscriptions on one WebSocket, with the credential in its first message", async () => {
    const client = socketClient({ authorization: `Bearer ${key}` });
    const events = client.iterate<{ subscribe: { subject: string } }>({ query: follow });
    const first = await events.next();
    assert.equal(first.value?.data?.subscribe.subject, "bpmn/one");
    const read = await client
      .iterate<{ getUser: { id: string } }>({ query: '{ getUser(id: "me") { id } }' })
      .next();
    assert.equal(read.value?.data?.getUser.id, "admin");
    await events.return?.(undefined);
    const nobody = await socketClient({}).iterate({ query: '{ getUser(id: "me") { id } }' }).next();
    assert.equal(nobody.value?.errors?.[0]?.extensions?.reason, "CREDENTIAL_MISSING");
  });

  test("a ticket opens a socket for as many operations as follow", async () => {
    const made = await ask(server.base, "POST", "/api/v1/auth:ticket", {
      headers: { "x-api-key": key },
      body: {},
    });
    const client = createClient({
      url: `${server.base.replace("http", "ws")}/graphql?ticket=${made.json.ticket}`,
      webSocketImpl: WebSocket,
      lazy: false,
      retryAttempts: 0,
    });
    clients.push(client);
    for (let n = 0; n < 3; n += 1) {
      const { value } = await client
        .iterate<{ getUser: { id: string } }>({ query: '{ getUser(id: "me") { id } }' })
        .next();
      assert.equal(value?.data?.getUser.id, "admin", JSON.stringify(value));
    }
  });
});

describe("GraphQL, over every kind of field", () => {
  let echo: EchoServer;
  before(async () => {
    echo = await startEcho();
  });
  after(() => echo.close());
  const base = (): string => `http://127.0.0.1:${echo.httpPort}`;

  test("values go in and come out as they were", async () => {
    const { data, errors } = await query(
      base(),
      `mutation { unary(text: "é", i32: -5, u32: 4294967295, i64: 9223372036854775807, u64: "18446744073709551615", x64: 7,
         flag: false, real: 1.5, data: "AAE=", color: GREEN, time: "2026-05-04T09:30:00Z", span: "1.500s", mask: "a,bC",
         struct: { a: [1, null, { b: "c" }] }, stringValue: "", int64Value: "-1", boolValue: true, right: 0,
         child: { text: "in", maps: { numbers: [{ key: "9007199254740993", value: "n" }], messages: [{ key: "k", value: { items: ["x"] } }] } },
         lists: { texts: ["a"], colors: [RED], messages: [{ text: "m" }] } ) {
         text i32 u32 i64 u64 x64 flag real data color time span mask struct stringValue int64Value boolValue right left bytesValue
         child { text maps { numbers { key value } messages { key value { items } } texts { key } } } lists { texts colors messages { text } numbers } } }`,
    );
    assert.equal(errors, undefined, JSON.stringify(errors));
    assert.deepEqual(data.unary, {
      ...{ text: "é", i32: -5, u32: 4_294_967_295, x64: "7", flag: false, real: 1.5, data: "AAE=" },
      ...{ i64: "9223372036854775807", u64: "18446744073709551615", color: "GREEN" },
      ...{ time: "2026-05-04T09:30:00Z", span: "1.500s", mask: "a,bC", struct: { a: [1, null, { b: "c" }] } },
      ...{ stringValue: "", int64Value: "-1", boolValue: true, right: 0, left: null, bytesValue: null },
      child: {
        text: "in",
        maps: {
          numbers: [{ key: "9007199254740993", value: "n" }],
          messages: [{ key: "k", value: { items: ["x"] } }],
          texts: [],
        },
      },
      lists: { texts: ["a"], colors: ["RED"], messages: [{ text: "m" }], numbers: [] },
    });
  });

  test("what GraphQL has no literal for comes in variables", async () => {
    const given = {
      any: { "@type": "type.googleapis.com/test.v1.Texts", items: ["a"] },
      value: null,
      listValue: [1, "b", null, { c: [] }],
      lists: { values: [null, 1, { d: "e" }], colors: ["RED"] },
      maps: { flags: [{ key: "true", value: "yes" }], colors: [{ key: "k", value: "GREEN" }] },
      i64: 5,
    };
    const types = {
      ...{
        any: "JSON",
        value: "JSON",
        listValue: "JSON",
        lists: "ListsInput",
        maps: "MapsInput",
        i64: "Int64",
      },
    };
    const fields =
      "any value listValue lists { values colors } maps { flags { key value } colors { key value } } i64";
    const { data, errors } = await query(
      base(),
      `mutation (${Object.entries(types)
        .map(([name, type]) => `$${name}: ${type}`)
        .join(", ")}) {
         unary(${Object.keys(types)
           .map((name) => `${name}: $${name}`)
           .join(", ")}) { ${fields} real another } }`,
      { variables: given },
    );
    assert.equal(errors, undefined, JSON.stringify(errors));
    assert.deepEqual(data.unary, { ...given, i64: "5", real: null, another: null });
    const wrong: readonly (readonly [string, unknown])[] = [
      ["i64", 2 ** 60],
      ["i64", "12345678901234567890123"],
      ["u32", -1],
      ["data", "***"],
      ["time", "yesterday"],
      ["any", { "@type": "type.googleapis.com/no.Such" }],
    ];
    for (const [name, value] of wrong) {
      const type = { i64: "Int64", u32: "UInt32", data: "Bytes", time: "Timestamp", any: "JSON" }[name];
      const answer = await query(base(), `mutation ($v: ${type}) { unary(${name}: $v) { text } }`, {
        variables: { v: value },
      });
      assert.ok((answer.errors?.length ?? 0) > 0, `${name} ${JSON.stringify(value)}`);
      assert.match(JSON.stringify(answer.errors), /INVALID_ARGUMENT/, name);
    }
  });

  test("every kind of a zero is there, and what is not set is null", async () => {
    const { data, errors } = await query(
      base(),
      "mutation { implicit { text i32 i64 real flag data color texts map { key } message { items } optionalText left } }",
    );
    assert.equal(errors, undefined, JSON.stringify(errors));
    const { color, ...rest } = data.implicit;
    assert.equal(typeof color, "string");
    assert.deepEqual(rest, {
      ...{ text: "", i32: 0, i64: "0", real: 0, flag: false, data: "", texts: [], map: [] },
      ...{ message: null, optionalText: null, left: null },
    });
  });

  const planned = (id: string, plan: object): Client =>
    createClient({
      url: `${base().replace("http", "ws")}/graphql`,
      webSocketImpl: class extends WebSocket {
        constructor(url: string, protocols: string[]) {
          super(url, protocols, { headers: { "x-request-id": id, "echo-plan": JSON.stringify(plan) } });
        }
      },
      retryAttempts: 0,
    });
  const stream = { query: 'subscription { serverStream(text: "a") { text } }' };

  test("who has enough, or leaves, is noticed by the handler", async () => {
    for (const leave of ["complete", "close"]) {
      const client = planned("any", { after: 1, wait: true });
      const all = client.iterate(stream);
      assert.deepEqual((await all.next()).value?.data, { serverStream: { text: "a" } });
      const probe = echo.latest();
      const began = undisturbedMs();
      if (leave === "complete") await all.return?.(undefined);
      else await client.dispose();
      assert.equal((await probe.canceled).code, "canceled");
      assert.ok(undisturbedMs() - began < 50, leave);
      await client.dispose();
    }
  });

  test("a stream that fails ends with its error, and the socket goes on", async () => {
    const client = planned("any", { after: 1, code: "aborted", reason: "PLANNED" });
    const results: Result[] = [];
    for await (const result of client.iterate(stream)) results.push(result as Result);
    assert.deepEqual(results[0]?.data, { serverStream: { text: "a" } });
    assert.deepEqual(
      [results[1]?.errors?.[0]?.extensions?.code, results[1]?.errors?.[0]?.extensions?.reason],
      ["ABORTED", "PLANNED"],
    );
    assert.equal(results.length, 2);
    await client.dispose();
  });
});
