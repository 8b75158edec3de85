/** Sessions of clients of the revision 2025-11-25: whose they are, how long they live, and that they are no credential. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Interceptor } from "#rpc/interceptor.ts";
import { startTools } from "../conformance/mcp/server.ts";
import { type EchoServer, startEcho } from "../support/echo.ts";
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

  describe("and the ids of requests", () => {
    const calls: { readonly baggage: string | undefined; readonly release: () => void }[] = [];
    let echo: EchoServer;
    let base: string;
    before(async () => {
      const held: Interceptor = (next) => async (call) => {
        if (call.metadata.get("echo-plan") === undefined) return next(call);
        const { promise, resolve } = Promise.withResolvers<void>();
        calls.push({ baggage: call.metadata.get("baggage"), release: resolve });
        await promise;
        return next(call);
      };
      echo = await startEcho({ interceptors: [held] });
      base = `http://127.0.0.1:${echo.httpPort}`;
    });
    after(() => echo.close());

    const use = (id: unknown, text: string, meta: object = {}) => ({
      ...{ jsonrpc: "2.0", id, method: "tools/call" },
      params: { name: "unary", arguments: { text }, _meta: meta },
    });

    test("one that is not answered yet is refused, and the first is answered", async () => {
      const headers = { "mcp-session-id": await begin(base), "echo-plan": "{}" };
      const from = calls.length;
      const first = send(base, use("same", "first"), headers).then((response) => response.text());
      await until(() => calls.length > from, "the call");
      const second = await send(base, use("same", "second"), headers);
      const refused = (await second.json()) as { id: unknown; error: { code: number; message: string } };
      assert.deepEqual([second.status, refused.id, refused.error.code], [400, null, -32_600]);
      assert.match(refused.error.message, /"same" is not answered yet/);
      const both = await send(base, [use(7, "a"), use(7, "b")] as unknown as object, headers);
      assert.equal(both.status, 400);
      await both.text();
      const other = send(base, use(1, "other"), headers).then((response) => response.text());
      await until(() => calls.length > from + 1, "the other call");
      for (const { release } of calls) release();
      assert.match(await first, /first.*"id":"same"/s);
      assert.match(await other, /other.*"id":1/s);
      // Answered: its id is free.
      const again = send(base, use("same", "again"), headers).then((response) => response.text());
      await until(() => calls.length > from + 2, "the last call");
      for (const { release } of calls) release();
      assert.match(await again, /again.*"id":"same"/s);
    });

    test("one that was taken back is free", async () => {
      const headers = { "mcp-session-id": await begin(base), "echo-plan": "{}" };
      const from = calls.length;
      const leave = new AbortController();
      const first = fetch(`${base}/mcp`, {
        ...{ method: "POST", signal: leave.signal, body: JSON.stringify(use(2, "first")) },
        headers: {
          "content-type": "application/json",
          accept: "application/json, text/event-stream",
          ...headers,
        },
      });
      first.catch(() => {});
      await until(() => calls.length > from, "the call");
      const cancel = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 2 } };
      assert.equal((await send(base, cancel, headers)).status, 202);
      const again = send(base, use(2, "again"), headers).then((response) => response.text());
      await until(() => calls.length > from + 1, "the second call");
      for (const { release } of calls) release();
      assert.match(await again, /again.*"id":2/s);
      leave.abort();
    });

    test("what no header could say is not taken for a trace", async () => {
      const headers = { "mcp-session-id": await begin(base), "echo-plan": "{}" };
      for (const [sent, taken] of [
        ["team=blue", "team=blue"],
        ["team=bl\u00fc", undefined],
        ["team=blue\r\nx-user-id: admin", undefined],
        [`team=${"x".repeat(9000)}`, undefined],
      ] as const) {
        const from = calls.length;
        const answer = send(base, use(from, "a", { baggage: sent }), headers).then((one) => one.text());
        await until(() => calls.length > from, "the call");
        const call = calls.at(-1);
        call?.release();
        await answer;
        assert.equal(call?.baggage, taken, sent.slice(0, 40));
      }
    });
  });
});
