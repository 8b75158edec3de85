import assert from "node:assert/strict";
import { test } from "node:test";
import { RpcError } from "#rpc/error.ts";
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
