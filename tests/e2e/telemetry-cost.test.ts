/** What telemetry says of the gateway's own time is what its process takes; and nothing of OpenTelemetry is there where nobody asks for it. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Agent, request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { GetBPMNRequestSchema } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { frame } from "../support/grpc-driver.ts";
import { ask, bpmnXml } from "../support/portico.ts";
import { type Running, serve } from "../support/process.ts";
import { Metrics } from "../support/prometheus-text.ts";

const dataDir = mkdtempSync(path.join(tmpdir(), "portico-cost-"));
const modules = path.join(dataDir, "modules");
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
let running: Running;

before(async () => {
  const preload = path.resolve(import.meta.dirname, "../support/loaded-modules.js");
  running = await serve(
    path.join(dataDir, "data"),
    ["--database-url", "memory:", "--log-level", "warn", "--rate-limit", "off", "--mcp-meta-tools", "on"],
    { env: { NODE_OPTIONS: `--import=${preload}`, TEST_LOADED_MODULES: modules } },
  );
  await ask(running.base, "POST", "/api/v1/bpmn?documentId=a", { body: { xml: bpmnXml() } });
});
after(() => {
  agent.destroy();
  running.child.kill("SIGKILL");
  rmSync(dataDir, { recursive: true, force: true });
});

/** On one connection, one after the other: what waits for others is nobody's time. */
function send(
  method: string,
  target: string,
  headers: Record<string, string>,
  body: string | Buffer,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const length = body.length === 0 ? {} : { "content-length": Buffer.byteLength(body) };
    const request = httpRequest(running.base + target, { agent, method, headers: { ...headers, ...length } });
    request.on("error", reject);
    request.on("response", (response) => {
      let text = `${response.statusCode} `;
      response.on("data", (data) => {
        text += String(data);
      });
      response.on("end", () => resolve(text));
    });
    request.end(body);
  });
}

/** Processor time of the process under test so far, in milliseconds. */
async function cpuMs(): Promise<number> {
  return 1000 * Number((await metrics()).value("process_cpu_seconds_total"));
}

async function metrics(): Promise<Metrics> {
  return new Metrics((await ask(running.base, "GET", "/metrics")).text);
}

const json = { "content-type": "application/json" };
const own = "/portico.bpmn.v1.BPMNService/GetBPMN";
const bytes = Buffer.from(frame(toBinary(GetBPMNRequestSchema, create(GetBPMNRequestSchema, { id: "a" }))));
let queries = 0;
const agents = {
  ...{ ...json, accept: "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18" },
};
const given = { method: "portico.bpmn.v1.BPMNService/GetBPMN", arguments: { id: "a" } };
const params = { name: "call_method", arguments: given };
const tool = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params });

/** Each query is another text: one that is known by its text costs its first sender alone. */
const protocols: Readonly<Record<string, () => Promise<string>>> = {
  rest: () => send("GET", "/api/v1/bpmn/a", {}, ""),
  connect: () => send("POST", own, { ...json, "connect-protocol-version": "1" }, '{"id":"a"}'),
  "grpc-web": () =>
    send("POST", own, { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" }, bytes),
  graphql: () => {
    queries += 1;
    const query = `query q${queries} { a: getBPMN(id: "a") { id displayName } b: getBPMN(id: "a") { etag } }`;
    return send("POST", "/graphql", json, JSON.stringify({ query }));
  },
  mcp: () => send("POST", "/mcp", agents, tool),
};
const calls = 600;

describe("the gateway's own time", () => {
  for (const [protocol, call] of Object.entries(protocols))
    test(`over ${protocol} is a good part of what its process takes, and no more than its clients wait`, async () => {
      for (let warm = 0; warm < 200; warm += 1) assert.match(await call(), /^200 (?!.*"errors")/s);
      const sumOf = (all: Metrics, name: string): number =>
        1000 * Number(all.value(`portico_${name}_seconds_sum`, { protocol }));
      const before = await metrics();
      const cpuBefore = await cpuMs();
      const from = performance.now();
      for (let sent = 0; sent < calls; sent += 1) await call();
      const waitedMs = performance.now() - from;
      const cpu = (await cpuMs()) - cpuBefore;
      const afterwards = await metrics();
      const overheadMs = sumOf(afterwards, "gateway_overhead") - sumOf(before, "gateway_overhead");
      const durationMs = sumOf(afterwards, "call_duration") - sumOf(before, "call_duration");
      const told = JSON.stringify({ cpu, overheadMs, durationMs, waitedMs });
      // Besides there is what node and the system take for a request: most of a cheap one, little of one that is parsed and checked here.
      assert.ok(overheadMs >= cpu / (protocol === "graphql" || protocol === "mcp" ? 3 : 8), told);
      assert.ok(durationMs >= overheadMs && durationMs <= waitedMs, told);
    });
});

describe("a process without a receiver", () => {
  test("has loaded nothing of OpenTelemetry, whatever it was asked", () => {
    const loaded = readFileSync(modules, "utf8").split("\n").filter(Boolean);
    // The list is one of modules, and of this process.
    assert.ok(
      loaded.some((url) => url.endsWith("/src/telemetry/telemetry.ts")),
      `${loaded.length}`,
    );
    assert.ok(loaded.some((url) => url.includes("/node_modules/graphql/")));
    assert.deepEqual(
      loaded.filter((url) => url.includes("opentelemetry") || /telemetry\/(?:otel|otlp|span)/.test(url)),
      [],
    );
  });
});
