/** MCP's own conformance suite; it needs nothing but npm. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { judge } from "./suites/judge.ts";
import { mcp } from "./suites/mcp.ts";

test("every server scenario of both revisions passes, or is known and has its reason", async () => {
  const outcome = await mcp.run();
  assert.deepEqual(judge(mcp, outcome), []);
  assert.ok(outcome.passed >= 60, `${outcome.passed} checks passed`);
});
