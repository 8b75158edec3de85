/** Pushed metrics, at a receiver that decodes what is sent, and the receiver that is busy, away, or never answers. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { systemClock as clock } from "#std/clock.ts";
import { createTelemetry } from "#telemetry/telemetry.ts";
import { type OtlpReceiver, type ReceivedPush, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { ask, bpmnXml, startPortico, type TestPortico } from "../support/portico.ts";
import { serve } from "../support/process.ts";
import { Metrics } from "../support/prometheus-text.ts";

/** What changes by itself between a push and a look at it. */
const restless = /^(process_|nodejs_|portico_event_loop_lag|portico_store_|portico_connections_open)/;

/** Every sample of a push as the text format has it, with its value. */
function samplesOf(push: ReceivedPush): Map<string, number> {
  const samples = new Map<string, number>();
  const add = (name: string, labels: Readonly<Record<string, unknown>>, value: number): void => {
    samples.set(keyOf(name, labels), value);
  };
  for (const { name, kind, points } of push.metrics.values())
    for (const { attributes, value, counts, bounds, sum, count } of points) {
      if (kind !== "histogram") {
        add(name, attributes, value);
        continue;
      }
      let total = 0;
      for (const [at, inBucket] of counts.entries()) {
        total += inBucket;
        add(`${name}_bucket`, { ...attributes, le: String(bounds[at] ?? "+Inf") }, total);
      }
      add(`${name}_sum`, attributes, sum);
      add(`${name}_count`, attributes, count);
    }
  return samples;
}

function scrapedSamples(text: string): Map<string, number> {
  const all = [...new Metrics(text).families.values()].flatMap(({ samples }) => samples);
  return new Map(all.map(({ name, labels, value }) => [keyOf(name, labels), value]));
}

function keyOf(name: string, labels: Readonly<Record<string, unknown>>): string {
  return `${name}${JSON.stringify(Object.entries(labels).sort())}`;
}

const quiet = (samples: ReadonlyMap<string, number>): [string, number][] =>
  [...samples].filter(([key]) => !restless.test(key)).sort(([one], [other]) => (one < other ? -1 : 1));

describe("pushed metrics", () => {
  let receiver: OtlpReceiver;
  let portico: TestPortico;
  before(async () => {
    receiver = await startOtlpReceiver();
    portico = await startPortico({
      ...{ authentication: "on", rateLimit: "2/s:20", otlpMetrics: "on", otlpMetricsIntervalMs: "200" },
      ...{ otlpEndpoint: `${receiver.url}/`, otlpHeaders: "authorization=Bearer%20of-the-collector" },
      ...{ otlpMetricsHeaders: "x-scope-orgid=7", serviceName: "edge", traceRatio: "0" },
    });
  });
  after(async () => {
    await portico.stop();
    await receiver.close();
  });

  /** Streams that are open and over, messages, errors, and more than a caller may. */
  const traffic = async (): Promise<WebSocket> => {
    const headers = { "x-api-key": portico.key };
    const socket = new WebSocket(`${portico.base.replace("http", "ws")}/ws`, { headers });
    await new Promise((resolve) => socket.once("open", resolve));
    const subscribe = { call: { method: "portico.events.v1.EventService/Subscribe" }, end: true };
    const message = { topics: ["bpmn/*"] };
    for (const id of ["1", "2"]) socket.send(JSON.stringify({ ...subscribe, id, message }));
    socket.send(JSON.stringify({ id: "2", cancel: true }));
    const body = { xml: bpmnXml() };
    const made = await ask(portico.base, "POST", "/api/v1/bpmn?documentId=order", { headers, body });
    assert.equal(made.status, 201, made.text);
    for (const target of ["/api/v1/bpmn/none", "/nothing/here", "/api/v1/bpmn/order:download"])
      await ask(portico.base, "GET", target, { headers });
    const list = () => ask(portico.base, "GET", "/api/v1/bpmn?pageSize=1", { headers });
    await Promise.all(Array.from({ length: 40 }, list));
    return socket;
  };

  test("are what /metrics says in the same moment: every series, every value", async () => {
    const socket = await traffic();
    try {
      for (let tries = 0; ; tries += 1) {
        const before = quiet(scrapedSamples(portico.renderMetrics()));
        const push = await receiver.push();
        const text = portico.renderMetrics();
        const now = scrapedSamples(text);
        const still = JSON.stringify(before) === JSON.stringify(quiet(now));
        const open = new Metrics(text).value("portico_streams_open", { protocol: "websocket" });
        if ((!still || open === 0) && tries < 20) continue;
        const pushed = samplesOf(push);
        assert.deepEqual([...pushed.keys()].sort(), [...now.keys()].sort());
        assert.deepEqual(quiet(pushed), quiet(now));
        assert.ok(pushed.size > 200, `${pushed.size}`);
        break;
      }
    } finally {
      socket.close();
    }
    const metrics = new Metrics(portico.renderMetrics());
    for (const [name, labels] of [
      ["portico_errors_total", { reason: "RATE_LIMITED" }],
      ["portico_limited_total", { what: "call" }],
      ["portico_calls_total", { method: "unknown", code: "not_found" }],
      ["portico_sent_messages_total", { method: "portico.bpmn.v1.BPMNService/DownloadBPMN" }],
    ] as const)
      assert.ok(Number(metrics.value(name, labels)) > 0, name);
  });

  test("are cumulative since the process began, with the kinds and units that their names say", async () => {
    const push = await receiver.push();
    const metrics = new Metrics(portico.renderMetrics());
    const startedNs = BigInt(Math.round((Date.now() - process.uptime() * 1000) * 1e6));
    for (const metric of push.metrics.values()) {
      const { name, kind, temporality, isMonotonic, unit } = metric;
      const type = metrics.families.get(name)?.type;
      assert.equal(kind, type === "counter" ? "sum" : type, name);
      assert.equal(isMonotonic, type === "counter", name);
      if (kind !== "gauge") assert.equal(temporality, 2, name);
      assert.notEqual(metric.description, "", name);
      const expected = /_seconds(_total)?$/.test(name)
        ? "s"
        : /_bytes(_total)?$/.test(name)
          ? "By"
          : undefined;
      assert.equal(unit, expected ?? (name.endsWith("_ratio") ? "1" : ""), name);
      for (const { startNs, timeNs, isInteger } of metric.points) {
        const awayMs = Number(startNs - startedNs) / 1e6;
        assert.ok(Math.abs(awayMs) < 2000, `${name} began ${awayMs} ms from the process`);
        assert.ok(Math.abs(Number(timeNs) / 1e6 - Date.now()) < 10_000, name);
        if (kind !== "histogram") assert.equal(isInteger, unit === "" || unit === "By", name);
      }
    }
    const bounds = push.metrics.get("portico_call_duration_seconds")?.points[0]?.bounds;
    assert.deepEqual(bounds?.slice(0, 3), [0.0005, 0.001, 0.0025]);
  });

  test("say whose they are, with the headers that were given", async () => {
    const { resource, headers, scope } = await receiver.push();
    const { "service.name": name, "service.version": version, "process.pid": pid } = resource;
    assert.deepEqual([name, version, pid, scope], ["edge", portico.version, process.pid, "portico"]);
    assert.match(String(resource["service.instance.id"]), /^[0-9a-f-]{36}$/);
    assert.equal(headers.authorization, "Bearer of-the-collector");
    assert.equal(headers["x-scope-orgid"], "7");
    assert.equal(receiver.mostAtOnce, 1);
  });

  test("come a last time when it ends", async () => {
    const own = await startPortico({ otlpMetricsEndpoint: `${receiver.url}/v1/metrics` });
    await ask(own.base, "GET", "/api/v1/bpmn");
    const before = receiver.pushes.length;
    await own.stop();
    const last = receiver.pushes.slice(before).find(({ resource }) => resource["service.name"] === "portico");
    const [call] = last?.metrics.get("portico_calls_total")?.points ?? [];
    assert.equal(call?.value, 1);
    assert.deepEqual(call.attributes, {
      ...{ method: "portico.bpmn.v1.BPMNService/ListBPMN", protocol: "rest", code: "ok" },
    });
  });

  test("have no failure of the objective in them for readers that a drain told to go", async () => {
    const own = await startPortico({
      ...{ otlpMetricsEndpoint: `${receiver.url}/v1/metrics`, serviceName: "drained" },
    });
    const stream = await fetch(`${own.base}/api/v1/events:subscribe?topics=bpmn/*`);
    const before = receiver.pushes.length;
    await own.stop();
    await stream.text();
    const last = receiver.pushes.slice(before).find(({ resource }) => resource["service.name"] === "drained");
    const [call] = last?.metrics.get("portico_calls_total")?.points ?? [];
    assert.deepEqual(
      [
        call?.attributes.code,
        call?.value,
        last?.metrics.get("portico_stream_duration_seconds")?.points.length,
      ],
      ["unavailable", 1, 1],
    );
    const { method } = call?.attributes ?? {};
    const objective = ["calls", "failures"].map((what) =>
      last?.metrics
        .get(`portico_objective_${what}_total`)
        ?.points.filter(({ attributes, value }) => attributes.method === method || value > 0)
        .map(({ value }) => value),
    );
    assert.deepEqual(objective, [[0], [0]]);
  });
});

interface Pushing {
  /** How long it took, in milliseconds. */
  end(): Promise<number>;
  /** What it wrote, when it is over. */
  said(): string[];
}

/** Pushes every 200 ms. */
async function pushing(
  context: TestContext,
  receiver: { readonly url: string },
  timeoutMs = 30_000,
): Promise<Pushing> {
  const folder = mkdtempSync(path.join(tmpdir(), "portico-push-"));
  const logFile = path.join(folder, "log");
  const telemetry = await createTelemetry({
    ...{ logLevel: "info", logFile, clock, registry: undefined as never },
    push: {
      ...{ endpoint: `${receiver.url}/v1/metrics`, headers: {}, intervalMs: 200, timeoutMs },
      ...{ serviceName: "edge", version: "1.2.3", isWorker: false },
    },
  });
  context.after(() => telemetry.close());
  telemetry.watchSources({ connections: () => 1, webSockets: () => 0, pool: () => undefined });
  let lines: string[] = [];
  return {
    said: () => lines,
    end: async () => {
      const since = performance.now();
      await telemetry.close();
      const tookMs = performance.now() - since;
      lines = readFileSync(logFile, "utf8")
        .trim()
        .split("\n")
        .filter((line) => line !== "");
      rmSync(folder, { recursive: true, force: true });
      return tookMs;
    },
  };
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** Closed with its test, however that ends. */
async function receiverOf(context: TestContext, port?: number): Promise<OtlpReceiver> {
  const receiver = await startOtlpReceiver(port);
  context.after(() => receiver.close());
  return receiver;
}

describe("a receiver", { concurrency: true }, () => {
  test("that is busy gets the same again when it asks for it, nothing meanwhile", async (context) => {
    for (const [status, retryAfter, leastMs] of [
      [429, () => "2", 1990],
      [503, () => new Date(Date.now() + 3000).toUTCString(), 1900],
      [502, () => "soon", 790],
      [504, () => "0", 790],
    ] as const) {
      const receiver = await receiverOf(context);
      receiver.answerWith(() =>
        receiver.pushes.length === 0 ? { status, headers: { "retry-after": retryAfter() } } : { status: 200 },
      );
      const running = await pushing(context, receiver);
      const [first, second] = [await receiver.push(0), await receiver.push(1)];
      const afterMs = second.atMs - first.atMs;
      assert.ok(afterMs >= leastMs, `${status}: after ${afterMs} ms`);
      const [point] = first.metrics.get("portico_event_loop_lag_seconds")?.points ?? [];
      const [again] = second.metrics.get("portico_event_loop_lag_seconds")?.points ?? [];
      assert.equal(again?.timeNs, point?.timeNs);
      await receiver.push(2);
      await running.end();
      assert.deepEqual(running.said(), [], "it is not said where it worked in the end");
      assert.equal(receiver.mostAtOnce, 1);
    }
  });

  test("that asks for more time than a push has is left alone, at the end of the process too", async (context) => {
    const receiver = await receiverOf(context);
    receiver.answerWith(() => ({ status: 503, headers: { "retry-after": "3600" } }));
    const running = await pushing(context, receiver);
    await receiver.push(0);
    await sleep(1500);
    assert.ok((await running.end()) < 3000);
    assert.equal(receiver.pushes.length, 1);
    assert.equal(running.said().length, 1);
  });

  test("that refuses is asked again with the next push, and it is said once until it takes them", async (context) => {
    const receiver = await receiverOf(context);
    receiver.answerWith(() => ({ status: receiver.pushes.length < 4 ? 401 : 200 }));
    const running = await pushing(context, receiver);
    const [first, second] = [await receiver.push(0), await receiver.push(1)];
    assert.notEqual(
      first.metrics.get("process_open_fds")?.points[0]?.timeNs,
      second.metrics.get("process_open_fds")?.points[0]?.timeNs,
    );
    await receiver.push(6);
    await running.end();
    const [warning = "", again = "", ...more] = running.said();
    assert.deepEqual(more, []);
    assert.match(warning, /"level":40.*"reason":"the receiver answers 401","msg":"metrics cannot be pushed"/);
    assert.match(again, /"level":30.*"msg":"metrics are pushed again"/);
  });

  test("that is away costs one line, no start and no end; when it is back it gets everything", async (context) => {
    const port = await freePort();
    const folder = mkdtempSync(path.join(tmpdir(), "portico-push-"));
    const running = await serve(folder, [
      ...["--otlp-metrics-endpoint", `http://user:p4ss@127.0.0.1:${port}/v1/metrics`],
      ...["--otlp-metrics-interval-ms", "200", "--otlp-metrics-timeout-ms", "500"],
    ]);
    context.after(() => running.child.kill("SIGKILL"));
    const said = () => running.lines.filter((line) => line.includes("metrics"));
    await sleep(2500);
    const [warning = "", ...more] = said();
    assert.deepEqual(more, []);
    const place = `"endpoint":"http://127.0.0.1:${port}/v1/metrics","reason":"connect ECONNREFUSED 127.0.0.1:${port}"`;
    assert.ok(warning.includes(place), warning);
    await ask(running.base, "GET", "/api/v1/bpmn");
    const receiver = await receiverOf(context, port);
    const push = await receiver.push();
    assert.equal(push.metrics.get("portico_calls_total")?.points[0]?.value, 1);
    await receiver.close();
    await sleep(1000);
    const since = performance.now();
    running.child.kill("SIGTERM");
    assert.equal(await running.ended, 0);
    assert.ok(performance.now() - since < 3000);
    assert.equal(said().length, 3, "away, back, away");
    rmSync(folder, { recursive: true, force: true });
  });

  test("that never answers holds one push at a time, and the end no longer than a push has", async (context) => {
    const receiver = await receiverOf(context);
    receiver.answerWith(() => "never");
    const running = await pushing(context, receiver, 1000);
    await receiver.push(1);
    assert.equal(receiver.mostAtOnce, 1);
    const tookMs = await running.end();
    assert.ok(tookMs < 1800, `${tookMs} ms`);
    assert.equal(running.said().length, 1);
    assert.match(running.said().join(), /it was not pushed within 1000 ms/);
  });

  test("that does not take everything is told of once, without what looks like a credential", async (context) => {
    const receiver = await receiverOf(context);
    const text = Buffer.from("too old; token=SECRET");
    const partial = Buffer.concat([Buffer.from([8, 3, 18, text.length]), text]);
    receiver.answerWith(() => ({
      status: 200,
      body: Buffer.concat([Buffer.from([10, partial.length]), partial]),
    }));
    const running = await pushing(context, receiver);
    await receiver.push(3);
    await running.end();
    assert.equal(running.said().length, 1);
    assert.match(
      running.said().join(),
      /3 points: too old; token=…","msg":"pushed metrics were not all taken"/,
    );
  });

  test("is found by OpenTelemetry's own variables, which say how it is sent and whose it is", async (context) => {
    const receiver = await receiverOf(context);
    const folder = mkdtempSync(path.join(tmpdir(), "portico-push-"));
    const running = await serve(folder, ["--log-level", "error"], {
      env: {
        ...{ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_METRICS_EXPORTER: "otlp" },
        ...{ OTEL_METRIC_EXPORT_INTERVAL: "300", OTEL_EXPORTER_OTLP_COMPRESSION: "gzip" },
        ...{ OTEL_EXPORTER_OTLP_HEADERS: "a=1", OTEL_EXPORTER_OTLP_METRICS_HEADERS: "a=2,b=3" },
        OTEL_RESOURCE_ATTRIBUTES: "service.instance.id=mine,deployment.environment.name=test",
      },
    });
    context.after(() => running.child.kill("SIGKILL"));
    const { headers, resource } = await receiver.push(0);
    assert.deepEqual([headers["content-encoding"], headers.a, headers.b], ["gzip", "2", "3"]);
    assert.equal(resource["service.instance.id"], "mine");
    assert.equal(resource["deployment.environment.name"], "test");
    running.child.kill("SIGTERM");
    await running.ended;
    rmSync(folder, { recursive: true, force: true });
  });
});
