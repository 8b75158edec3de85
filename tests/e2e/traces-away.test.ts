/** The receiver of traces that is away, busy, refuses, or never answers: one line in the log, spans counted, and an end in time. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { TracerProvider } from "@opentelemetry/sdk-trace";
import { systemClock as clock } from "#std/clock.ts";
import { linesOf } from "#telemetry/prometheus.ts";
import { SpanSender } from "#telemetry/span-sender.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { ask } from "../support/portico.ts";
import { serve } from "../support/process.ts";
import { Metrics } from "../support/prometheus-text.ts";

interface Sending {
  /** That many spans begin and end. */
  spans(count: number): void;
  flush(): Promise<void>;
  /** @returns how long it took, in milliseconds. */
  end(): Promise<number>;
  readonly said: readonly (readonly [message: string, about: Readonly<Record<string, unknown>>])[];
  count(what: "sent" | "dropped"): number | undefined;
}

function sendingTo(url: string): Sending {
  const said: [string, Readonly<Record<string, unknown>>][] = [];
  const say = (about: object, message: string): void => {
    said.push([message, { ...about }]);
  };
  const sender = new SpanSender({
    ...{ endpoint: `${url}/v1/traces`, headers: {}, clock, random: () => 0.5 },
    log: { info: say, warn: say },
  });
  const tracer = new TracerProvider({ spanProcessors: [sender] }).getTracer("test");
  return {
    said,
    spans: (count) => {
      for (let made = 0; made < count; made += 1) tracer.startSpan(`span ${made}`).end();
    },
    flush: () => sender.forceFlush(),
    end: async () => {
      const since = performance.now();
      await sender.shutdown();
      return performance.now() - since;
    },
    count: (what) =>
      new Metrics(`${linesOf(sender.families()).join("\n")}\n`).value(`portico_spans_${what}_total`, {}),
  };
}

async function receiverOf(context: TestContext, port?: number): Promise<OtlpReceiver> {
  const receiver = await startOtlpReceiver(port);
  context.after(() => receiver.close());
  return receiver;
}

const messages = ({ said }: Sending): string[] => said.map(([message]) => message);

describe("a receiver of traces", { concurrency: true }, () => {
  test("that is away is told of once, and what waited is there when it is back", async (context) => {
    const first = await startOtlpReceiver();
    const port = Number(new URL(first.url).port);
    await first.close();
    const sending = sendingTo(first.url);
    assert.deepEqual([sending.count("sent"), sending.count("dropped")], [0, 0]);
    sending.spans(3);
    await sending.flush();
    await sending.flush();
    assert.deepEqual(messages(sending), ["traces cannot be sent"]);
    const [[, about] = []] = sending.said;
    assert.deepEqual(about, {
      endpoint: `${first.url}/v1/traces`,
      reason: `connect ECONNREFUSED 127.0.0.1:${port}`,
    });
    const back = await receiverOf(context, port);
    // By itself, after its pause.
    assert.equal((await back.find(() => true)).length, 3);
    await sending.end();
    assert.deepEqual(messages(sending), ["traces cannot be sent", "traces are sent again"]);
    assert.deepEqual([sending.count("sent"), sending.count("dropped")], [3, 0]);
  });

  test("that is away for long costs spans beyond the queue, which are counted, and no time at the end", async () => {
    const gone = await startOtlpReceiver();
    await gone.close();
    const sending = sendingTo(gone.url);
    sending.spans(3000);
    assert.equal(sending.count("dropped"), 3000 - 2048);
    await sending.flush();
    const tookMs = await sending.end();
    assert.ok(tookMs < 1000, `${tookMs} ms`);
    assert.equal(sending.count("dropped"), 3000);
    assert.deepEqual(messages(sending), ["traces cannot be sent", "spans were lost at the end"]);
    assert.equal(sending.said.at(-1)?.[1].dropped, 3000);
  });

  test("that never answers holds the end no longer than five seconds", async (context) => {
    const receiver = await receiverOf(context);
    receiver.answerSpansWith(() => "never");
    const sending = sendingTo(receiver.url);
    sending.spans(2000);
    const tookMs = await sending.end();
    assert.ok(tookMs > 4500 && tookMs < 6500, `${tookMs} ms`);
    assert.deepEqual(messages(sending), ["traces cannot be sent", "spans were lost at the end"]);
    assert.match(String(sending.said[0]?.[1].reason), /not sent within 5000 ms/);
  });

  test("that refuses is told of, and its spans are counted", async (context) => {
    const receiver = await receiverOf(context);
    receiver.answerSpansWith(() => ({ status: 401 }));
    const sending = sendingTo(receiver.url);
    sending.spans(5);
    await sending.flush();
    assert.deepEqual([sending.count("sent"), sending.count("dropped")], [0, 5]);
    assert.deepEqual(messages(sending), ["traces cannot be sent"]);
    assert.equal(sending.said[0]?.[1].reason, "the receiver answers 401");
    receiver.answerSpansWith(() => ({ status: 200 }));
    sending.spans(2);
    await sending.end();
    assert.deepEqual([sending.count("sent"), sending.count("dropped")], [2, 5]);
    assert.deepEqual(sending.said.at(-1), [
      "traces are sent again",
      { endpoint: `${receiver.url}/v1/traces`, dropped: 5 },
    ]);
  });

  test("that is busy once gets the same spans again, and not before it asked for them", async (context) => {
    const receiver = await receiverOf(context);
    let asked = 0;
    receiver.answerSpansWith(() => {
      asked += 1;
      return asked === 1 ? { status: 503, headers: { "retry-after": "2" } } : { status: 200 };
    });
    const sending = sendingTo(receiver.url);
    sending.spans(600);
    await sending.flush();
    const since = performance.now();
    await receiver.find(() => true);
    assert.ok(performance.now() - since > 1500);
    await sending.end();
    assert.equal(receiver.spans.length, 600);
    assert.deepEqual([sending.count("sent"), sending.count("dropped")], [600, 0]);
  });

  test("that does not take everything is told of once", async (context) => {
    const receiver = await receiverOf(context);
    const text = Buffer.from("too old");
    const partial = Buffer.concat([Buffer.from([8, 3, 18, text.length]), text]);
    const body = Buffer.concat([Buffer.from([10, partial.length]), partial]);
    receiver.answerSpansWith(() => ({ status: 200, body }));
    const sending = sendingTo(receiver.url);
    for (const _ of [1, 2]) {
      sending.spans(5);
      await sending.flush();
    }
    await sending.end();
    assert.deepEqual([sending.count("sent"), sending.count("dropped")], [4, 6]);
    assert.deepEqual(messages(sending), ["spans were not all taken"]);
  });

  for (const [what, flag] of [
    ["refuses connections", "http://127.0.0.1:9"],
    ["never answers", ""],
  ] as const)
    test(`that ${what} does not hold up the end of a process, which says so once`, async (context) => {
      const receiver = await receiverOf(context);
      receiver.answerSpansWith(() => "never");
      const folder = mkdtempSync(path.join(tmpdir(), "portico-traces-"));
      const running = await serve(folder, [
        ...["--database-url", "memory:", "--log-level", "info", "--trace-ratio", "1"],
        ...["--otlp-endpoint", flag === "" ? receiver.url : flag],
      ]);
      context.after(() => {
        running.child.kill("SIGKILL");
        rmSync(folder, { recursive: true, force: true });
      });
      for (let made = 0; made < 5; made += 1) await ask(running.base, "GET", "/api/v1/bpmn/none");
      await sleep(1500);
      const { text } = await ask(running.base, "GET", "/metrics");
      assert.equal(new Metrics(text).value("portico_spans_dropped_total", {}), 0);
      const since = performance.now();
      running.child.kill("SIGTERM");
      assert.equal(await running.ended, 0);
      const tookMs = performance.now() - since;
      // The drain's notice and the five seconds, where there is somebody to wait for.
      assert.ok(tookMs < (flag === "" ? 8000 : 3500), `${tookMs} ms`);
      const said = running.lines.filter((line) => line.includes('"level":40'));
      assert.equal(said.length, 2, said.join("\n"));
      assert.match(String(said[0]), /"traces cannot be sent"/);
      assert.match(String(said[1]), /"dropped":5,"msg":"spans were lost at the end"/);
    });
});
