/** What agents read by its address, follow and complete, with the protocol's own client in both revisions. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startTools, type ToolsServer } from "../conformance/mcp/server.ts";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { McpClients, revisions, until } from "../support/mcp-clients.ts";
import { ask, bpmnXml } from "../support/portico.ts";

interface Text {
  readonly uri: string;
  readonly mimeType?: string;
  readonly text?: string;
  readonly blob?: string;
}

describe("MCP resources", () => {
  let server: IdentityServer;
  let tools: ToolsServer;
  let viewer: string;
  const clients = new McpClients();
  const store = async (id: string, name: string): Promise<void> => {
    const { status, text } = await ask(server.base, "POST", `/api/v1/bpmn?documentId=${id}`, {
      headers: { "x-api-key": server.adminKey },
      body: { xml: bpmnXml("p", name) },
    });
    assert.equal(status, 201, text);
  };

  before(async () => {
    server = await startIdentity();
    tools = await startTools();
    viewer = await server.userWithKey("vera", ["viewer"]);
    await store("order", "Order");
    await store("invoice", "Invoice");
  });
  after(async () => {
    await clients.close();
    await server.close();
    await tools.close();
  });

  for (const revision of revisions)
    test(`${revision}: documents are listed, and read as they were stored`, async () => {
      const client = await clients.connect(server.base, { key: server.adminKey, revision });
      const { resources } = await client.listResources();
      const order = resources.find(({ uri }) => uri === "portico://bpmn/order");
      assert.deepEqual([order?.name, order?.title, order?.mimeType], ["order", "Order", "application/xml"]);
      assert.ok(resources.some(({ uri }) => uri === "portico://users/vera"));
      const { resourceTemplates } = await client.listResourceTemplates();
      assert.deepEqual(
        resourceTemplates.map(({ uriTemplate }) => uriTemplate),
        ["portico://bpmn/{id}", "portico://bpmn/{id}/revisions/{revision}", "portico://users/{id}"],
      );
      const { contents } = await client.readResource({ uri: "portico://bpmn/order" });
      assert.deepEqual(contents, [
        { uri: "portico://bpmn/order", mimeType: "application/xml", text: bpmnXml("p", "Order") },
      ]);
      const [first] = (await client.readResource({ uri: "portico://bpmn/order/revisions/1" }))
        .contents as Text[];
      assert.equal(first?.mimeType, "application/json");
      assert.equal(JSON.parse(first?.text ?? "").name, "bpmn/order/revisions/1");
    });

  test("policies hold: who may not read is shown nothing, and told why", async () => {
    const nobody = await server.userWithKey("noah", []);
    const client = await clients.connect(server.base, { key: nobody });
    // Everybody may read of themselves, and list nobody.
    assert.deepEqual((await client.listResources()).resources, []);
    assert.deepEqual(
      (await client.listResourceTemplates()).resourceTemplates.map(({ name }) => name),
      ["user"],
    );
    await assert.rejects(client.readResource({ uri: "portico://bpmn/order" }), /SCOPE_MISSING/);
    const [self] = (await client.readResource({ uri: "portico://users/noah" })).contents as Text[];
    assert.equal(JSON.parse(self?.text ?? "").id, "noah");
  });

  for (const revision of revisions)
    test(`${revision}: what is not there is said with its address`, async () => {
      const client = await clients.connect(server.base, { key: viewer, revision });
      for (const uri of [
        "portico://bpmn/nothing",
        "portico://else/x",
        "portico://bpmn/%E0%A4%A",
        "portico://bpmn/a/b",
      ])
        await assert.rejects(client.readResource({ uri }), (error: { code: number; data?: unknown }) => {
          assert.equal(error.code, -32_602, uri);
          assert.deepEqual(error.data, { uri });
          return true;
        });
    });

  test("values in an address are text: they reach no other method and no other field", async () => {
    const client = await clients.connect(server.base, { key: viewer });
    for (const id of ["..%2F..%2Fusers%2Fadmin", "order%22%2C%22revision%22%3A%221", "%7Bid%7D", "%00"])
      await assert.rejects(client.readResource({ uri: `portico://bpmn/${id}` }), { code: -32_602 });
  });

  test("lists go on page by page, and a cursor that nobody gave is refused", async () => {
    const client = await clients.connect(tools.url.slice(0, -4));
    const seen: string[] = [];
    let cursor: string | undefined;
    let pages = 0;
    do {
      const page = await client.request({
        method: "resources/list",
        params: cursor === undefined ? {} : { cursor },
      });
      seen.push(...page.resources.map(({ uri }) => uri));
      cursor = page.nextCursor;
      pages += 1;
    } while (cursor !== undefined);
    assert.deepEqual(
      seen.filter((uri) => uri.startsWith("test://template")),
      [1, 2, 3, 4, 5, 6, 7].map((number) => `test://template/item-${number}/data`),
    );
    assert.equal(pages, 3);
    assert.equal(new Set(seen).size, seen.length);
    for (const wrong of ["x", "WyJhIiwxXQ", Buffer.from('[-1,""]').toString("base64url")])
      await assert.rejects(
        client.request({ method: "resources/list", params: { cursor: wrong } }),
        /PAGE_TOKEN_INVALID/,
      );
  });

  test("a file is as it is, whole or in pieces", async () => {
    const client = await clients.connect(tools.url.slice(0, -4));
    const [text] = (await client.readResource({ uri: "test://static-text" })).contents as Text[];
    assert.deepEqual([text?.mimeType, text?.blob], ["text/plain", undefined]);
    const [image] = (await client.readResource({ uri: "test://static-binary" })).contents as Text[];
    assert.equal(image?.mimeType, "image/png");
    assert.match(Buffer.from(image?.blob ?? "", "base64").toString("latin1"), /^\x89PNG[\s\S]*IEND/);
  });

  test("a document that is too large for a model is refused with the remedy", async () => {
    const large = bpmnXml("p", "Large").replace("</process>", `<!--${"x".repeat(1_100_000)}--></process>`);
    const stored = await fetch(`${server.base}/api/v1/bpmn:upload?metadata.documentId=large`, {
      method: "POST",
      headers: { "x-api-key": server.adminKey, "content-type": "application/xml" },
      body: large,
    });
    assert.equal(stored.status, 200, await stored.text());
    const client = await clients.connect(server.base, { key: viewer });
    await assert.rejects(
      client.readResource({ uri: "portico://bpmn/large" }),
      /PAYLOAD_TOO_LARGE.*read it over REST/,
    );
  });

  for (const revision of revisions)
    test(`${revision}: who follows a document hears of its changes, and of no other's`, async () => {
      const updated: string[] = [];
      const client = await clients.connect(server.base, {
        key: viewer,
        revision,
        prepare: (one) =>
          one.setNotificationHandler("notifications/resources/updated", ({ params }) => {
            updated.push(params.uri);
          }),
      });
      const id = `followed-${revision}`;
      await store(id, "Before");
      const uri = `portico://bpmn/${id}`;
      const stop =
        revision === "2025-11-25"
          ? await client.subscribeResource({ uri }).then(() => () => client.unsubscribeResource({ uri }))
          : await client.listen({ resourceSubscriptions: [uri] }).then((stream) => () => stream.close());
      const rename = (one: string, name: string) =>
        ask(server.base, "PATCH", `/api/v1/bpmn/${one}`, {
          headers: { "x-api-key": server.adminKey },
          body: { displayName: name },
        });
      await rename("order", `Order ${revision}`);
      await rename(id, "After");
      await until(() => updated.length > 0, "a notification");
      assert.deepEqual(updated, [uri]);
      await stop();
      await rename(id, "Later");
      const check = await client.readResource({ uri });
      assert.equal(check.contents.length, 1);
      assert.deepEqual(updated, [uri]);
    });

  for (const revision of revisions)
    test(`${revision}: nobody follows what it may not read, and calls end with their listeners`, async () => {
      const nobody = await server.userWithKey(`nina-${revision}`, []);
      const denied = await clients.connect(server.base, { key: nobody, revision });
      const uri = "portico://bpmn/order";
      const follow = (client: typeof denied, one: string): Promise<unknown> =>
        revision === "2025-11-25"
          ? client.subscribeResource({ uri: one })
          : client.listen({ resourceSubscriptions: [one] });
      await assert.rejects(follow(denied, uri), /SCOPE_MISSING/);
      const client = await clients.connect(tools.url.slice(0, -4), { revision });
      await assert.rejects(follow(client, "test://static-text"), /nothing tells of changes/);
      await assert.rejects(follow(client, "test://unknown"), /no resource has the address|not found/i);
      await follow(client, "test://watched-resource");
      await until(() => tools.followers === 1, "the watch");
      if (revision === "2025-11-25") await client.unsubscribeResource({ uri: "test://watched-resource" });
      else await client.close();
      await until(() => tools.followers === 0, "the watch's end");
    });

  test("messages that say nothing changed are not told", async () => {
    const updated: string[] = [];
    const client = await clients.connect(tools.url.slice(0, -4), {
      prepare: (one) =>
        one.setNotificationHandler("notifications/resources/updated", ({ params }) => {
          updated.push(params.uri);
        }),
    });
    const stream = await client.listen({ resourceSubscriptions: ["test://watched-resource"] });
    assert.deepEqual(stream.honoredFilter, { resourceSubscriptions: ["test://watched-resource"] });
    // The field that says so is not set in it.
    tools.change(0);
    tools.change(5);
    await until(() => updated.length > 0, "a notification");
    assert.equal(updated.length, 1);
    await stream.close();
  });

  test("the drain ends streams and sessions, so that their clients come again elsewhere", async () => {
    const other = await startTools();
    const base = other.url.slice(0, -4);
    const client = await clients.connect(base);
    const stream = await client.listen({ resourceSubscriptions: ["test://watched-resource"] });
    const older = await clients.connect(base, { revision: "2025-11-25" });
    await older.subscribeResource({ uri: "test://watched-resource" });
    await until(() => other.followers === 2, "both watches");
    other.drain();
    assert.equal(await stream.closed, "graceful");
    await until(() => other.followers === 0, "the watches' end");
    await other.close();
  });

  test("variables of addresses complete from the list", async () => {
    const client = await clients.connect(server.base, { key: viewer });
    const complete = (uri: string, name: string, value: string) =>
      client.complete({ ref: { type: "ref/resource", uri }, argument: { name, value } });
    const { completion } = await complete("portico://bpmn/{id}", "id", "OR");
    assert.deepEqual([completion.values, completion.total], [["order"], 1]);
    const inner = await complete("portico://bpmn/{id}/revisions/{revision}", "id", "inv");
    assert.deepEqual(inner.completion.values, ["invoice"]);
    assert.deepEqual(
      (await complete("portico://bpmn/{id}/revisions/{revision}", "revision", "")).completion.values,
      [],
    );
    // Who may not list is not helped to guess.
    assert.deepEqual((await complete("portico://users/{id}", "id", "")).completion.values, []);
    await assert.rejects(complete("portico://bpmn/{id}", "nothing", ""), /FIELD_INVALID/);
    await assert.rejects(complete("portico://nothing/{id}", "id", ""), /FIELD_INVALID/);
  });
});
