/** What operators see and change of a running Portico: metrics, log settings, timings. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { createLogService } from "#gateway/admin/admin.ts";
import type { Refusal } from "#rpc/refusal.ts";
import { systemClock as clock } from "#std/clock.ts";
import { createTelemetry } from "#telemetry/telemetry.ts";
import { ask, bpmnXml, startPortico, type TestPortico } from "../support/portico.ts";
import { type Running, serve } from "../support/process.ts";
import { Metrics } from "../support/prometheus-text.ts";

let portico: TestPortico;
before(async () => {
  portico = await startPortico({ authentication: "on", rateLimit: "20/s:20" });
});
after(() => portico.stop());

const scrape = async (): Promise<Metrics> => new Metrics((await ask(portico.base, "GET", "/metrics")).text);

describe("/metrics", () => {
  test("is the text format, whatever was called, and has a series for a method, none for what is no method", async () => {
    const headers = { "x-api-key": portico.key };
    const { base } = portico;
    const socket = new WebSocket(`${base.replace("http", "ws")}/ws`, { headers });
    await new Promise((resolve) => socket.once("open", resolve));
    const call = { id: "1", call: { method: "portico.events.v1.EventService/Subscribe" } };
    socket.send(JSON.stringify({ ...call, message: { topics: ["bpmn/*"] }, end: true }));
    const made = await ask(base, "POST", "/api/v1/bpmn?documentId=order", {
      headers,
      body: { xml: bpmnXml() },
    });
    assert.equal(made.status, 201, made.text);
    await ask(base, "GET", "/api/v1/bpmn/order", { headers });
    await ask(base, "GET", "/api/v1/bpmn/none", { headers });
    for (let count = 0; count < 30; count += 1) await ask(base, "GET", `/nothing/${count}`, { headers });
    await ask(base, "POST", "/nobody.v1.S/M", {
      headers: { ...headers, "connect-protocol-version": "1" },
      body: {},
    });
    // More at once than the limit lets pass, again where the machine was so slow that it did.
    const list = () => ask(base, "GET", "/api/v1/bpmn?pageSize=1", { headers });
    while (!(await Promise.all(Array.from({ length: 30 }, list))).some(({ status }) => status === 429));
    let metrics = await scrape();
    for (
      let tries = 0;
      metrics.value("portico_streams_open", { protocol: "websocket" }) !== 1 && tries < 50;
      tries += 1
    ) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      metrics = await scrape();
    }
    assert.equal(metrics.value("portico_streams_open", { protocol: "websocket" }), 1);
    assert.equal(metrics.value("portico_websockets_open"), 1);
    assert.ok(Number(metrics.value("portico_connections_open")) >= 2);
    socket.terminate();
    const get = { method: "portico.bpmn.v1.BPMNService/GetBPMN", protocol: "rest" };
    assert.equal(metrics.value("portico_calls_total", { ...get, code: "ok" }), 1);
    assert.equal(metrics.value("portico_calls_total", { ...get, code: "not_found" }), 1);
    assert.equal(metrics.value("portico_calls_total", { method: "unknown", protocol: "rest" }), 30);
    assert.equal(metrics.value("portico_calls_total", { method: "unknown", protocol: "connect" }), 1);
    assert.equal(
      metrics.samples("portico_calls_total").filter((one) => one.labels.method === "unknown").length,
      2,
    );
    assert.ok(Number(metrics.value("portico_limited_total", { what: "call" })) > 0);
    assert.equal(
      metrics.value("portico_errors_total", { reason: "RATE_LIMITED" }),
      metrics.value("portico_limited_total", { what: "call" }),
    );
    assert.ok(Number(metrics.value("portico_received_bytes_total", { protocol: "rest" })) > bpmnXml().length);
    assert.ok(Number(metrics.value("portico_sent_bytes_total", get)) > 300);
    const overhead = metrics.value("portico_gateway_overhead_seconds_sum", { protocol: "rest" });
    assert.ok(
      Number(overhead) > 0 &&
        Number(overhead) < Number(metrics.value("portico_call_duration_seconds_sum", { protocol: "rest" })),
    );
    for (const operation of ["statement", "transaction"])
      assert.ok(Number(metrics.value("portico_store_duration_seconds_count", { operation })) > 0, operation);
    for (const name of [
      ...["portico_store_connections_limit", "nodejs_heap_size_used_bytes", "process_cpu_seconds_total"],
      ...["process_resident_memory_bytes", "process_start_time_seconds"],
    ])
      assert.ok(Number(metrics.value(name)) > 0, name);
    assert.equal(metrics.value("portico_store_waiting"), 0);
    assert.notEqual(metrics.value("portico_event_loop_lag_seconds_count"), undefined);
  });

  test("passes promtool, where it is here", async (context) => {
    const { text } = await ask(portico.base, "GET", "/metrics");
    const checked = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" });
    if (checked.error !== undefined)
      return context.skip("there is no promtool: scripts/install-prometheus.sh");
    assert.equal(checked.status, 0, checked.stdout + checked.stderr);
    return undefined;
  });

  test("is for peers on this machine, and for callers of the installation who may", async (context) => {
    const address = Object.values(networkInterfaces())
      .flat()
      .find((one) => one?.family === "IPv4" && !one.internal)?.address;
    if (address === undefined) return context.skip("this machine has loopback alone");
    const { createPages } = await import("#gateway/ingress/ingress.ts");
    const principal = {
      tenant: "default",
      scopes: new Set(["telemetry:read"]),
      name: "users/a",
      credential: "",
    };
    const refused: string[] = [];
    const statusFor = async (who: typeof principal | Error, from: string): Promise<number> => {
      const pages = createPages({
        ...{
          runtime: () => ({ refused: ({ error }: Refusal) => refused.push(error.reason) }) as never,
          ready: () => true,
          reasons: [],
          version: "0",
          authentication: true,
        },
        ...{ renderMetrics: () => "", serverUrl: () => "", publicKeys: async () => ({}) },
        authenticator: {
          principalOf: () => {
            if (who instanceof Error) throw who;
            return who;
          },
        },
      });
      return new Promise((resolve) => {
        const headers = { host: "127.0.0.1:8000" };
        const exchange = { path: "/metrics", method: "GET", headers, peer: { address: from, port: 1 } };
        pages.handle({ ...exchange, reply: (status: number) => resolve(status) } as never);
      });
    };
    assert.equal(await statusFor(new Error("no credential"), "127.0.0.1"), 200);
    assert.equal(await statusFor(principal, address), 200);
    assert.equal(await statusFor({ ...principal, scopes: new Set(["bpmn:read"]) }, address), 403);
    assert.equal(await statusFor({ ...principal, tenant: "acme", scopes: new Set(["*"]) }, address), 403);
    assert.equal(await statusFor(new Error("no credential"), address), 403);
    assert.deepEqual(refused, Array(3).fill("METRICS_CLOSED"));
    return undefined;
  });
});

describe("/metrics behind a proxy on this machine", () => {
  const from = async (to: TestPortico, headers: Record<string, string>): Promise<number> =>
    (await ask(to.base, "GET", "/metrics", { headers })).status;
  const overHttp2 = async (to: TestPortico, headers: Record<string, string>): Promise<number> => {
    const session = connectHttp2(to.base);
    const [answer] = await once(session.request({ ":path": "/metrics", ...headers }), "response");
    session.close();
    return Number(answer[":status"]);
  };
  const said = {
    "x-forwarded-for": "203.0.113.9",
    forwarded: "for=203.0.113.9",
    "x-forwarded-proto": "https",
    "x-real-ip": "203.0.113.9",
    via: "1.1 edge",
  };

  for (const [name, value] of Object.entries(said))
    test(`that nobody named and that says ${name} is for callers who may`, async () => {
      for (const get of [from, overHttp2]) {
        assert.equal(await get(portico, { [name]: value }), 403, name);
        // Not even where the proxy says that it was asked from here: a client may have said so.
        assert.equal(await get(portico, { [name]: value.replace("203.0.113.9", "127.0.0.1") }), 403, name);
        assert.equal(await get(portico, { [name]: value, "x-api-key": portico.key }), 200, name);
      }
    });

  test("that is named is for whom it says to be on this machine", async () => {
    const named = await startPortico({ authentication: "on", trustedProxies: "127.0.0.0/8" });
    for (const get of [from, overHttp2]) {
      assert.equal(await get(named, { "x-forwarded-for": "203.0.113.9" }), 403);
      assert.equal(await get(named, { "x-forwarded-for": "127.0.0.1" }), 200);
      assert.equal(await get(named, { "x-forwarded-for": "no address" }), 403);
      assert.equal(await get(named, {}), 200);
    }
    await named.stop();
  });

  test("is open without authentication, as everything is", async () => {
    const open = await startPortico();
    assert.equal(await from(open, said), 200);
    await open.stop();
  });

  test("is open to programs here that say something else of themselves", async () => {
    assert.equal(await from(portico, { "x-user-id": "scraper", "user-agent": "Prometheus/2.42.0" }), 200);
  });
});

describe("what is no call", () => {
  test("is counted by whoever turns it away", async () => {
    const telemetry = await createTelemetry({ logLevel: "silent", clock, registry: undefined as never });
    telemetry.turned.shed("connection");
    telemetry.turned.shed("connection");
    telemetry.turned.limited("stream");
    const metrics = new Metrics(telemetry.renderMetrics());
    assert.equal(metrics.value("portico_shed_total", { what: "connection" }), 2);
    assert.equal(metrics.value("portico_limited_total", { what: "stream" }), 1);
    await telemetry.close();
  });

  test("connections too many are counted, and those that were ended for what they sent", async () => {
    const own = await startPortico({ maxConnections: "2", http2MaxControlFrames: "10" });
    const open = async (): Promise<Socket> => {
      const socket = connect(own.httpPort, "127.0.0.1").resume();
      await once(socket, "connect");
      return socket;
    };
    const held = [await open(), await open()];
    await once(await open(), "close");
    await Promise.all(held.map(async (socket) => await once(socket.destroy(), "close")));
    const session = connectHttp2(own.base, { maxOutstandingPings: 100 });
    session.on("error", () => undefined);
    await once(session, "remoteSettings");
    for (let count = 0; count < 20; count += 1) session.ping(() => undefined);
    const read = async (name: string): Promise<number | undefined> =>
      new Metrics((await ask(own.base, "GET", "/metrics")).text).value(name, { what: "connection" });
    for (const until = performance.now() + 5000; (await read("portico_limited_total")) !== 1; ) {
      assert.ok(performance.now() < until, "nobody counted");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.equal(await read("portico_shed_total"), 1);
    session.destroy();
    await own.stop();
  });
});

describe("Server-Timing", () => {
  const timing = /^gateway;dur=\d+(\.\d{1,2})?, service;dur=\d+(\.\d{1,2})?$/;
  test("is said by REST, of errors too, and not where it is off", async () => {
    const own = await startPortico();
    for (const target of ["/api/v1/bpmn?pageSize=1", "/api/v1/bpmn/none"])
      assert.match(String((await ask(own.base, "GET", target)).headers.get("server-timing")), timing);
    assert.equal((await ask(own.base, "GET", "/nothing")).headers.get("server-timing"), null);
    await own.stop();
    const off = await startPortico({ serverTiming: "off" });
    assert.equal((await ask(off.base, "GET", "/api/v1/bpmn?pageSize=1")).headers.get("server-timing"), null);
    await off.stop();
  });
});

describe("log settings", () => {
  const dataDir = mkdtempSync(path.join(tmpdir(), "portico-log-settings-"));
  let running: Running;
  before(async () => {
    running = await serve(dataDir, ["--database-url", "memory:", "--log-level", "warn"]);
  });
  after(() => {
    running.child.kill("SIGKILL");
    rmSync(dataDir, { recursive: true, force: true });
  });
  const settings = (body?: object) =>
    ask(running.base, body === undefined ? "GET" : "PATCH", "/api/v1/logSettings", { body });
  const lineOf = async (requestId: string): Promise<Record<string, unknown> | undefined> => {
    await ask(running.base, "GET", "/api/v1/bpmn?pageSize=1", { headers: { "x-request-id": requestId } });
    // Lines wait at most 200 ms.
    await new Promise((resolve) => setTimeout(resolve, 450));
    const lines = running.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    return lines.find((line) => line.requestId === requestId);
  };

  test("change what is written, from the next call on, and are checked", async () => {
    assert.deepEqual((await settings()).json, { level: "WARN", bodyRatio: 0 });
    assert.equal(await lineOf("before"), undefined);
    assert.deepEqual((await settings({ level: "INFO", bodyRatio: 1 })).json, { level: "INFO", bodyRatio: 1 });
    const line = await lineOf("with-body");
    assert.deepEqual(line?.request, { pageSize: 1 });
    assert.equal(typeof line?.response, "object");
    assert.deepEqual((await settings({ bodyRatio: 0 })).json, { level: "INFO", bodyRatio: 0 });
    assert.equal("request" in ((await lineOf("without-body")) ?? {}), false);
    assert.deepEqual((await settings({ level: "ERROR" })).json, { level: "ERROR", bodyRatio: 0 });
    assert.equal(await lineOf("after"), undefined);
    for (const wrong of [
      { bodyRatio: 2 },
      { bodyRatio: -1 },
      { level: "LOUD" },
      { level: "LEVEL_UNSPECIFIED" },
    ])
      assert.equal((await settings(wrong)).status, 400, JSON.stringify(wrong));
  });

  test("are for who has the scope, in the installation's own tenant", async () => {
    const own = await startPortico({ authentication: "on" });
    const headers = { "x-api-key": own.key };
    const made = await ask(own.base, "POST", "/api/v1/apiKeys", {
      headers,
      body: { displayName: "reads", scopes: ["telemetry:read"] },
    });
    const reader = { "x-api-key": String(made.json.secret) };
    const change = (who: Record<string, string>) =>
      ask(own.base, "PATCH", "/api/v1/logSettings", { headers: who, body: { level: "ERROR" } });
    assert.equal(
      (await ask(own.base, "GET", "/api/v1/logSettings", { headers: reader })).json.level,
      "SILENT",
    );
    assert.equal((await change(reader)).status, 403);
    assert.equal((await change({})).status, 401);
    assert.equal((await change(headers)).json.level, "ERROR");
    await own.stop();
    const { implementation } = createLogService({
      logSettings: { level: "info", bodyRatio: 0 },
      changeLog: () => assert.fail("it was changed"),
    });
    const principal = { tenant: "acme", scopes: new Set(["*"]), name: "users/a", credential: "" };
    for (const name of ["getLogSettings", "updateLogSettings"])
      assert.throws(
        () =>
          (implementation[name] as (request: object, call: object) => void)(
            { logSettings: {} },
            { principal },
          ),
        { reason: "INSTALLATION_FORBIDDEN" },
      );
  });
});
