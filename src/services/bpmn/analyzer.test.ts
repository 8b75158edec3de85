import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { RpcError } from "#rpc/error.ts";
import { watchTurns } from "../../../tests/support/thread-time.ts";
import { createAnalyzer } from "./analyzer.ts";

const model = Buffer.from(
  '<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" id="d"><process id="p"/></definitions>',
);
const reasonOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error: unknown) => (error instanceof RpcError ? error.reason : String(error)),
  );

test("documents that come together are all read, in order", async () => {
  const analyzer = createAnalyzer();
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => analyzer.analyze(model)));
  assert.deepEqual(new Set(outcomes.map((outcome) => outcome.outcome.kind)), new Set(["ok"]));
  await analyzer.close();
});

test("a document over the time limit is refused, and the one behind it is read by a new thread", async () => {
  const analyzer = createAnalyzer({ timeoutMs: 1 });
  assert.equal(await reasonOf(analyzer.analyze(model)), "ANALYSIS_TOO_COSTLY");
  await analyzer.close();
  const patient = createAnalyzer({ timeoutMs: 2000 });
  assert.equal((await patient.analyze(model)).outcome.kind, "ok");
  await patient.close();
});

test("the sixty-sixth document at once is refused, and closing answers those that wait", async () => {
  const analyzer = createAnalyzer();
  const all = Array.from({ length: 66 }, () => reasonOf(analyzer.analyze(model)));
  assert.equal(await all[65], "ANALYSIS_OVERLOADED");
  await analyzer.close();
  const reasons = await Promise.all(all);
  assert.ok(reasons.filter((reason) => reason === "ANALYSIS_STOPPED").length >= 60);
});

test("a document too big for the thread's memory is refused, and the next one is read", async () => {
  const analyzer = createAnalyzer({ memoryMb: 16 });
  const tasks = Array.from({ length: 40_000 }, (_, at) => `<task id="t${at}" name="${"n".repeat(150)}"/>`);
  const big = Buffer.from(
    model.toString().replace('<process id="p"/>', `<process id="p">${tasks.join("")}</process>`),
  );
  assert.equal(await reasonOf(analyzer.analyze(big)), "ANALYSIS_TOO_COSTLY");
  assert.equal((await analyzer.analyze(model)).outcome.kind, "ok");
  await analyzer.close();
});

test("a call that is cancelled while it waits never begins, and is told why", async () => {
  const analyzer = createAnalyzer();
  let cancel: ((error: RpcError) => void) | undefined;
  const first = analyzer.analyze(model);
  const waiting = reasonOf(
    analyzer.analyze(model, { canceledBy: undefined, onCancel: (listener) => (cancel = listener) }),
  );
  cancel?.(new RpcError("canceled", { reason: "CALL_CANCELED", message: "gone" }));
  assert.equal(await waiting, "CALL_CANCELED");
  assert.equal((await first).outcome.kind, "ok");
  await analyzer.close();
});

test("a call that is cancelled while its document is read frees the thread soon", async (t) => {
  const analyzer = createAnalyzer({ timeoutMs: 60_000 });
  const tasks = Array.from({ length: 40_000 }, (_, at) => `<task id="t${at}"/>`);
  const big = Buffer.from(
    model.toString().replace('<process id="p"/>', `<process id="p">${tasks.join("")}</process>`),
  );
  const start = performance.now();
  assert.equal((await analyzer.validate(Uint8Array.from(big), ["lint"])).truncated, true);
  const whole = performance.now() - start;
  let cancel: ((error: RpcError) => void) | undefined;
  const abandoned = reasonOf(
    analyzer.validate(Uint8Array.from(big), ["lint"], {
      canceledBy: undefined,
      onCancel: (listener) => (cancel = listener),
    }),
  );
  const canceled = performance.now();
  cancel?.(new RpcError("canceled", { reason: "CALL_CANCELED", message: "gone" }));
  assert.equal(await abandoned, "CALL_CANCELED");
  assert.equal((await analyzer.analyze(model)).outcome.kind, "ok");
  const next = performance.now() - canceled;
  t.diagnostic(
    `the whole document takes ${Math.round(whole)} ms, the next one came after ${Math.round(next)} ms`,
  );
  assert.ok(next < Math.max(700, whole), `${next} ms of ${whole} ms`);
  await analyzer.close();
});

test("10 MiB move to the thread and back: nobody holds a second copy, and this thread is never busy for 50 ms", async () => {
  const analyzer = createAnalyzer();
  await analyzer.analyze(model);
  const head = Buffer.from(
    model.toString().replace('<process id="p"/></definitions>', '<process id="p"><documentation>'),
  );
  const tail = Buffer.from("</documentation></process></definitions>");
  const file = new Uint8Array(10 * 1024 * 1024).fill(97);
  file.set(head);
  file.set(tail, file.length - tail.length);
  const copy = createHash("sha256").update(file).digest("hex");
  const longestTurnMs = watchTurns();
  const pending = analyzer.analyze(file);
  assert.equal(file.length, 0, "the memory has moved away");
  const { outcome, xml } = await pending;
  const busyMs = longestTurnMs();
  assert.equal(outcome.kind, "ok");
  assert.equal(createHash("sha256").update(xml).digest("hex"), copy);
  assert.ok(busyMs < 50, `${busyMs} ms`);
  await analyzer.close();
});
