import assert from "node:assert/strict";
import { test } from "node:test";
import { connectionCap } from "./connection-cap.ts";

test("a process carries as many connections as it has files for", () => {
  assert.equal(connectionCap(undefined, 1024), 614);
  assert.equal(connectionCap(undefined, 1_000_000), 20_000);
  assert.equal(connectionCap(undefined, Number.POSITIVE_INFINITY), 20_000);
});

test("32 files are kept back, whatever is asked for", () => {
  assert.equal(connectionCap(undefined, 64), 32);
  assert.equal(connectionCap(5000, 1024), 992);
  assert.equal(connectionCap(900, 1024), 900);
  assert.equal(connectionCap(5000, 1024, 100), 924);
  assert.equal(connectionCap(undefined, 200, 100), 100);
  assert.equal(connectionCap(50_000, Number.POSITIVE_INFINITY), 50_000);
  assert.equal(connectionCap(5, 10), 1);
});
