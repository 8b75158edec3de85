import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ArraySplitter, LineSplitter, type Splitter } from "./stream-read.ts";

/** What comes out of a body that arrives cut at these places. */
function split(splitter: Splitter, body: Buffer, cuts: readonly number[]): unknown[] {
  const found: unknown[] = [];
  const take = (texts: Iterable<Uint8Array>): void => {
    for (const text of texts) found.push(JSON.parse(Buffer.from(text).toString("utf8")));
  };
  let from = 0;
  for (const cut of [...new Set(cuts.map((one) => one % (body.length + 1)))].sort((a, b) => a - b)) {
    take(splitter.push(body.subarray(from, cut)));
    from = cut;
  }
  take(splitter.push(body.subarray(from)));
  take(splitter.end());
  return found;
}

const messages = fc.array(fc.jsonValue(), { maxLength: 6 });
const cuts = fc.array(fc.nat(), { maxLength: 20 });

describe("a stream of JSON texts in one body", () => {
  test("an array gives its elements wherever it is cut", () => {
    fc.assert(
      fc.property(messages, cuts, fc.constantFrom(0, 2), (values, places, indent) => {
        const body = Buffer.from(JSON.stringify(values, undefined, indent));
        assert.deepEqual(split(new ArraySplitter(1e6), body, places), JSON.parse(body.toString()));
      }),
      { numRuns: 500 },
    );
  });

  test("lines give their messages wherever they are cut", () => {
    fc.assert(
      fc.property(messages, cuts, fc.constantFrom("\n", "\r\n", "\n\n"), (values, places, end) => {
        const texts = values.map((value) => JSON.stringify(value));
        const body = Buffer.from(texts.join(end));
        assert.deepEqual(
          split(new LineSplitter(1e6), body, places),
          texts.map((text) => JSON.parse(text)),
        );
      }),
      { numRuns: 500 },
    );
  });

  test("a message over the limit is refused before it is complete", () => {
    for (const [splitter, start] of [
      [new LineSplitter(10), ""],
      [new ArraySplitter(10), "["],
    ] as const)
      assert.throws(() => [...splitter.push(Buffer.from(`${start}"0123456789`))], {
        reason: "PAYLOAD_TOO_LARGE",
      });
  });
});
