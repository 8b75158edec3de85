/** Traces of calls over every protocol, at a receiver that decodes what is sent. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { toBinary } from "@bufbuild/protobuf";
import { Metadata } from "@grpc/grpc-js";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { context, propagation, trace } from "@opentelemetry/api";
import { createClient } from "graphql-ws";
import { WebSocket } from "ws";
import type { Interceptor } from "#rpc/interceptor.ts";
import { systemClock as clock } from "#std/clock.ts";
import { createTelemetry, type Telemetry } from "#telemetry/telemetry.ts";
import { type EchoServer, echoDescriptors, startEcho } from "../support/echo.ts";
import { make } from "../support/echo-service.ts";
import { connect as connectGrpc } from "../support/grpc.ts";
import { frame } from "../support/grpc-driver.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { ask, startPortico } from "../support/portico.ts";

let receiver: OtlpReceiver;
let telemetry: Telemetry;
let echo: EchoServer;
/** What a service's own client would have sent on, by the id of the trace. */
const sentOn = new Map<string, Record<string, string>>();

/** Stands where a service does: what is active here is what its clients and its spans see. */
const service: Interceptor = (next) => (call) => {
  const carrier: Record<string, string> = {};
  propagation.inject(context.active(), carrier);
  sentOn.set(String(carrier.traceparent).slice(3, 35), carrier);
  trace.getTracer("service").startSpan("inside").end();
  return next(call);
};

before(async () => {
  receiver = await startOtlpReceiver();
  const { loadCatalog } = await import("#gateway/catalog/catalog.ts");
  telemetry = await createTelemetry({
    ...{ logLevel: "silent", clock, registry: loadCatalog({ descriptorSet: echoDescriptors() }).registry },
    tracing: {
      endpoint: `${receiver.url}/`,
      headers: { authorization: "Bearer of-the-collector" },
      ...{ ratio: 0, serviceName: "edge", version: "1.2.3", isWorker: false, encrypted: false },
      serverUrl: () => "https://edge.example",
    },
  });
  echo = await startEcho({
    interceptors: [telemetry.interceptor, service],
    watching: {
      traceRequest: telemetry.traceRequest,
      onRefused: (refusal) => telemetry.refused(refusal),
    },
  });
});
after(async () => {
  await echo.close();
  await telemetry.close();
  await receiver.close();
});

interface Sent {
  readonly traceparent: string;
  readonly baggage: string;
}

const base = (): string => `http://127.0.0.1:${echo.httpPort}`;
const bytes = (): Uint8Array => {
  const desc = echo.message("test.v1.Everything");
  return toBinary(desc, make(desc, { text: "hi" }));
};
const grpcHeaders = { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" };

/** A call, and the `traceparent` of its answer where the protocol has a place for it. */
const protocols: Readonly<Record<string, (sent: Sent) => Promise<string | null | undefined>>> = {
  rest: async (sent) =>
    (await ask(base(), "POST", "/v1/echo", { body: { text: "hi" }, headers: { ...sent } })).headers.get(
      "traceparent",
    ),
  connect: async (sent) =>
    (
      await ask(base(), "POST", "/test.v1.Echo/Unary", {
        body: { text: "hi" },
        headers: { ...sent, "connect-protocol-version": "1" },
      })
    ).headers.get("traceparent"),
  "grpc-web": async (sent) =>
    (
      await ask(base(), "POST", "/test.v1.Echo/Unary", {
        body: frame(bytes()),
        headers: { ...sent, ...grpcHeaders },
      })
    ).headers.get("traceparent"),
  grpc: (sent) =>
    new Promise((resolve, reject) => {
      const client = connectGrpc(echo.grpcPort);
      const metadata = new Metadata();
      for (const [name, value] of Object.entries(sent)) metadata.set(name, value);
      let answered: string | undefined;
      client
        .makeUnaryRequest(
          "/test.v1.Echo/Unary",
          (message: Uint8Array) => Buffer.from(message),
          (message: Buffer) => message,
          bytes(),
          metadata,
          (error) => {
            client.close();
            if (error === null) resolve(answered);
            else reject(error);
          },
        )
        .on("metadata", (headers) => {
          answered = headers.get("traceparent")[0] as string | undefined;
        });
    }),
  websocket: async (sent) => {
    const socket = new WebSocket(`${base().replace("http", "ws")}/ws`);
    await new Promise((resolve) => socket.once("open", resolve));
    const frames: { headers?: { entries: Record<string, string> }; end?: object }[] = [];
    const ended = new Promise<void>((resolve) => {
      socket.on("message", (data) => {
        frames.push(JSON.parse(String(data)));
        if (frames.at(-1)?.end !== undefined) resolve();
      });
    });
    socket.send(
      JSON.stringify({
        ...{ id: "1", call: { method: "test.v1.Echo/Unary", metadata: sent } },
        ...{ message: { text: "hi" }, end: true },
      }),
    );
    await ended;
    socket.close();
    return frames.find((one) => one.headers !== undefined)?.headers?.entries.traceparent;
  },
  graphql: async (sent) => {
    const query = 'mutation { unary(text: "hi") { text } }';
    const answer = await ask(base(), "POST", "/graphql", { body: { query }, headers: { ...sent } });
    assert.equal(answer.json.data.unary.text, "hi");
    return answer.headers.get("traceparent");
  },
  mcp: async (sent) => {
    const client = new Client({ name: "test", version: "1" });
    let answered: string | null = null;
    const heard = async (...given: Parameters<typeof fetch>): Promise<Response> => {
      const response = await fetch(...given);
      answered = response.headers.get("traceparent") ?? answered;
      return response;
    };
    await client.connect(new StreamableHTTPClientTransport(new URL(`${base()}/mcp`), { fetch: heard }));
    await client.callTool({
      name: "call_method",
      arguments: { method: "test.v1.Echo/Unary", arguments: { text: "hi" } },
      _meta: { ...sent },
    });
    await client.close();
    return answered;
  },
};

describe("a trace", () => {
  for (const [protocol, send] of Object.entries(protocols))
    test(`goes on over ${protocol}: in, through the service, and back`, async () => {
      const traceId = Buffer.from(protocol.padEnd(16, "-")).toString("hex");
      const answered = await send({
        traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
        baggage: "team=blue,region=eu%20west",
      });
      const [span, ...more] = await receiver.find((one) => one.traceId === traceId && one.kind === 2);
      assert.ok(span !== undefined, "no span came");
      assert.deepEqual(more, []);
      assert.equal(span.parentSpanId, "00f067aa0ba902b7");
      assert.equal(answered, `00-${traceId}-${span.spanId}-01`);
      // A request of GraphQL may be several calls: they are inside it.
      const isRequest = protocol === "graphql";
      if (isRequest)
        assert.deepEqual([span.name, span.attributes["graphql.operation.type"]], ["mutation", "mutation"]);
      const [inner] = await receiver.find(
        (one) => one.traceId === traceId && one.parentSpanId === span.spanId,
      );
      const call = isRequest ? inner : span;
      assert.ok(call !== undefined);
      for (const one of [span, call]) {
        assert.deepEqual(
          [one.scope, one.resource["service.name"], one.resource["service.version"]],
          ["portico", "edge", "1.2.3"],
        );
        assert.equal(one.attributes["portico.protocol"], protocol);
        assert.equal(one.attributes["client.address"], "127.0.0.1");
        assert.equal(one.attributes["server.address"], "edge.example");
        assert.ok(one.durationNs > 0n);
        assert.deepEqual(one.status.code ?? 0, 0);
      }
      assert.equal(call.attributes["rpc.method"], "test.v1.Echo/Unary");
      if (protocol === "rest") {
        assert.equal(span.name, "POST /v1/echo");
        const { attributes: of } = span;
        assert.deepEqual(
          [of["http.request.method"], of["http.route"], of["http.response.status_code"], of["url.path"]],
          ["POST", "/v1/echo", 200, "/v1/echo"],
        );
        assert.equal(of["url.scheme"], "http");
      } else {
        assert.equal(call.name, "test.v1.Echo/Unary");
        assert.equal(call.attributes["rpc.system.name"], systems[protocol]);
        assert.equal(call.attributes["rpc.status_code"], protocol === "connect" ? undefined : "OK");
      }
      // What the service itself sends and records belongs to the call.
      const carrier = sentOn.get(traceId);
      assert.equal(carrier?.traceparent, `00-${traceId}-${call.spanId}-01`);
      assert.equal(carrier?.baggage, "team=blue,region=eu%20west");
      const [inside] = await receiver.find((one) => one.traceId === traceId && one.name === "inside");
      assert.equal(inside?.parentSpanId, call.spanId);
    });

  test("of several calls that one answer stands for is one, with one span for all of them", async () => {
    const query = 'mutation Both { a: unary(text: "a") { text } b: unary(text: "b") { text } }';
    const traceId = "3".repeat(32);
    const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` };
    const answer = await ask(base(), "POST", "/graphql", { body: { query }, headers });
    const [request, ...others] = await receiver.find((one) => one.traceId === traceId && one.kind === 2);
    assert.deepEqual(others, [], answer.text);
    assert.equal(answer.headers.get("traceparent"), `00-${traceId}-${request?.spanId}-01`);
    assert.deepEqual(
      [
        request?.name,
        request?.attributes["graphql.operation.type"],
        request?.attributes["graphql.operation.name"],
      ],
      ["mutation", "mutation", "Both"],
    );
    const calls = await receiver.find(
      (one) => one.traceId === traceId && one.name.startsWith("test.v1.Echo/"),
    );
    assert.deepEqual(
      calls.map(({ parentSpanId, kind }) => [parentSpanId, kind]),
      Array(2).fill([request?.spanId, 1]),
    );
  });

  test("of a subscription is one too, and ends with it", async () => {
    const subscription = 'subscription { serverStream(text: "hi") { text } }';
    const stream = await fetch(`${base()}/graphql`, {
      method: "POST",
      headers: {
        ...{ "content-type": "application/json", accept: "text/event-stream", "echo-plan": '{"count":2}' },
        traceparent: `00-${"2".repeat(32)}-00f067aa0ba902b7-01`,
      },
      body: JSON.stringify({ query: subscription }),
    });
    await stream.text();
    const [span] = await receiver.find((one) => one.traceId === "2".repeat(32) && one.kind === 2);
    assert.equal(stream.headers.get("traceparent"), `00-${"2".repeat(32)}-${span?.spanId}-01`);
  });

  test("of a GraphQL operation on a WebSocket goes on too", async () => {
    const traceId = "5".repeat(32);
    const client = createClient({
      url: `${base().replace("http", "ws")}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` },
    });
    await client.iterate({ query: 'mutation { unary(text: "hi") { text } }' }).next();
    await client.dispose();
    assert.equal((await receiver.find((one) => one.traceId === traceId && one.kind === 2)).length, 1);
  });

  test("of a stream ends with the stream, and has its code", async () => {
    const traceId = "4".repeat(32);
    const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01`, "echo-plan": '{"count":3}' };
    const answer = await ask(base(), "POST", "/v1/stream", { body: { text: "hi" }, headers });
    assert.equal(answer.text.trim().split("\n").length, 3);
    const [span] = await receiver.find((one) => one.traceId === traceId && one.kind === 2);
    assert.deepEqual([span?.name, span?.attributes["http.response.status_code"]], ["POST /v1/stream", 200]);
  });

  test("of a failed call has its code and reason; the caller's mistake is no error of the server", async () => {
    const traceId = "6".repeat(32);
    const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` };
    await ask(base(), "POST", "/v1/echo", { body: { nope: 1 }, headers });
    const [refused] = await receiver.find((one) => one.traceId === traceId && one.kind === 2);
    assert.equal(refused?.attributes["http.response.status_code"], 400);
    assert.equal(refused?.attributes["error.type"], undefined);
    assert.equal(refused?.attributes["portico.reason"], "FIELD_UNKNOWN");
    assert.equal(refused?.status.code ?? 0, 0);
    const id = "9".repeat(32);
    const failing = { traceparent: `00-${id}-00f067aa0ba902b7-01`, "echo-plan": '{"throws":"hunter2"}' };
    const answer = await ask(base(), "POST", "/v1/echo", { body: {}, headers: failing });
    assert.equal(answer.status, 500);
    const [failed] = await receiver.find((one) => one.traceId === id && one.kind === 2);
    assert.equal(answer.headers.get("traceparent"), `00-${id}-${failed?.spanId}-01`);
    assert.deepEqual(failed?.status, { code: 2, message: "INTERNAL" });
    assert.equal(failed?.attributes["error.type"], "500");
    assert.ok(!receiver.text().includes("hunter2"));
  });

  test("is not sent where the caller or the ratio says no, and costs the log nothing", async () => {
    const traceId = "7".repeat(32);
    const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-00` };
    const unsampled = await ask(base(), "POST", "/v1/echo", { body: {}, headers });
    assert.equal(unsampled.headers.get("traceparent"), null);
    const before = receiver.spans.length;
    // The ratio of this telemetry is 0: without a caller's word nothing is traced.
    await ask(base(), "POST", "/v1/echo", { body: {} });
    const marker = "8".repeat(32);
    await ask(base(), "POST", "/v1/echo", {
      body: {},
      headers: { traceparent: `00-${marker}-00f067aa0ba902b7-01` },
    });
    await receiver.find((one) => one.traceId === marker && one.name === "inside");
    const came = receiver.spans.slice(before).filter((one) => one.traceId !== marker);
    assert.deepEqual(came, []);
  });

  test("is sent with the headers that the operator gave", () => {
    assert.ok(receiver.headers.length > 0);
    for (const headers of receiver.headers) assert.equal(headers.authorization, "Bearer of-the-collector");
  });
});

const systems: Readonly<Record<string, string>> = {
  grpc: "grpc",
  "grpc-web": "grpc",
  connect: "connectrpc",
  websocket: "portico.websocket",
  graphql: "graphql",
  mcp: "jsonrpc",
};

describe("an installation that traces", () => {
  test("follows its own ratio, writes the trace's id into the log's line, and sends what is left at its end", async () => {
    const own = await startOtlpReceiver();
    const portico = await startPortico({ otlpEndpoint: own.url, traceRatio: "1" });
    const { headers } = await ask(portico.base, "GET", "/api/v1/bpmn/none");
    const [, traceId, spanId] =
      /^00-([0-9a-f]{32})-([0-9a-f]{16})-01$/.exec(String(headers.get("traceparent"))) ?? [];
    await portico.stop();
    const [span] = own.spans;
    assert.deepEqual([span?.traceId, span?.spanId, span?.parentSpanId], [traceId, spanId, ""]);
    assert.equal(span?.name, "GET /api/v1/bpmn/{id}");
    assert.equal(span?.attributes["http.response.status_code"], 404);
    await own.close();
  });

  test("decides once for a request of GraphQL, and has a span for one that is refused", async () => {
    const own = await startOtlpReceiver();
    const portico = await startPortico({ otlpEndpoint: own.url, traceRatio: "1" });
    const query = '{ a: getBPMN(id: "x") { id } b: listBPMN { totalSize } c: getBPMN(id: "y") { id } }';
    await ask(portico.base, "POST", "/graphql", { body: { query } });
    await ask(portico.base, "POST", "/graphql", { body: { query: "{ nope }" } });
    await ask(portico.base, "POST", "/graphql", {
      body: "{",
      headers: { "content-type": "application/json" },
    });
    await portico.stop();
    const roots = own.spans.filter(({ parentSpanId }) => parentSpanId === "");
    assert.deepEqual(
      roots.map(({ name, kind, attributes: of }) => [
        name,
        kind,
        of["rpc.status_code"],
        of["portico.reason"],
      ]),
      [
        ["query", 2, undefined, undefined],
        ["GraphQL Operation", 2, "INVALID_ARGUMENT", "QUERY_INVALID"],
        ["GraphQL Operation", 2, "INVALID_ARGUMENT", "QUERY_INVALID"],
      ],
    );
    const [request] = roots;
    const calls = own.spans.filter(
      ({ traceId, parentSpanId }) => traceId === request?.traceId && parentSpanId !== "",
    );
    assert.deepEqual(
      calls.map(({ kind, parentSpanId }) => [kind, parentSpanId]),
      Array(3).fill([1, request?.spanId]),
    );
    await own.close();
  });

  test("is none for what chance leaves out, whatever is in a request", async () => {
    const own = await startOtlpReceiver();
    const portico = await startPortico({ otlpEndpoint: own.url, traceRatio: "0" });
    const query = "{ a: listBPMN { totalSize } b: listBPMN { totalSize } }";
    const answer = await ask(portico.base, "POST", "/graphql", { body: { query } });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers.get("traceparent"), null);
    await ask(portico.base, "POST", "/nothing", {});
    await portico.stop();
    assert.deepEqual(own.spans, []);
    await own.close();
  });
});
