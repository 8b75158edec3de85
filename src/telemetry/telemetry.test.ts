import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Call } from "#rpc/call.ts";
import { CallMetrics } from "./call-metrics.ts";
import { parseTraceparent } from "./trace.ts";

const call = (name: string, protocol = "rest"): Call => ({ method: { name }, protocol }) as unknown as Call;

describe("metrics", () => {
  test("count by method, protocol and code, and spread durations over cumulative buckets", () => {
    const metrics = new CallMetrics();
    metrics.observe(call("a.S/M"), "ok", 0.4);
    metrics.observe(call("a.S/M"), "ok", 0.5); // a bound belongs to its bucket
    metrics.observe(call("a.S/M"), "not_found", 30);
    metrics.observe(call("a.S/M"), "ok", 60_000);
    metrics.observe(call("a.S/M", "grpc"), "ok", 2);
    const lines = metrics.render().split("\n");
    const of = (prefix: string) => lines.filter((line) => line.startsWith(prefix));
    assert.deepEqual(of("portico_calls_total"), [
      'portico_calls_total{method="a.S/M",protocol="rest",code="ok"} 3',
      'portico_calls_total{method="a.S/M",protocol="rest",code="not_found"} 1',
      'portico_calls_total{method="a.S/M",protocol="grpc",code="ok"} 1',
    ]);
    const rest = of('portico_call_duration_seconds_bucket{method="a.S/M",protocol="rest"');
    assert.deepEqual(
      rest.map((line) => / (\d+)$/.exec(line)?.[1]),
      ["2", "2", "2", "2", "2", "2", "3", "3", "3", "3", "3", "3", "3", "3", "4"],
    );
    assert.match(rest.at(-1) ?? "", /le="\+Inf"/);
    assert.deepEqual(of('portico_call_duration_seconds_sum{method="a.S/M",protocol="rest"}'), [
      'portico_call_duration_seconds_sum{method="a.S/M",protocol="rest"} 60.0309',
    ]);
    assert.deepEqual(of('portico_call_duration_seconds_count{method="a.S/M",protocol="grpc"}'), [
      'portico_call_duration_seconds_count{method="a.S/M",protocol="grpc"} 1',
    ]);
  });

  test("are in the text format: every series follows its help and type, and the text ends with a line end", () => {
    const metrics = new CallMetrics();
    metrics.observe(call("a.S/M"), "ok", 1);
    const text = metrics.render();
    assert.ok(text.endsWith("\n"));
    const declared = new Set<string>();
    for (const line of text.trimEnd().split("\n")) {
      const comment = /^# (HELP|TYPE) ([a-z_]+) (.+)$/.exec(line);
      if (comment !== null) {
        declared.add(String(comment[2]));
        continue;
      }
      const name = /^([a-z_]+)(?:\{(?:[a-z]+="[^"\\]*",?)+\})? -?\d+(\.\d+)?$/.exec(line)?.[1];
      assert.ok(name !== undefined, line);
      assert.ok(declared.has(name.replace(/_(bucket|sum|count)$/, "")), line);
    }
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
