import assert from "node:assert/strict";
import { test } from "node:test";
import { heapOptions } from "./heap.ts";

const mebi = 1024 * 1024;
const machine = { limit: 1000 * mebi, total: 64_000 * mebi, usual: 520 * mebi, given: "" };

test("workers share 70 % of a container's memory for their heaps", () => {
  assert.deepEqual(heapOptions(2, machine), ["--max-old-space-size=350"]);
  assert.deepEqual(heapOptions(7, machine), ["--max-old-space-size=100"]);
});

test("and none takes more than it would alone", () => {
  assert.deepEqual(heapOptions(2, { ...machine, limit: 32_000 * mebi, usual: 4288 * mebi }), [
    "--max-old-space-size=4288",
  ]);
});

test("where nobody limits the memory, or the operator says how large a heap is, nothing is said", () => {
  for (const limit of [0, 64_000 * mebi, 2 ** 64])
    assert.deepEqual(heapOptions(2, { ...machine, limit }), []);
  for (const given of ["--max-old-space-size=100", "--max_old_space_size=100", "--max-heap-size=9"])
    assert.deepEqual(heapOptions(2, { ...machine, given }), []);
});
