import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ByteSink } from "./byte-sink.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("a byte sink", () => {
  const integers: readonly (readonly [number, string])[] = [
    [0, "00"],
    [127, "7f"],
    [128, "8001"],
    [16_383, "ff7f"],
    [16_384, "808001"],
    [2 ** 31, "8080808008"],
    [2 ** 32 - 1, "ffffffff0f"],
  ];
  for (const [value, bytes] of integers)
    test(`writes ${value} in groups of seven bits`, () => {
      const sink = new ByteSink();
      sink.room(5);
      sink.varint(value);
      assert.equal(hex(sink.take()), bytes);
    });

  test("gives the pieces between two takes, of whatever size", () => {
    const sink = new ByteSink();
    const sizes = [0, 1, 30_000, 40_000, 65_536, 7, 300_000, 70_000, 1, 0];
    const taken = sizes.map((size, index) => {
      for (let left = size; left > 0; left -= 10_000)
        sink.set(new Uint8Array(Math.min(left, 10_000)).fill(index));
      return sink.take();
    });
    // All of them are looked at when the memory has been used for the others.
    assert.deepEqual(
      taken.map((piece) => [piece.length, [...new Set(piece)]]),
      sizes.map((size, index) => [size, size === 0 ? [] : [index]]),
    );
  });

  test("keeps what is written when it grows", () => {
    const sink = new ByteSink();
    const written: Buffer[] = [];
    for (let size = 1; size < 400_000; size *= 3) {
      const chunk = Buffer.alloc(size, size % 251);
      sink.set(chunk);
      sink.room(8);
      sink.view.setFloat64(sink.at, size, true);
      sink.at += 8;
      const number = Buffer.alloc(8);
      number.writeDoubleLE(size);
      written.push(chunk, number);
    }
    assert.ok(sink.take().equals(Buffer.concat(written)));
  });

  test("does not keep the memory of a large piece", () => {
    const sink = new ByteSink();
    sink.set(new Uint8Array(5_000_000));
    sink.take();
    assert.equal(sink.left, 0);
    sink.set(new Uint8Array(5_000_000));
    sink.at = 1;
    assert.equal(sink.take().buffer.byteLength < 1_000_000, true);
    assert.equal(sink.left, 0);
  });

  for (const unit of ["a", "é", "€", "😀", "\ud800", "a\udc00"])
    test(`writes ${JSON.stringify(unit)} in UTF-8, few and many`, () => {
      const sink = new ByteSink();
      for (const count of [1, 5, 1000, 1024, 40_000, 1]) {
        const text = unit.repeat(count);
        sink.text(text);
        assert.ok(sink.take().equals(new TextEncoder().encode(text)), `${count}`);
      }
    });
});
