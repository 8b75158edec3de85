/** graphql-http's own audit of servers; it needs nothing but npm. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { graphql } from "./suites/graphql.ts";
import { judge } from "./suites/judge.ts";

test("every audit of GraphQL over HTTP is passed, recommendations too", async () => {
  const outcome = await graphql.run();
  assert.deepEqual(judge(graphql, outcome), []);
  assert.equal(outcome.passed, 61);
});
