/**
 * What clients claim about where they come from and who they are reaches no service, over any protocol; and the address that a call has is
 * that of the connection, unless a proxy that the operator trusts says another.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { callGrpc, frame } from "../faults/bad-input.ts";
import { type EchoServer, startEcho } from "../support/echo.ts";
import { asked } from "../support/echo-service.ts";
import { sendHttp1, sendHttp2 } from "../support/http-case.ts";
import { ask } from "../support/portico.ts";

type Headers = Readonly<Record<string, string>>;

const json = Buffer.from('{"text":"a"}');
const proto = Buffer.from([0x0a, 1, 97]);
const rest = (body: Buffer, more: Headers, target = "/v1/echo") => ({
  method: "POST",
  target,
  headers: Object.entries({ "content-type": "application/json", ...more }),
  body,
});
const echoPath = "/test.v1.Echo/Unary";

/** One call of the echo method, with these headers. */
const protocols: Readonly<Record<string, (echo: EchoServer, headers: Headers) => Promise<unknown>>> = {
  "REST over HTTP/1": (echo, headers) => sendHttp1(echo.httpPort, rest(json, headers)),
  "REST over HTTP/2": (echo, headers) => sendHttp2(echo.httpPort, rest(json, ofHttp2(headers))),
  gRPC: (echo, headers) =>
    callGrpc(echo.grpcPort, echoPath, { body: frame(proto), headers: ofHttp2(headers) }),
  "gRPC-Web": (echo, headers) =>
    sendHttp1(
      echo.httpPort,
      rest(frame(proto), { ...headers, "content-type": "application/grpc-web+proto" }, echoPath),
    ),
  Connect: (echo, headers) =>
    sendHttp1(echo.httpPort, rest(json, { ...headers, "connect-protocol-version": "1" }, echoPath)),
  "Connect streams": (echo, headers) =>
    sendHttp1(
      echo.httpPort,
      rest(
        frame(json),
        { ...headers, "content-type": "application/connect+json" },
        "/test.v1.Echo/ServerStream",
      ),
    ),
  GraphQL: (echo, headers) =>
    sendHttp1(
      echo.httpPort,
      rest(Buffer.from('{"query":"mutation { unary(text: \\"a\\") { text } }"}'), headers, "/graphql"),
    ),
  MCP: (echo, headers) => {
    const params = {
      name: "call_method",
      arguments: { method: "test.v1.Echo/Unary", arguments: { text: "a" } },
    };
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params });
    const own = { accept: "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18" };
    return sendHttp1(echo.httpPort, rest(Buffer.from(body), { ...headers, ...own }, "/mcp"));
  },
  "a WebSocket of one call": (echo, headers) =>
    overSocket(`ws://127.0.0.1:${echo.httpPort}/test.v1.Echo/Unary`, ofSocket(headers), json.toString()),
  "a WebSocket of many calls": (echo, headers) => {
    const call = { method: "test.v1.Echo/Unary", metadata: headers };
    const text = JSON.stringify({ id: "1", call, message: { text: "a" } });
    return overSocket(`ws://127.0.0.1:${echo.httpPort}/ws`, ofSocket(headers), text);
  },
};

/** HTTP/2 has no headers of connections, and its clients refuse to send them. */
function ofHttp2(headers: Headers): Headers {
  const own = ["connection", "keep-alive", "upgrade", "host", "transfer-encoding", "te"];
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !own.includes(name)));
}

/** Those of the handshake are the client's own. */
function ofSocket(headers: Headers): Headers {
  const own = ["connection", "upgrade", "host"];
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !own.includes(name)));
}

function overSocket(url: string, headers: Headers, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { headers });
    socket.on("open", () => socket.send(text));
    socket.on("message", () => socket.close());
    socket.on("error", reject);
    socket.on("close", () => resolve());
  });
}

const claims: Headers = {
  forwarded: "for=127.0.0.2",
  "x-forwarded-for": "127.0.0.2",
  "x-forwarded-proto": "https",
  "x-real-ip": "127.0.0.2",
  "x-user-id": "admin",
  "x-tenant-id": "other",
  "x-envoy-external-address": "127.0.0.2",
  "proxy-authorization": "Basic eDp5",
  "grpc-status": "7",
  "grpc-message": "no",
  te: "trailers",
  "keep-alive": "timeout=5",
  "x-kept": "yes",
};

describe("what clients claim", () => {
  let echo: EchoServer;
  before(async () => {
    echo = await startEcho({ mcpMetaTools: true });
  });
  after(() => echo.close());

  for (const [protocol, send] of Object.entries(protocols))
    test(`reaches no service over ${protocol}`, async () => {
      const id = protocol.toLowerCase().replaceAll(/[^a-z0-9]/g, "-");
      await send(echo, { ...claims, "x-request-id": id });
      const probe = await echo.probe(id);
      assert.deepEqual(probe.found, []);
      const { names, address, get } = probe.caller;
      for (const name of asked) assert.ok(!names.includes(name), name);
      assert.equal(address, "127.0.0.1");
      // Others do.
      assert.equal(get("x-kept"), "yes");
    });

  test("what Connection names is for the next hop alone, over HTTP/1", async () => {
    const headers = { connection: "x-named, keep-alive", "x-named": "1", "x-request-id": "named" };
    await sendHttp1(echo.httpPort, rest(json, headers));
    assert.deepEqual((await echo.probe("named")).found, []);
  });
});

/** Hops that may be trusted, what X-Forwarded-For says, and whose the call is. */
const forwarded: readonly (readonly [number, string, string])[] = [
  [1, "192.0.2.1", "192.0.2.1"],
  [1, "203.0.113.9, 192.0.2.1", "192.0.2.1"],
  [1, "192.0.2.1:4711", "192.0.2.1"],
  [1, "[2001:db8::1]:4711", "2001:db8::1"],
  [1, "unknown", "127.0.0.1"],
  [1, "", "127.0.0.1"],
  [1, "203.0.113.9, 10.0.0.7", "10.0.0.7"],
  [2, "203.0.113.9, 10.0.0.7", "203.0.113.9"],
  // A hop that nobody trusts is where the call came from, whatever it says.
  [3, "203.0.113.9, 192.0.2.1, 10.0.0.7", "192.0.2.1"],
  [2, "spoofed, 203.0.113.9, 10.0.0.8, 10.0.0.7", "10.0.0.8"],
];

describe("trusted proxies", () => {
  for (const hops of [1, 2, 3])
    describe(`${hops} in a row`, () => {
      let echo: EchoServer;
      before(async () => {
        echo = await startEcho({
          mcpMetaTools: true,
          proxies: { trusted: ["127.0.0.0/8", "10.0.0.0/8"], hops },
        });
      });
      after(() => echo.close());

      for (const [count, said, address] of forwarded.filter(([of]) => of === hops))
        for (const [protocol, send] of Object.entries(protocols))
          test(`${JSON.stringify(said)} over ${protocol} is ${address}`, async () => {
            const id = `${protocol}-${count}-${said}`.toLowerCase().replaceAll(/[^a-z0-9]/g, "-");
            await send(echo, { "x-forwarded-for": said, "x-request-id": id });
            const probe = await echo.probe(id);
            assert.equal(probe.caller.address, address);
            assert.deepEqual(probe.found, []);
          });
    });

  test("nobody is trusted unless the operator says so", async () => {
    const echo = await startEcho();
    try {
      await ask(`http://127.0.0.1:${echo.httpPort}`, "POST", "/v1/echo", {
        body: {},
        headers: { "x-forwarded-for": "192.0.2.1", "x-request-id": "nobody" },
      });
      assert.equal((await echo.probe("nobody")).caller.address, "127.0.0.1");
    } finally {
      await echo.close();
    }
  });
});
