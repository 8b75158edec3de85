/** Sessions of clients of the revision 2025-11-25: whose they are, how long they live, and that they are no credential. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startTools } from "../conformance/mcp/server.ts";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { McpClients, until } from "../support/mcp-clients.ts";

describe("MCP sessions", () => {
  let server: IdentityServer;
  let viewer: string;
  const clients = new McpClients();

  /** One request by hand. */
  const send = (
    base: string,
    body: object | undefined,
    headers: Record<string, string> = {},
    method = "POST",
  ): Promise<Response> =>
    fetch(`${base}/mcp`, {
      method,
      headers: {
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const begin = async (base: string, headers: Record<string, string> = {}): Promise<string> => {
    const response = await send(
      base,
      {
        ...{ jsonrpc: "2.0", id: 0, method: "initialize" },
        params: {
          protocolVersion: "2025-11-25",
          capabilities: {},
          clientInfo: { name: "test", version: "1" },
        },
      },
      headers,
    );
    assert.equal(response.status, 200);
    await response.text();
    return response.headers.get("mcp-session-id") ?? "";
  };
  const list = { jsonrpc: "2.0", id: 1, method: "tools/list", params: {} };

  before(async () => {
    server = await startIdentity();
    viewer = await server.userWithKey("vera", ["viewer"]);
  });
  after(async () => {
    await clients.close();
    await server.close();
  });

  test("a session is of no use without the credential, nor with another's", async () => {
    const session = await begin(server.base, { "x-api-key": viewer });
    assert.match(session, /^[0-9a-f-]{36}$/);
    const headers = { "mcp-session-id": session };
    assert.equal((await send(server.base, list, headers)).status, 401);
    const other = await send(server.base, list, { ...headers, "x-api-key": server.adminKey });
    assert.equal(other.status, 404);
    const unknown = await send(server.base, list, {
      "mcp-session-id": crypto.randomUUID(),
      "x-api-key": viewer,
    });
    assert.equal(unknown.status, 404);
    assert.match(await unknown.text(), /begin with initialize/);
    const own = await send(server.base, list, { ...headers, "x-api-key": viewer });
    assert.equal(own.status, 200);
    assert.match(await own.text(), /get_bpmn/);
  });

  test("each request has the rights of its own credential", async () => {
    const narrow = await server.userWithKey("vic", ["editor"], ["bpmn:read"]);
    const session = await begin(server.base, { "x-api-key": narrow });
    const answer = await send(server.base, list, { "mcp-session-id": session, "x-api-key": narrow });
    const text = await answer.text();
    assert.match(text, /get_bpmn/);
    assert.doesNotMatch(text, /delete_bpmn/);
  });

  test("a client ends its session, and one without a session needs none", async () => {
    const session = await begin(server.base, { "x-api-key": viewer });
    const headers = { "mcp-session-id": session, "x-api-key": viewer };
    assert.equal((await send(server.base, undefined, headers, "DELETE")).status, 200);
    assert.equal((await send(server.base, list, headers)).status, 404);
    assert.equal((await send(server.base, list, { "x-api-key": viewer })).status, 200);
    assert.equal((await send(server.base, undefined, { "x-api-key": viewer }, "GET")).status, 405);
  });

  test("pages of foreign origins get none", async () => {
    const session = await begin(server.base, { "x-api-key": viewer });
    for (const [method, body] of [
      ["POST", list],
      ["GET", undefined],
      ["DELETE", undefined],
    ] as const) {
      const headers = {
        ...{ "mcp-session-id": session, "x-api-key": viewer, origin: "https://evil.example" },
      };
      assert.equal((await send(server.base, body, headers, method)).status, 403);
    }
  });

  test("one that nobody uses ends, one with an open stream does not", async () => {
    const tools = await startTools({ sessionLimits: { idleMs: 150 } });
    const base = tools.url.slice(0, -4);
    const idle = await begin(base);
    const kept = await begin(base);
    const stream = await send(base, undefined, { "mcp-session-id": kept }, "GET");
    assert.equal(stream.status, 200);
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal((await send(base, list, { "mcp-session-id": idle })).status, 404);
    assert.equal((await send(base, list, { "mcp-session-id": kept })).status, 200);
    await stream.body?.cancel();
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal((await send(base, list, { "mcp-session-id": kept })).status, 404);
    await tools.close();
  });

  test("a caller has so many, and the one that was longest unused makes room", async () => {
    const tools = await startTools({ sessionLimits: { maxOfPrincipal: 2 } });
    const base = tools.url.slice(0, -4);
    const status = async (session: string): Promise<number> => {
      const response = await send(base, list, { "mcp-session-id": session });
      await response.text();
      return response.status;
    };
    const first = await begin(base);
    const second = await begin(base);
    assert.equal(await status(first), 200);
    const third = await begin(base);
    assert.deepEqual([await status(first), await status(second), await status(third)], [200, 404, 200]);
    await tools.close();
  });

  test("a session follows so many resources, and its end ends what it follows", async () => {
    const tools = await startTools({ sessionLimits: { maxWatches: 1 } });
    const base = tools.url.slice(0, -4);
    const session = await begin(base);
    const headers = { "mcp-session-id": session };
    const subscribe = (uri: string) => ({
      ...{ jsonrpc: "2.0", id: 2, method: "resources/subscribe", params: { uri } },
    });
    const watched = "test://watched-resource";
    assert.match(await (await send(base, subscribe(watched), headers)).text(), /"result":\{\}/);
    assert.match(await (await send(base, subscribe(watched), headers)).text(), /"result":\{\}/);
    assert.equal(tools.followers, 1);
    const more = await (await send(base, subscribe("test://static-text"), headers)).text();
    assert.match(more, /1 resources are followed already/);
    await send(base, undefined, headers, "DELETE");
    await until(() => tools.followers === 0, "the watch's end");
    await tools.close();
  });

  test("what is given up before it began is not followed", async () => {
    const tools = await startTools({ silent: true });
    const base = tools.url.slice(0, -4);
    const uri = "test://watched-resource";
    const ask = (method: string) => ({ jsonrpc: "2.0", id: method, method, params: { uri } });
    for (const giveUp of [
      (headers: Record<string, string>) => send(base, ask("resources/unsubscribe"), headers),
      (headers: Record<string, string>) => send(base, undefined, headers, "DELETE"),
    ]) {
      const headers = { "mcp-session-id": await begin(base) };
      const subscribed = send(base, ask("resources/subscribe"), headers).then(
        (response) => response.text(),
        () => "",
      );
      await until(() => tools.followers === 1, "the watch");
      await (await giveUp(headers)).text();
      await subscribed;
      await until(() => tools.followers === 0, "the watch's end");
    }
    await tools.close();
  });

  test("a client that leaves in the middle of a call ends the call", async () => {
    const tools = await startTools();
    const base = tools.url.slice(0, -4);
    const session = await begin(base);
    const leave = new AbortController();
    const call = fetch(`${base}/mcp`, {
      method: "POST",
      signal: leave.signal,
      headers: {
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        "mcp-session-id": session,
      },
      body: JSON.stringify({
        ...{ jsonrpc: "2.0", id: 3, method: "tools/call" },
        params: { name: "watch_watched", arguments: {} },
      }),
    }).then(
      (response) => response.text(),
      () => "",
    );
    await until(() => tools.followers === 1, "the call");
    leave.abort();
    await call.catch(() => "");
    await until(() => tools.followers === 0, "the call's end");
    await tools.close();
  });
});
