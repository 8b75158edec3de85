/**
 * Readers that stop. Nothing more is made for them after a while, and they are told so where the protocol has a place for it: behind what waits for
 * them already, so that one that reads on comes to the reason. One that never reads on is cut off after the same time again.
 */
import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { type EchoServer, startEcho } from "../support/echo.ts";
import { frame } from "./bad-input.ts";

const stalledTimeoutMs = 800;
const patientMs = 5000;
/** Of one message, in characters. */
const size = 16_384;
const endless = { count: 1_000_000, size };
/** What both kernels hold for a connection at most, and the buffers of both ends. */
const mostHeld = 24 * 1024 * 1024;
const envelope = frame(Buffer.from([0x0a, 1, 97]));

let echo: EchoServer;
/** Waits longer: what a kernel holds goes in large steps, and a reader is not to be taken for one that has stopped. */
let patient: EchoServer;
before(async () => {
  const webSocketLimits = { maxWaitingBytes: 128 * 1024 };
  echo = await startEcho({
    ...{ limits: { stalledTimeoutMs }, heartbeatMs: 50, webSocketLimits, mcpMetaTools: true },
  });
  patient = await startEcho({ limits: { stalledTimeoutMs: patientMs } });
});
after(async () => {
  await echo.close();
  await patient.close();
});

interface Asked {
  readonly path?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | string;
  readonly port?: number;
}

/** A connection of HTTP/1 whose bytes nobody takes until `rest` is asked for. */
class Reader {
  readonly socket: Socket;

  constructor(
    id: string,
    plan: object,
    { path = "/test.v1.Echo/ServerStream", headers, body, port = echo.httpPort }: Asked,
  ) {
    const all = {
      ...{ host: "127.0.0.1", "x-request-id": id, "echo-plan": JSON.stringify(plan) },
      ...{ "content-length": String(Buffer.byteLength(body)), ...headers },
    };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("error", () => {});
    this.socket.write(`POST ${path} HTTP/1.1\r\n${lines.join("")}\r\n`);
    this.socket.write(body);
  }

  /** Everything until the answer or the connection is over. */
  async rest(): Promise<Buffer> {
    const chunks: Buffer[] = [];
    await new Promise<void>((resolve) => {
      this.socket.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        if (chunk.subarray(-5).toString("latin1") === "0\r\n\r\n") resolve();
      });
      this.socket.once("close", resolve);
    });
    this.socket.destroy();
    return Buffer.concat(chunks);
  }
}

/** The handler is over, and made no more than what waits. */
async function settled(id: string): Promise<void> {
  const probe = await echo.probe(id);
  const error = await probe.canceled;
  assert.deepEqual([error.code, error.reason], ["resource_exhausted", "READER_STALLED"]);
  await probe.over;
  assert.ok(probe.produced > 0 && probe.produced * size < mostHeld, `${probe.produced} messages`);
}

/** Without the lengths of HTTP/1's chunks, as text. */
function tail(bytes: Buffer): string {
  return bytes
    .subarray(-2000)
    .toString("latin1")
    .replaceAll(/\r\n[0-9a-f]+\r\n/g, "");
}

interface Protocol extends Asked {
  readonly name: string;
  /** Fits the end of what a reader that comes back is told. */
  readonly told: RegExp;
}

const json = { "content-type": "application/json" };
const subscription = JSON.stringify({ query: 'subscription { serverStream(text: "a") { text } }' });

const overHttp1: readonly Protocol[] = [
  {
    name: "server-sent events",
    ...{ headers: { ...json, accept: "text/event-stream" }, body: '{"text":"a"}' },
    told: /\n\nid: end\nevent: error\ndata: \{"code":8,.*READER_STALLED.*\}\n\n\r\n$/s,
  },
  {
    name: "NDJSON",
    ...{ headers: { ...json, accept: "application/x-ndjson" }, body: '{"text":"a"}' },
    told: /\n\{"error":\{"code":8,[^\n]*READER_STALLED[^\n]*\}\n/,
  },
  {
    name: "a JSON array",
    path: "/v1/stream",
    ...{ headers: { ...json, accept: "application/json" }, body: '{"text":"a"}' },
    told: /,\n\{"error":\{"code":8,[^\n]*READER_STALLED[^\n]*\}\n\r\n$/,
  },
  {
    name: "Connect",
    headers: { "content-type": "application/connect+json" },
    body: frame(Buffer.from('{"text":"a"}')),
    told: /"\}[^{]{5}\{"error":\{"code":"resource_exhausted",.*\}\}\r\n$/s,
  },
  {
    name: "gRPC-Web",
    ...{ headers: { "content-type": "application/grpc-web+proto" }, body: envelope },
    told: /[^\n]{5}grpc-status: 8\r\ngrpc-message: the client stopped reading/,
  },
  {
    name: "GraphQL as server-sent events",
    ...{ path: "/graphql", headers: { ...json, accept: "text/event-stream" }, body: subscription },
    told: /event: next\ndata: \{"errors":\[.*"RESOURCE_EXHAUSTED".*READER_STALLED.*\}\n\nevent: complete\ndata:\n\n\r\n$/s,
  },
];

describe("a reader that stops", { concurrency: 5 }, () => {
  for (const { name, told, ...asked } of overHttp1)
    describe(`a reader of ${name} over HTTP/1`, () => {
      test("that stops and comes back finds why nothing more came", { timeout: 20_000 }, async () => {
        const id = `back-${name.replaceAll(" ", "-")}`;
        const reader = new Reader(id, { ...endless, id }, asked);
        await settled(id);
        assert.match(tail(await reader.rest()), told);
      });

      test("that never reads on is cut off after the same time again", { timeout: 20_000 }, async () => {
        const id = `never-${name.replaceAll(" ", "-")}`;
        const reader = new Reader(id, { ...endless, id }, asked);
        await settled(id);
        await sleep(2 * stalledTimeoutMs + 2000);
        const rest = await reader.rest();
        assert.doesNotMatch(tail(rest), told);
      });
    });

  describe("over HTTP/1", () => {
    test("an answer that is whole, and not read, is cut off", { timeout: 20_000 }, async () => {
      const texts = "x".repeat(100_000);
      const body = JSON.stringify({ text: texts });
      const reader = new Reader("whole", {}, { path: "/test.v1.Echo/Unary", headers: json, body });
      const head = "POST /test.v1.Echo/Unary HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n";
      const request = `${head}content-length: ${body.length}\r\n\r\n${body}`;
      for (let n = 0; n < 250; n += 1) reader.socket.write(request);
      const ended = new Promise((resolve) => reader.socket.once("close", resolve));
      await sleep(2 * stalledTimeoutMs + 2000);
      reader.socket.resume();
      await ended;
    });

    test("a reader that is slow all the time gets everything", { timeout: 30_000 }, async () => {
      const plan = { count: 2000, size, id: "slow" };
      const reader = new Reader("slow", plan, {
        ...{ headers: { ...json, accept: "application/x-ndjson" }, body: '{"text":"a"}' },
        port: patient.httpPort,
      });
      const chunks: Buffer[] = [];
      for await (const chunk of reader.socket) {
        chunks.push(chunk as Buffer);
        if ((chunk as Buffer).subarray(-5).toString("latin1") === "0\r\n\r\n") break;
        await sleep(3);
      }
      const all = Buffer.concat(chunks).toString("latin1");
      assert.equal(all.split('{"result"').length - 1, plan.count);
      assert.doesNotMatch(all, /"error"/);
    });
  });

  describe("over HTTP/2", () => {
    const open = (id: string, port: number, headers: Readonly<Record<string, string>>) => {
      const session = connectHttp2(`http://127.0.0.1:${port}`);
      session.on("error", () => {});
      const stream = session.request({
        ...{ ":method": "POST", ":path": "/test.v1.Echo/ServerStream", "x-request-id": id },
        ...{ "echo-plan": JSON.stringify({ ...endless, id }), ...headers },
      });
      stream.on("error", () => {});
      return { session, stream };
    };
    const grpc = { "content-type": "application/grpc", te: "trailers" };

    test("a reader of gRPC that comes back finds status 8 in the trailers", { timeout: 20_000 }, async () => {
      const { session, stream } = open("grpc-back", echo.grpcPort, grpc);
      stream.end(envelope);
      await settled("grpc-back");
      const trailers = new Promise<Record<string, unknown>>((resolve) => stream.once("trailers", resolve));
      stream.resume();
      const { "grpc-status": status, "grpc-message": message } = await trailers;
      assert.equal(status, "8");
      assert.match(String(message), /stopped reading/);
      session.destroy();
    });

    test("one that never does is reset with the code that stands for it", { timeout: 20_000 }, async () => {
      const { session, stream } = open("grpc-never", echo.grpcPort, grpc);
      stream.end(envelope);
      await settled("grpc-never");
      await new Promise((resolve) => stream.once("close", resolve));
      // RFC 9113 section 7: ENHANCE_YOUR_CALM, which is gRPC's RESOURCE_EXHAUSTED.
      assert.equal(stream.rstCode, 11);
      session.destroy();
    });

    test("a reader of server-sent events that comes back finds the error", { timeout: 20_000 }, async () => {
      const { session, stream } = open("sse-back", echo.httpPort, { ...json, accept: "text/event-stream" });
      stream.end('{"text":"a"}');
      await settled("sse-back");
      let text = "";
      for await (const chunk of stream) text = (text + String(chunk)).slice(-2000);
      assert.match(text, /\n\nid: end\nevent: error\ndata: \{"code":8,.*READER_STALLED/s);
      session.destroy();
    });

    const mcp = (id: string, plan: object, params: object) => {
      const { session, stream } = open(id, echo.httpPort, {
        ...{ ":path": "/mcp", ...json, accept: "application/json, text/event-stream" },
        "echo-plan": JSON.stringify({ id, ...plan }),
      });
      stream.end(JSON.stringify({ jsonrpc: "2.0", id, method: "tools/call", params }));
      return { session, stream };
    };
    const call = (method: string, text: string) => ({
      name: "call_method",
      arguments: { method: `test.v1.Echo/${method}`, arguments: { text } },
    });
    const eventsOf = async (stream: AsyncIterable<unknown>) => {
      let text = "";
      for await (const chunk of stream) text += String(chunk);
      return [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => JSON.parse(data ?? ""));
    };

    test("a reader of MCP that comes back finds the request's error", { timeout: 20_000 }, async () => {
      const params = { ...call("ServerStream", "a"), _meta: { progressToken: 1 } };
      const { session, stream } = mcp("mcp-back", { count: 99, size: 1000 }, params);
      // Told after twice this time, because 64 KB wait, and cut off after four times.
      await sleep(3 * stalledTimeoutMs);
      const events = await eventsOf(stream);
      assert.ok(events.length > 10 && events.length < 90, String(events.length));
      const { id, error } = events.at(-1);
      assert.deepEqual([id, error.code, error.data], ["mcp-back", -32_000, { reason: "READER_STALLED" }]);
      assert.match(error.message, /stopped reading/);
      assert.ok(events.slice(0, -1).every(({ method }) => method === "notifications/progress"));
      session.destroy();
    });

    test("one whose answer waits already finds that, and no other", { timeout: 20_000 }, async () => {
      const { session, stream } = mcp("mcp-whole", {}, call("Unary", "x".repeat(55_000)));
      await sleep(3 * stalledTimeoutMs);
      const events = await eventsOf(stream);
      assert.deepEqual(
        events.map(({ id, result }) => [id, result?.isError ?? false]),
        [["mcp-whole", false]],
      );
      session.destroy();
    });

    test("a stream beside it goes on", { timeout: 20_000 }, async () => {
      const { session, stream } = open("beside", echo.grpcPort, grpc);
      stream.end(envelope);
      const other = session.request({ ":method": "POST", ":path": "/test.v1.Echo/BidiStream", ...grpc });
      other.on("data", () => {});
      other.write(envelope);
      await settled("beside");
      const trailers = new Promise<Record<string, unknown>>((resolve) => other.once("trailers", resolve));
      other.end(envelope);
      assert.equal((await trailers)["grpc-status"], "0");
      session.destroy();
    });
  });

  describe("a WebSocket that is not read", () => {
    const closed = (socket: WebSocket): Promise<readonly [number, string]> =>
      new Promise((resolve) => socket.once("close", (code, reason) => resolve([code, String(reason)])));

    test("is closed with 1013, and its calls are over", { timeout: 20_000 }, async () => {
      const socket = new WebSocket(`ws://127.0.0.1:${echo.httpPort}/ws`, ["portico.v1+json"]);
      await new Promise((resolve) => socket.once("open", resolve));
      const metadata = { "echo-plan": JSON.stringify({ ...endless, id: "socket" }) };
      socket.send(JSON.stringify({ id: "s", call: { method: "test.v1.Echo/ServerStream", metadata } }));
      socket.send(JSON.stringify({ id: "s", message: { text: "a" } }));
      socket.pause();
      await settled("socket");
      const end = closed(socket);
      socket.resume();
      const [code, reason] = await end;
      assert.equal(code, 1013);
      assert.match(reason, /stopped reading/);
    });

    test("so is one of a single method", { timeout: 20_000 }, async () => {
      const socket = new WebSocket(`ws://127.0.0.1:${echo.httpPort}/v1/stream?text=a`, {
        headers: { "echo-plan": JSON.stringify({ ...endless, id: "single" }) },
      });
      await new Promise((resolve) => socket.once("open", resolve));
      socket.pause();
      await settled("single");
      const end = closed(socket);
      socket.resume();
      assert.equal((await end)[0], 1013);
    });
  });
});
