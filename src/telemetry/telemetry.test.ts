import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Metrics } from "../../tests/support/prometheus-text.ts";
import { CallMetrics } from "./call-metrics.ts";
import { Counters, type Family, Histogram, labels } from "./instruments.ts";
import { linesOf } from "./prometheus.ts";
import { scrubbed } from "./scrub.ts";
import { parseTraceparent } from "./trace.ts";

const observed = {
  code: "ok" as const,
  bytesIn: 10,
  bytesOut: 200,
  messagesIn: 1,
  messagesOut: 1,
};

function rendered(families: readonly Family[]): Metrics {
  return new Metrics(`${linesOf(families).join("\n")}\n`);
}

describe("metrics of calls", () => {
  test("count by method, protocol and code, and spread durations over cumulative buckets", () => {
    const calls = new CallMetrics();
    const method = calls.method("a.S/M");
    for (const durationMs of [0.4, 0.5, 60_000]) method.observe("rest", { ...observed, durationMs });
    method.observe("rest", { ...observed, durationMs: 30, code: "not_found" });
    calls.method("a.S/M").observe("grpc", { ...observed, durationMs: 2 });
    const metrics = rendered(calls.families());
    const rest = { method: "a.S/M", protocol: "rest" };
    assert.equal(metrics.value("portico_calls_total", { ...rest, code: "ok" }), 3);
    assert.equal(metrics.value("portico_calls_total", { ...rest, code: "not_found" }), 1);
    assert.equal(metrics.value("portico_calls_total", { protocol: "grpc" }), 1);
    // A bound belongs to its bucket.
    assert.deepEqual(
      metrics
        .samples("portico_call_duration_seconds_bucket")
        .filter((sample) => sample.labels.protocol === "rest")
        .map((sample) => sample.value),
      [2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4],
    );
    assert.equal(metrics.value("portico_call_duration_seconds_sum", rest)?.toFixed(4), "60.0309");
    assert.equal(metrics.value("portico_sent_bytes_total", rest), 800);
    assert.equal(metrics.value("portico_received_messages_total", rest), 4);
  });

  test("of the objective are there as 0 before the first call, and count what the server failed at", () => {
    const calls = new CallMetrics();
    const method = calls.method("a.S/M");
    const counts = (): unknown[] => {
      const metrics = rendered(calls.families());
      return ["calls", "failures"].map((what) =>
        metrics.samples(`portico_objective_${what}_total`).map(({ labels: of, value }) => [of, value]),
      );
    };
    const of = { method: "a.S/M" };
    assert.deepEqual(counts(), [[[of, 0]], [[of, 0]]]);
    for (const code of ["ok", "not_found", "internal", "unavailable"] as const) {
      method.observe("rest", { ...observed, durationMs: 1, code });
      // Nobody's method is nobody's objective.
      calls.method(undefined).observe("rest", { ...observed, durationMs: 1, code });
    }
    method.observe("grpc", { ...observed, durationMs: 1, code: "deadline_exceeded" });
    // A drain that was planned is neither.
    method.observe("rest", { ...observed, durationMs: 1, code: "unavailable", planned: true });
    assert.deepEqual(counts(), [[[of, 5]], [[of, 3]]]);
  });

  test("have the times of streams apart from those of unary calls", () => {
    const calls = new CallMetrics();
    calls.method("a.S/M").observe("rest", { ...observed, durationMs: 3 });
    calls.method("a.S/Follow", true).observe("rest", { ...observed, durationMs: 7_200_000 });
    calls.opened("rest", true);
    calls.closed("rest", true, 60_000);
    const metrics = rendered(calls.families());
    const methodsOf = (name: string) => metrics.samples(name).map(({ labels: of }) => of.method);
    assert.deepEqual(methodsOf("portico_call_duration_seconds_count"), ["a.S/M"]);
    assert.deepEqual(methodsOf("portico_stream_duration_seconds_count"), ["a.S/Follow"]);
    const bucket = "portico_stream_duration_seconds_bucket";
    assert.deepEqual([metrics.value(bucket, { le: "3600" }), metrics.value(bucket, { le: "14400" })], [0, 1]);
    // What is written to a slow reader is no slow gateway.
    assert.equal(metrics.value("portico_gateway_overhead_seconds_count", { protocol: "rest" }), 0);
  });

  test("have the gateway's own part as a histogram, and what is open", () => {
    const calls = new CallMetrics();
    calls.opened("rest", false);
    calls.opened("rest", false);
    calls.opened("websocket", true);
    calls.closed("rest", false, 0.04);
    const metrics = rendered(calls.families());
    assert.equal(
      metrics.value("portico_gateway_overhead_seconds_bucket", { protocol: "rest", le: "0.000025" }),
      0,
    );
    assert.equal(
      metrics.value("portico_gateway_overhead_seconds_bucket", { protocol: "rest", le: "0.00005" }),
      1,
    );
    assert.equal(metrics.value("portico_calls_open", { protocol: "rest" }), 1);
    assert.equal(metrics.value("portico_streams_open", { protocol: "websocket" }), 1);
  });

  test("are bounded: what is no method is one series, and names too many are one", () => {
    const calls = new CallMetrics();
    for (let count = 0; count < 1000; count += 1)
      calls.method(undefined).observe("rest", { ...observed, durationMs: 1, code: "not_found" });
    const series = rendered(calls.families()).samples("portico_calls_total");
    assert.deepEqual(
      series.map(({ labels: of, value }) => [of.method, value]),
      [["unknown", 1000]],
    );
    const counters = new Counters(3);
    for (const name of ["a", "b", "c", "d", "e", "a"]) counters.add(name);
    assert.deepEqual(
      counters.series("what").map(({ labels: of, value }) => [of.text, value]),
      [
        ['what="a"', 2],
        ['what="b"', 1],
        ['what="c"', 1],
        ['what="other"', 2],
      ],
    );
  });

  test("write labels so that they can be read, whatever is in them", () => {
    const histogram = new Histogram([1]);
    histogram.observe(0.5);
    const series = [histogram.series(labels({ what: 'a"b\\c\nd' }))];
    const metrics = rendered([{ kind: "histogram", name: "odd_seconds", help: "Odd.", series }]);
    assert.equal(metrics.value("odd_seconds_count", { what: 'a\\"b\\\\c\\nd' }), 1);
  });
});

describe("texts of others", () => {
  for (const [name, text] of Object.entries({
    "a key": "no user for ptk_live_ABCDEFGHIJ_abcdefSECRET123456",
    "a token": "bad eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJTRUNSRVQifQ.SECRET-signature",
    "a header": "authorization: Bearer SECRET",
    "basic credentials": "Basic SECRET==",
    "a URL": "cannot reach postgres://portico:SECRET@db:5432/portico",
    "quoted JSON": `Unexpected token 'S', "SECRET" is not valid JSON`,
    "part of quoted JSON": `Unexpected token 'S', ..."password":SECRET"... is not valid JSON`,
    "a form": "grant_type=refresh_token&refresh_token=SECRET&client_secret=SECRET",
    JSON: `{"password":"SECRET","apiKey": "SECRET"}`,
  }))
    test(`are written without ${name}`, () => {
      assert.ok(!scrubbed(text).includes("SECRET"), scrubbed(text));
    });

  test("stay readable, and short", () => {
    const stack = "TypeError: x is not a function\n    at run (src/a.ts:1:2)";
    assert.equal(scrubbed(stack), stack);
    assert.equal(scrubbed("x".repeat(10_000)).length, 4000);
  });
});

describe("traceparent", () => {
  const trace = "0af7651916cd43dd8448eb211c80319c";
  const span = "b7ad6b7169203331";
  test("is read", () => {
    assert.deepEqual(parseTraceparent(`00-${trace}-${span}-01`), {
      traceId: trace,
      parentId: span,
      sampled: true,
    });
    assert.equal(parseTraceparent(`00-${trace}-${span}-02`)?.sampled, false);
  });
  test("of a later version may be longer", () => {
    assert.equal(parseTraceparent(`cc-${trace}-${span}-01-what-comes`)?.traceId, trace);
    assert.equal(parseTraceparent(`cc-${trace}-${span}-01.x`), undefined);
  });
  for (const text of [
    undefined,
    "",
    `00-${trace}-${span}`,
    `00-${trace}-${span}-01-more`,
    `ff-${trace}-${span}-01`,
    `00-${"0".repeat(32)}-${span}-01`,
    `00-${trace}-${"0".repeat(16)}-01`,
    `00-${trace.toUpperCase()}-${span}-01`,
    `0-${trace}-${span}-01`,
    ` 00-${trace}-${span}-01`,
    "x".repeat(100_000),
  ])
    test(`that is not valid is as none: ${JSON.stringify(text)?.slice(0, 60)}`, () => {
      assert.equal(parseTraceparent(text), undefined);
    });
});
