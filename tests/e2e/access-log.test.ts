/** One JSON line a call on standard output, whatever the protocol and the outcome. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { BPMNService } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { unary as callUnary, connect } from "../support/grpc.ts";
import { exchangeBytes } from "../support/http-case.ts";
import { ask, bpmnXml } from "../support/portico.ts";
import { type Running, serve } from "../support/process.ts";

const dataDir = mkdtempSync(path.join(tmpdir(), "portico-log-"));
const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
let running: Running;

interface Line {
  readonly [field: string]: unknown;
}

before(async () => {
  running = await serve(dataDir, ["--database-url", "memory:"]);
});
after(() => {
  running.child.kill("SIGKILL");
  rmSync(dataDir, { recursive: true, force: true });
});

/** The lines of one request; the process writes them within 200 ms. */
async function linesOf(requestId: string): Promise<Line[]> {
  for (let tries = 0; tries < 50; tries += 1) {
    const found = running.lines
      .map((line) => JSON.parse(line) as Line)
      .filter((line) => line.requestId === requestId);
    if (found.length > 0) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return [];
}

describe("the access log", () => {
  test("has a line for a call over REST, with its trace and without what the client is not to see again", async () => {
    await ask(running.base, "GET", "/api/v1/bpmn?pageSize=1", {
      headers: { "x-request-id": "rest-1", traceparent, authorization: "Bearer hunter2" },
    });
    const [line, ...more] = await linesOf("rest-1");
    assert.deepEqual(more, []);
    const { time, durationMs, gatewayMs, serviceMs, bytesOut, ...rest } = line ?? {};
    assert.deepEqual(rest, {
      level: 30,
      method: "portico.bpmn.v1.BPMNService/ListBPMN",
      protocol: "rest",
      code: "ok",
      bytesIn: 0,
      requestId: "rest-1",
      peer: "127.0.0.1",
      principal: "users/local",
      traceId: "0af7651916cd43dd8448eb211c80319c",
      msg: "call",
    });
    assert.match(String(time), /^\d{4}-\d\d-\d\dT/);
    for (const number of [durationMs, gatewayMs, serviceMs, bytesOut])
      assert.ok(Number(number) > 0, String(number));
    assert.ok(Number(durationMs) >= Number(gatewayMs) + Number(serviceMs) - 0.002);
    assert.ok(!running.lines.join("\n").includes("hunter2"));
  });

  test("has a line for a call over gRPC that failed, with its reason", async () => {
    const client = connect(running.grpcPort);
    const metadata = { "x-request-id": "grpc-1" };
    await assert.rejects(callUnary(client, BPMNService.method.getBPMN, { id: "none" }, { metadata }));
    client.close();
    const [line] = await linesOf("grpc-1");
    assert.deepEqual(
      [line?.method, line?.protocol, line?.code, line?.reason],
      ["portico.bpmn.v1.BPMNService/GetBPMN", "grpc", "not_found", "RESOURCE_NOT_FOUND"],
    );
  });

  test("has one line for a stream, when it ends", async () => {
    await ask(running.base, "POST", "/api/v1/bpmn?documentId=streamed", {
      body: { xml: '<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" id="d"/>' },
    });
    await ask(running.base, "GET", "/api/v1/bpmn/streamed:download", {
      headers: { "x-request-id": "stream-1" },
    });
    assert.equal((await linesOf("stream-1")).length, 1);
  });

  test("counts the one answer of a stream of requests", async () => {
    const answer = await ask(running.base, "POST", "/api/v1/bpmn:upload?metadata.displayName=Up", {
      headers: { "content-type": "application/xml", "x-request-id": "upload-1" },
      body: bpmnXml("up", "Up"),
    });
    assert.ok(answer.status < 300, answer.text);
    const [line] = await linesOf("upload-1");
    assert.deepEqual([line?.code, line?.messagesOut], ["ok", 1]);
    assert.ok(Number(line?.messagesIn) >= 1);
  });

  test("counts what agents are sent: of tools, resources and prompts", async () => {
    const xml = bpmnXml("p", "A name of some length");
    await ask(running.base, "POST", "/api/v1/bpmn?documentId=sized", { body: { xml } });
    const uses = {
      "tools/call": { name: "get_bpmn", arguments: { id: "sized" } },
      "resources/read": { uri: "portico://bpmn/sized" },
      "prompts/get": { name: "review_bpmn", arguments: { id: "sized" } },
    };
    for (const [method, params] of Object.entries(uses)) {
      const id = `agent-${method.replace("/", "-")}`;
      const answer = await ask(running.base, "POST", "/mcp", {
        headers: { accept: "application/json, text/event-stream", "x-request-id": id },
        body: { jsonrpc: "2.0", id: 1, method, params },
      });
      assert.match(answer.text, /"result"/, answer.text);
      const [line, ...more] = await linesOf(id);
      assert.deepEqual([line?.protocol, line?.code, more], ["mcp", "ok", []]);
      assert.ok(Number(line?.bytesOut) > 100, `${method}: ${String(line?.bytesOut)}`);
      if (method === "resources/read") assert.equal(line?.bytesOut, Buffer.byteLength(xml));
    }
  });

  const grpcType = "application/grpc";
  const unary = "/portico.bpmn.v1.BPMNService/GetBPMN";
  const connectHeaders = { "connect-protocol-version": "1", "content-type": "application/json" };
  const origin = { origin: "https://else.example", "access-control-request-method": "GET" };
  /** What never gets as far as a method. */
  const refusals: readonly (readonly [
    what: string,
    target: string,
    init: { readonly method: string; readonly headers?: Record<string, string> },
    status: number,
    line: readonly [protocol: string, code: string, reason: string],
  ])[] = [
    [
      "gRPC over HTTP/1",
      unary,
      { method: "POST", headers: { "content-type": grpcType } },
      415,
      ["grpc", "invalid_argument", "CONTENT_TYPE_UNSUPPORTED"],
    ],
    [
      "a type that gRPC-Web does not have",
      unary,
      { method: "POST", headers: { "content-type": "application/grpc-web+xml" } },
      415,
      ["grpc-web", "invalid_argument", "CONTENT_TYPE_UNSUPPORTED"],
    ],
    [
      "Connect by PUT",
      unary,
      { method: "PUT", headers: connectHeaders },
      405,
      ["connect", "unimplemented", "METHOD_NOT_BOUND"],
    ],
    [
      "a type that Connect does not have",
      unary,
      { method: "POST", headers: { ...connectHeaders, "content-type": "text/plain" } },
      415,
      ["connect", "invalid_argument", "CONTENT_TYPE_UNSUPPORTED"],
    ],
    [
      "too long a URL",
      `/${"a".repeat(9000)}`,
      { method: "GET" },
      414,
      ["rest", "invalid_argument", "URL_TOO_LONG"],
    ],
    [
      "too long a URL of GraphQL",
      `/graphql?${"a".repeat(9000)}`,
      { method: "GET" },
      414,
      ["graphql", "invalid_argument", "URL_TOO_LONG"],
    ],
    [
      "the preflight of a foreign page",
      "/api/v1/bpmn",
      { method: "OPTIONS", headers: origin },
      403,
      ["rest", "permission_denied", "CORS_ORIGIN_FOREIGN"],
    ],
  ];
  for (const [what, target, { method, headers = {} }, status, expected] of refusals)
    test(`has a line, and the metrics a count, for ${what}`, async () => {
      const before = await failures(expected[2]);
      const id = `refused-${what.replaceAll(/\W/g, "-")}`;
      assert.equal(await statusOf(target, { method, headers: { ...headers, "x-request-id": id } }), status);
      const [line, ...more] = await linesOf(id);
      assert.deepEqual(more, []);
      assert.deepEqual([line?.protocol, line?.code, line?.reason], expected);
      assert.equal(line?.peer, "127.0.0.1");
      assert.equal(await failures(expected[2]), before + 1);
    });

  test("has a line for what is no gRPC on its port, and for gRPC that is no POST", async () => {
    const session = connectHttp2(`http://127.0.0.1:${running.grpcPort}`);
    const request = async (id: string, headers: Record<string, string>): Promise<number> => {
      const stream = session.request({ ":path": unary, "x-request-id": id, ...headers });
      stream.resume().end();
      const [answer] = (await once(stream, "response")) as [{ ":status": number }];
      return answer[":status"];
    };
    try {
      const json = { ":method": "POST", "content-type": "application/json" };
      assert.equal(await request("port-json", json), 415);
      assert.equal(await request("port-get", { ":method": "GET", "content-type": grpcType }), 405);
      assert.equal(
        await request("port-long", { ":path": `/${"a".repeat(9000)}`, "content-type": grpcType }),
        414,
      );
    } finally {
      session.close();
    }
    const told = async (id: string) => {
      const [line] = await linesOf(id);
      return [line?.protocol, line?.reason];
    };
    assert.deepEqual(await told("port-json"), ["grpc", "CONTENT_TYPE_UNSUPPORTED"]);
    assert.deepEqual(await told("port-get"), ["grpc", "METHOD_NOT_BOUND"]);
    assert.deepEqual(await told("port-long"), ["grpc", "URL_TOO_LONG"]);
  });
});

describe("what opens no WebSocket", () => {
  const upgrade = { connection: "Upgrade", upgrade: "websocket" };
  const good = {
    ...upgrade,
    "sec-websocket-version": "13",
    "sec-websocket-key": Buffer.alloc(16).toString("base64"),
  };
  const cases: readonly (readonly [
    what: string,
    target: string,
    headers: Record<string, string>,
    status: number,
    line: readonly [protocol: string, code: string, reason: string],
  ])[] = [
    [
      "a page of another origin",
      "/ws",
      { ...good, origin: "https://else.example" },
      403,
      ["websocket", "permission_denied", "CORS_ORIGIN_FOREIGN"],
    ],
    [
      "a token in the URL",
      "/ws?access_token=hunter2",
      good,
      400,
      ["websocket", "invalid_argument", "CREDENTIAL_IN_URL"],
    ],
    ["a handshake without a key", "/ws", upgrade, 400, ["websocket", "invalid_argument", "UPGRADE_INVALID"]],
    ["a path without a method", "/nowhere", good, 404, ["websocket", "not_found", "ROUTE_NOT_FOUND"]],
    [
      "a page of another origin at GraphQL",
      "/graphql",
      { ...good, origin: "https://else.example" },
      403,
      ["graphql", "permission_denied", "CORS_ORIGIN_FOREIGN"],
    ],
  ];
  for (const [what, target, headers, status, expected] of cases)
    test(`has a line, and the metrics a count, for ${what}`, async () => {
      const before = await failures(expected[2]);
      const id = `socket-${what.replaceAll(/\W/g, "-")}`;
      const method = "GET";
      assert.equal(await statusOf(target, { method, headers: { ...headers, "x-request-id": id } }), status);
      const [line, ...more] = await linesOf(id);
      assert.deepEqual(more, []);
      assert.deepEqual([line?.protocol, line?.code, line?.reason], expected);
      assert.equal(line?.peer, "127.0.0.1");
      assert.ok(!JSON.stringify(line).includes("hunter2"));
      assert.equal(await failures(expected[2]), before + 1);
    });
});

describe("what is no request", () => {
  const linesFor = async (reason: string): Promise<Line[]> => {
    for (let tries = 0; tries < 50; tries += 1) {
      const found = running.lines
        .map((line) => JSON.parse(line) as Line)
        .filter((line) => line.reason === reason);
      if (found.length > 0) return found;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return [];
  };

  test("has a line that says so: TLS on a port without it, and a request that cannot be read", async () => {
    const port = Number(new URL(running.base).port);
    const hello = Buffer.from("160301020001000001fc0303", "hex");
    assert.equal((await exchangeBytes(port, hello)).bytes.length, 0);
    const [tls, ...others] = await linesFor("TLS_UNEXPECTED");
    assert.deepEqual([tls?.code, tls?.peer, others], ["invalid_argument", "127.0.0.1", []]);
    assert.equal(await failures("TLS_UNEXPECTED"), 1);
    assert.equal((await exchangeBytes(port, Buffer.from("EHLO mail.example\r\n"))).bytes.length, 0);
    assert.equal((await linesFor("PROTOCOL_FOREIGN")).length, 1);
    const { bytes } = await exchangeBytes(port, Buffer.from("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert.match(bytes.toString("latin1"), /^HTTP\/1.1 400 .*REQUEST_MALFORMED/s);
    const [unread] = await linesFor("REQUEST_MALFORMED");
    assert.ok(bytes.includes(String(unread?.requestId)));
  });
});

/** By node's own client: `fetch` keeps the headers of preflights to itself. */
async function statusOf(
  target: string,
  init: { readonly method: string; readonly headers: Record<string, string> },
): Promise<number> {
  const request = httpRequest(running.base + target, init).end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  response.resume();
  await once(response, "end");
  return response.statusCode ?? 0;
}

/** How many failed for a reason so far. */
async function failures(reason: string): Promise<number> {
  const { text } = await ask(running.base, "GET", "/metrics");
  return Number(
    new RegExp(`^portico_errors_total\\{reason="${reason}"\\} (\\d+)$`, "m").exec(text)?.[1] ?? 0,
  );
}
