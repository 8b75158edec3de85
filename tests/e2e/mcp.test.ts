/** Agents' tools, with the protocol's own client in both revisions. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { startTools } from "../conformance/mcp/server.ts";
import { startEcho } from "../support/echo.ts";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { ask, bpmnXml } from "../support/portico.ts";

interface Result {
  readonly isError?: boolean;
  readonly content: readonly { readonly type: string; readonly text?: string }[];
  readonly structuredContent?: Record<string, unknown>;
}

describe("MCP", () => {
  let server: IdentityServer;
  let viewer: string;
  const clients: Client[] = [];

  const connect = async (
    key: string,
    options: { readonly revision?: "2026-07-28" | "2025-11-25"; readonly base?: string } = {},
  ): Promise<Client> => {
    const { revision = "2026-07-28", base = server.base } = options;
    const mode = revision === "2026-07-28" ? { pin: revision } : "legacy";
    const client = new Client({ name: "test", version: "1" }, { versionNegotiation: { mode } });
    await client.connect(
      new StreamableHTTPClientTransport(new URL(`${base}/mcp`), {
        requestInit: { headers: { "x-api-key": key } },
      }),
    );
    clients.push(client);
    return client;
  };
  const use = async (client: Client, name: string, given: Record<string, unknown>): Promise<Result> =>
    (await client.callTool({ name, arguments: given })) as unknown as Result;
  const post = (body: object, headers: Record<string, string> = {}) =>
    ask(server.base, "POST", "/mcp", {
      body,
      headers: { accept: "application/json, text/event-stream", "x-api-key": viewer, ...headers },
    });
  const listing = { jsonrpc: "2.0", id: 1, method: "tools/list", params: {} };

  before(async () => {
    server = await startIdentity({ mcpMetaTools: true });
    viewer = await server.userWithKey("vera", ["viewer"]);
  });
  after(async () => {
    for (const client of clients) await client.close();
    await server.close();
  });

  for (const revision of ["2026-07-28", "2025-11-25"] as const)
    test(`${revision}: lists tools, and uses them`, async () => {
      const client = await connect(server.adminKey, { revision });
      assert.equal(client.getNegotiatedProtocolVersion(), revision);
      const { tools } = await client.listTools();
      const byName = new Map(tools.map((tool) => [tool.name, tool]));
      assert.ok(byName.has("get_bpmn") && byName.has("list_users") && byName.has("follow_events"));
      for (const { name, description, inputSchema } of tools) {
        assert.ok(name.length <= 40 && (description ?? "").length > 10, name);
        assert.equal(inputSchema.type, "object");
      }
      assert.deepEqual(byName.get("get_bpmn")?.annotations, {
        title: "Get BPMN",
        readOnlyHint: true,
        destructiveHint: false,
        idempotentHint: true,
        openWorldHint: false,
      });
      assert.equal(byName.get("delete_bpmn")?.annotations?.destructiveHint, true);
      const id = `tool-${revision}`;
      const created = await use(client, "create_bpmn", { documentId: id, document: { xml: bpmnXml() } });
      assert.equal(created.isError, undefined, JSON.stringify(created.content));
      const read = await use(client, "get_bpmn", { id });
      assert.equal(read.structuredContent?.id, id);
      assert.deepEqual(JSON.parse(read.content[0]?.text ?? ""), read.structuredContent);
    });

  test("a call that fails is an answer that says why", async () => {
    const client = await connect(viewer);
    const missing = await use(client, "get_bpmn", { id: "nothing-there" });
    assert.equal(missing.isError, true);
    assert.match(missing.content[0]?.text ?? "", /^RESOURCE_NOT_FOUND: /);
    const wrong = await use(client, "get_bpmn", { idd: "x" });
    assert.match(wrong.content[0]?.text ?? "", /^FIELD_UNKNOWN: .*idd/);
    const denied = await use(client, "delete_bpmn", { id: "tool" });
    assert.match(denied.content[0]?.text ?? "", /^SCOPE_MISSING: /);
    await assert.rejects(use(client, "no_such_tool", {}), /no_such_tool/);
  });

  test("only what the caller may use is listed", async () => {
    const names = async (key: string) =>
      (await (await connect(key)).listTools()).tools.map(({ name }) => name);
    const few = await names(viewer);
    assert.ok(few.includes("get_bpmn"));
    assert.ok(!few.includes("delete_bpmn") && !few.includes("list_users"));
    assert.ok((await names(server.adminKey)).includes("delete_bpmn"));
  });

  test("a stream tells of its messages, and ends with all of them", async () => {
    const client = await connect(server.adminKey);
    await ask(server.base, "POST", "/api/v1/bpmn?documentId=streamed", {
      headers: { "x-api-key": server.adminKey },
      body: { xml: bpmnXml() },
    });
    const seen: string[] = [];
    const stop = new AbortController();
    const used = client
      .callTool(
        { name: "follow_events", arguments: { topics: ["bpmn/*"], after: "0" } },
        {
          signal: stop.signal,
          onprogress: ({ progress, message }) => {
            seen.push(`${progress} ${(JSON.parse(message ?? "{}") as { type?: string }).type}`);
            if (progress === 1) stop.abort();
          },
        },
      )
      .catch((error: unknown) => error);
    await used;
    assert.equal(seen[0], "1 portico.bpmn.created.v1");
  });

  test("a stream of many messages is cut, and says so; files are what they are", async () => {
    const tools = await startTools();
    const client = await connect("", { base: tools.url.slice(0, -4) });
    const many = await use(client, "many_messages", {});
    const { messages, truncated } = many.structuredContent as { messages: object[]; truncated: boolean };
    assert.deepEqual([messages.length, truncated, messages.at(-1)], [100, true, { number: 100 }]);
    const all = await use(client, "test_tool_with_progress", {});
    assert.deepEqual(all.structuredContent, { messages: [{ number: 1 }, { number: 2 }, { number: 3 }] });
    const types: string[] = [];
    for (const name of [
      "test_simple_text",
      "test_image_content",
      "test_audio_content",
      "test_embedded_resource",
    ])
      types.push((await use(client, name, {})).content[0]?.type ?? "");
    assert.deepEqual(types, ["text", "image", "audio", "resource"]);
    await tools.close();
  });

  test("a method hears its request as it was written: every digit of a 64-bit integer", async () => {
    const echo = await startEcho({ mcpMetaTools: true });
    const written = '{"i64":9007199254740993,"u64":18446744073709551615,"int64Value":-9007199254740993}';
    try {
      for (const [name, args] of [
        ["unary", written],
        ["call_method", `{"method":"test.v1.Echo/Unary","arguments":${written}}`],
      ]) {
        const response = await fetch(`http://127.0.0.1:${echo.httpPort}/mcp`, {
          method: "POST",
          headers: { "content-type": "application/json", accept: "application/json, text/event-stream" },
          body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"${name}","arguments":${args}}}`,
        });
        const text = await response.text();
        const { i64, u64, int64Value } = JSON.parse(text.slice(text.indexOf("{"))).result.structuredContent;
        assert.deepEqual(
          [i64, u64, int64Value],
          ["9007199254740993", "18446744073709551615", "-9007199254740993"],
        );
      }
    } finally {
      await echo.close();
    }
  });

  test("search_methods finds, call_method calls, and policies hold", async () => {
    const client = await connect(viewer);
    const found = await use(client, "search_methods", { query: "revisions of a document" });
    const { methods } = found.structuredContent as { methods: { method: string; request: object }[] };
    assert.ok(methods.some(({ method }) => method.endsWith("/ListBPMNRevisions")));
    const called = await use(client, "call_method", {
      method: "portico.users.v1.UserService/GetUser",
      arguments: { id: "me" },
    });
    assert.equal(called.structuredContent?.id, "vera");
    const denied = await use(client, "call_method", {
      method: "portico.users.v1.UserService/DeleteUser",
      arguments: { id: "admin" },
    });
    assert.match(denied.content[0]?.text ?? "", /^SCOPE_MISSING: /);
    for (const [name, given, said] of [
      [
        "call_method",
        { method: "portico.users.v1.UserService/GetUser", request: {} },
        /^FIELD_UNKNOWN: request: /,
      ],
      ["call_method", {}, /^FIELD_INVALID: method: /],
      ["search_methods", { q: "users" }, /^FIELD_UNKNOWN: q: .* query and limit/],
      ["search_methods", { query: "x".repeat(201) }, /^FIELD_INVALID: query: /],
    ] as const) {
      const wrong = await use(client, name, given);
      assert.match(wrong.content[0]?.text ?? "", said);
    }
    const without = await startIdentity();
    const plain = await connect(without.adminKey, { base: without.base });
    assert.ok(!(await plain.listTools()).tools.some(({ name }) => name === "call_method"));
    await assert.rejects(use(plain, "call_method", { method: "x" }), /call_method/);
    await plain.close();
    await without.close();
  });

  test("who shows no credential is told where tokens are to be had", async () => {
    const { status, headers } = await ask(server.base, "POST", "/mcp", {
      body: listing,
      headers: { accept: "application/json, text/event-stream" },
    });
    assert.equal(status, 401);
    const url = /resource_metadata="([^"]+)"/.exec(headers.get("www-authenticate") ?? "")?.[1];
    assert.equal(url, `${server.base}/.well-known/oauth-protected-resource/mcp`);
    const resource = await ask(server.base, "GET", "/.well-known/oauth-protected-resource/mcp");
    assert.equal(resource.json.resource, `${server.base}/mcp`);
    assert.deepEqual(resource.json.authorization_servers, [server.base]);
    assert.ok(resource.json.scopes_supported.includes("bpmn:read"));
    const wrong = await post(listing, { "x-api-key": "ptk_test_nobody" });
    assert.equal(wrong.status, 401);
    assert.match(wrong.headers.get("www-authenticate") ?? "", /error="invalid_token"/);
    const foreign = await post(listing, {
      "x-api-key": "",
      authorization: `Bearer ${await server.token({ aud: "https://other.example" })}`,
    });
    assert.equal(foreign.status, 401);
  });

  test("row 71: pages of foreign origins are refused, under whatever name they came here", async () => {
    for (const headers of [
      { origin: "https://evil.example" },
      { origin: "http://evil.example", host: "evil.example" },
    ]) {
      const { status, text } = await post(listing, headers);
      assert.equal(status, 403, text);
      assert.match(text, /CORS_ORIGIN_FOREIGN/);
    }
    assert.equal((await post(listing, { origin: server.base })).status, 200);
  });

  test("what is no request of the protocol is refused in its words", async () => {
    const unknown = await post({ ...listing, method: "tools/none" });
    assert.match(unknown.text, /"code":-32601/);
    const broken = await fetch(`${server.base}/mcp`, {
      method: "POST",
      headers: {
        ...{ "content-type": "application/json", accept: "application/json, text/event-stream" },
        "x-api-key": viewer,
      },
      body: "{",
    });
    assert.equal(broken.status, 400);
    assert.equal(((await broken.json()) as { error: { code: number } }).error.code, -32_700);
    const large = await post({ ...listing, params: { filler: "x".repeat(1024 * 1024) } });
    assert.equal(large.status, 413);
    assert.equal((await ask(server.base, "GET", "/mcp", { headers: { "x-api-key": viewer } })).status, 405);
  });

  test("parameters that the protocol's schema refuses are the client's mistake, told by field", async () => {
    const argument = { name: "id", value: "a" };
    for (const [method, params, says] of [
      ["resources/read", {}, "uri: is required: string"],
      ["resources/read", { uri: 5 }, "uri: expected string, received number"],
      ["resources/read", undefined, "params: is required: object"],
      ["prompts/get", {}, "name: is required: string"],
      ["tools/list", { cursor: 5 }, "cursor: expected string, received number"],
      ["tools/call", {}, "name: is required: string"],
      ["tools/call", { name: "get_bpmn", arguments: [] }, "arguments: expected object, received array"],
      ["completion/complete", { argument }, "ref: is required: object"],
      [
        "completion/complete",
        { ref: { type: "ref/nothing" }, argument },
        'ref.type: expected "ref/prompt" or "ref/resource"',
      ],
      ["completion/complete", { ref: { type: "ref/prompt" }, argument }, "ref.name: is required: string"],
    ] as const) {
      const { text } = await post({ jsonrpc: "2.0", id: 7, method, params });
      const { id, error } = JSON.parse(/\{.*\}/.exec(text)?.[0] ?? "{}");
      assert.deepEqual(
        [id, error],
        [
          7,
          {
            code: -32_602,
            message: `FIELD_INVALID: ${says}`,
            data: { reason: "FIELD_INVALID", code: "invalid_argument" },
          },
        ],
        `${method} ${JSON.stringify(params)}`,
      );
    }
  });
});
