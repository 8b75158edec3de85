/** Every hosted service as a GraphQL client uses it, with the policies on. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createClient } from "graphql-ws";
import { WebSocket } from "ws";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { bpmnXml } from "../support/portico.ts";

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: data of many shapes
  readonly data: any;
  // biome-ignore lint/suspicious/noExplicitAny: data of many shapes
  readonly errors: any;
}

function clientOf(base: string, key: string) {
  return async (query: string, variables: object = {}, headers: object = {}): Promise<Answer> => {
    const answer = await fetch(`${base}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-api-key": key, ...headers },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = (await answer.json()) as Pick<Answer, "data" | "errors">;
    return { status: answer.status, headers: answer.headers, data, errors };
  };
}

describe("the hosted services over GraphQL", () => {
  let server: IdentityServer;
  let ask: ReturnType<typeof clientOf>;
  before(async () => {
    server = await startIdentity();
    ask = clientOf(server.base, server.adminKey);
  });
  after(() => server.close());

  test("each method that takes one message is there, with its comment, and where it belongs", async () => {
    const { data } = await ask(
      "{ __schema { queryType { fields { name description } } mutationType { fields { name description } } subscriptionType { fields { name description } } } }",
    );
    const { queryType, mutationType, subscriptionType } = data.__schema;
    for (const method of server.methods) {
      const { kind, sideEffectFree } = method;
      const takesStream = kind === "client_stream" || kind === "bidi_stream";
      const root = kind === "server_stream" ? subscriptionType : sideEffectFree ? queryType : mutationType;
      const name = method.desc.name.slice(0, 1).toLowerCase() + method.desc.name.slice(1);
      const field = root.fields.find((one: { name: string }) => one.name === name);
      assert.equal(field !== undefined, !takesStream, method.name);
      if (field !== undefined) assert.ok(field.description.length > 10, method.name);
    }
  });

  test("a document is created, changed by mask, guarded by its etag, listed with its author, deleted and brought back", async () => {
    const created = await ask(
      'mutation ($xml: String!) { createBPMN(documentId: $id, document: { xml: $xml, displayName: $name, labels: [{ key: "team", value: "a" }] }) { id etag creatorResource { id } } }'
        .replace("$id", '"order"')
        .replace("$name", '"Order"'),
      { xml: bpmnXml() },
    );
    assert.equal(created.errors, undefined);
    const { etag } = created.data.createBPMN;
    assert.equal(created.data.createBPMN.creatorResource.id, "admin");

    const update =
      'mutation ($etag: String) { updateBPMN(document: { id: "order", displayName: "Changed", etag: $etag }, updateMask: "displayName") { displayName labels { key value } etag } }';
    const changed = await ask(update, { etag });
    assert.deepEqual(changed.data?.updateBPMN?.displayName, "Changed", JSON.stringify(changed.errors));
    assert.deepEqual(changed.data.updateBPMN.labels, [{ key: "team", value: "a" }]);
    const stale = await ask(update, { etag });
    assert.deepEqual(
      [stale.status, stale.data, stale.errors[0].extensions.code, stale.errors[0].extensions.reason],
      [200, { updateBPMN: null }, "ABORTED", "ETAG_MISMATCH"],
    );

    const listed = await ask(
      "{ listBPMN(pageSize: 1) { documents { name lastEditorResource { displayName roles } } nextPageToken } }",
    );
    assert.equal(listed.data.listBPMN.documents[0].name, "bpmn/order");
    const gone = await ask(
      'mutation { deleteBPMN(id: "order") { deleteTime } undeleteBPMN(id: "order") { deleteTime id } }',
    );
    assert.match(gone.data.deleteBPMN.deleteTime, /^\d{4}-/);
    assert.deepEqual(gone.data.undeleteBPMN, { deleteTime: null, id: "order" });
  });

  test("a user is created and signs in; a password is never answered", async () => {
    const { data, errors } = await ask(
      'mutation { createUser(userId: "paula", user: { email: "paula@portico.test", displayName: "Paula", roles: ["roles/viewer"] }, password: "correct horse battery staple 7") { id email roles } }',
    );
    assert.equal(errors, undefined, JSON.stringify(errors));
    assert.deepEqual(data.createUser, { id: "paula", email: "paula@portico.test", roles: ["roles/viewer"] });
    const all = await ask('{ __type(name: "User") { fields { name } } }');
    assert.equal(JSON.stringify(all.data).includes("password"), false);
    const joined = await ask(
      '{ getUser(id: "me") { id } batchGetUsers(ids: ["admin", "paula"]) { users { id } } }',
    );
    assert.deepEqual(joined.data.batchGetUsers.users, [{ id: "admin" }, { id: "paula" }]);
  });

  test("events are listed, and followed as they happen", async () => {
    const before = await ask(
      '{ listEvents(filter: "", pageSize: 50) { events { type principalResource { id } } } }',
    );
    assert.equal(before.errors, undefined, JSON.stringify(before.errors));
    assert.ok(before.data.listEvents.events.length > 0);
    const stop = new AbortController();
    const answer = await fetch(`${server.base}/graphql`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "text/event-stream",
        "x-api-key": server.adminKey,
      },
      body: JSON.stringify({
        query: 'subscription { subscribe(topics: ["users/*"]) { type subject principalResource { id } } }',
      }),
      signal: stop.signal,
    });
    await ask('mutation { suspendUser(id: "paula") { state } }');
    let text = "";
    for await (const chunk of answer.body ?? []) {
      text += Buffer.from(chunk as Uint8Array).toString();
      if (text.includes("\n\n")) break;
    }
    stop.abort();
    assert.match(text, /users\/paula/);
    assert.match(text, /"principalResource":\{"id":"admin"\}/);
  });

  test("with an Idempotency-Key each use of a method is done once", async () => {
    const two = `mutation { a: createUser(user: { kind: SERVICE, displayName: "A" }) { id } b: createUser(user: { kind: SERVICE, displayName: "B" }) { id } }`;
    const key = { "idempotency-key": "once-1" };
    const first = await ask(two, {}, key);
    assert.equal(first.errors, undefined, JSON.stringify(first.errors));
    const again = await ask(two, {}, key);
    assert.deepEqual(again.data, first.data);
    assert.notEqual(first.data.a.id, first.data.b.id);
    assert.equal(again.headers.get("idempotent-replayed"), "true");
  });

  test("with an Idempotency-Key each operation of a batch is done once", async () => {
    const create = (name: string) => ({
      query: `mutation { createUser(user: { kind: SERVICE, displayName: "${name}" }) { id } }`,
    });
    const send = async () => {
      const answer = await fetch(`${server.base}/graphql`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "x-api-key": server.adminKey,
          "idempotency-key": "batch-1",
        },
        body: JSON.stringify([create("C"), create("D")]),
      });
      return await answer.text();
    };
    const first = await send();
    const ids = [...first.matchAll(/"id":"([^"]+)"/g)].map(([, id]) => id);
    assert.equal(new Set(ids).size, 2, first);
    assert.equal(await send(), first);
  });

  test("one of two mutations may fail: what the other did is told", async () => {
    const { status, data, errors } = await ask(
      'mutation { a: suspendUser(id: "nobody") { id } b: createUser(userId: "bert", user: { kind: SERVICE }) { id } }',
    );
    assert.equal(status, 200);
    assert.deepEqual(data, { a: null, b: { id: "bert" } });
    assert.deepEqual(errors[0].path, ["a"]);
  });

  test("a subscription on a socket ends when its key does", async () => {
    const key = await server.userWithKey("quentin", ["viewer"]);
    const client = createClient({
      url: `${server.base.replace("http", "ws")}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { "x-api-key": key },
      retryAttempts: 0,
    });
    const events = client.iterate({
      query: 'subscription { subscribe(topics: ["bpmn/*"], after: "0") { subject } }',
    });
    assert.equal((await events.next()).value?.errors, undefined);
    const began = performance.now();
    const suspended = await ask('mutation { suspendUser(id: "quentin") { state } }');
    assert.equal(suspended.errors, undefined);
    let last: unknown;
    for await (const result of events) last = result;
    assert.match(JSON.stringify(last), /UNAUTHENTICATED/);
    assert.ok(performance.now() - began < 5000);
    await client.dispose();
  });

  test("who shows a bad credential, or may not, is told by the status", async () => {
    const bad = await clientOf(server.base, "ptk_test_nonsense")('{ getBPMN(id: "order") { id } }');
    assert.equal(bad.status, 401);
    assert.equal(bad.headers.get("www-authenticate"), 'Bearer error="invalid_token"');
    const viewer = clientOf(server.base, await server.userWithKey("vera", ["viewer"]));
    const denied = await viewer('mutation { deleteBPMN(id: "order") { id } }');
    assert.deepEqual([denied.status, denied.errors[0].extensions.reason], [403, "SCOPE_MISSING"]);
    assert.equal(denied.data, undefined);
  });
});

test("each method counts for its caller's rate, and the answer says what is left", async () => {
  const server = await startIdentity({ rate: { burst: 5, intervalMs: 60_000 } });
  try {
    const ask = clientOf(server.base, await server.userWithKey("vera", ["viewer"]));
    const first = await ask('{ a: getUser(id: "me") { id } b: getUser(id: "me") { id } }');
    assert.match(first.headers.get("ratelimit") ?? "", /r=3/);
    const second = await ask(
      '{ getUser(id: "me") { id } a: getUser(id: "me") { id } b: getUser(id: "me") { id } c: getUser(id: "me") { id } }',
    );
    assert.equal(second.status, 200);
    assert.equal(second.errors.length, 1);
    const third = await ask('{ getUser(id: "me") { id } }');
    assert.equal(third.status, 429);
    assert.ok(Number(third.headers.get("retry-after")) > 0);
  } finally {
    await server.close();
  }
});
