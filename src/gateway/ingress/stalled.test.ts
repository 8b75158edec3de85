/** Who counts as a reader that has stopped. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Waiting } from "./stalled.ts";

describe("a client that something waits for", () => {
  const minute = 60_000;
  const looks = (of: (second: number) => { waiting: number; taken: number }, seconds: number): boolean[] => {
    const waiting = new Waiting<string>(minute);
    return Array.from({ length: seconds }, (_, second) => waiting.isStalled("a", of(second), second * 1000));
  };

  test("has stopped when it has taken nothing for so long, and for as long as what waits may take", () => {
    const seen = looks(() => ({ waiting: 500_000, taken: 7 }), 100);
    assert.equal(seen.indexOf(true), 65);
  });

  test("has not stopped while it takes something, though always as much waits", () => {
    assert.ok(!looks((second) => ({ waiting: 16_384, taken: second * 16_384 }), 600).includes(true));
    assert.ok(!looks((second) => ({ waiting: 16_384, taken: Math.floor(second / 50) }), 600).includes(true));
  });

  test("has stopped though more and more is put behind what waits", () => {
    const seen = looks((second) => ({ waiting: 1000 + second, taken: 7 }), 100);
    assert.equal(seen.indexOf(true), 61);
  });

  test("has not stopped where nothing waits", () => {
    assert.ok(!looks((second) => ({ waiting: second % 40 === 0 ? 0 : 10, taken: 7 }), 600).includes(true));
  });
});
