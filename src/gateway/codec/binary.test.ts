import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { createFileRegistry, type DescMessage, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { compileProto } from "../../../tests/support/compile-proto.ts";
import { threadMs } from "../../../tests/support/thread-time.ts";
import { decodeBinary } from "./binary.ts";

const limits = { maxElements: 1000, maxDepth: 100 };
let outer: DescMessage;
before(() => {
  const set = compileProto(
    "a.proto",
    `edition = "2023";
    package a;
    message Outer {
      repeated Outer many = 1;
      map<int32, Outer> map = 2;
      repeated double doubles = 3;
      repeated int32 ints = 4;
      repeated int32 apart = 5 [features.repeated_field_encoding = EXPANDED];
      Outer group = 6 [features.message_encoding = DELIMITED];
      bytes data = 7;
      map<int32, string> texts = 8;
    }`,
  );
  outer = createFileRegistry(fromBinary(FileDescriptorSetSchema, set)).getMessage("a.Outer")!;
});

const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
const field = (number: number, wireType: number): number[] => varint(number * 8 + wireType);
const sized = (number: number, content: readonly number[]): number[] => [
  ...field(number, 2),
  ...varint(content.length),
  ...content,
];
const times = (count: number, piece: readonly number[]): number[] =>
  Array<readonly number[]>(count).fill(piece).flat();

/** What is sent, and whether it is more than a thousand elements. */
const rows: readonly (readonly [string, () => number[], boolean])[] = [
  ["messages of nothing", () => times(1001, sized(1, [])), true],
  ["a thousand of them", () => times(1000, sized(1, [])), false],
  ["messages in a message", () => sized(1, times(1000, sized(1, []))), true],
  ["messages in the value of a map", () => sized(2, sized(2, times(1000, sized(1, [])))), true],
  ["entries of a map", () => times(1001, sized(2, [8, 1])), true],
  ["entries of a map of scalars", () => times(400, sized(8, [8, 1, 0x12, 0])), true],
  ["packed numbers of eight bytes", () => sized(3, times(1001, [0, 0, 0, 0, 0, 0, 0, 1])), true],
  ["few packed numbers of eight bytes each", () => sized(3, times(500, [0, 0, 0, 0, 0, 0, 0, 1])), false],
  ["packed varints", () => sized(4, times(1001, [1])), true],
  ["few long packed varints", () => sized(4, times(300, [255, 255, 255, 255, 7])), false],
  ["packed numbers where they are declared apart", () => sized(5, times(1001, [1])), true],
  ["messages in a group", () => [...field(6, 3), ...times(1000, sized(1, [])), ...field(6, 4)], true],
  [
    "behind a group that is unknown",
    () => [...field(99, 3), ...field(99, 4), ...sized(1, times(1000, sized(1, [])))],
    true,
  ],
  [
    "behind a length of more bytes than it needs",
    () => [0x3a, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, ...times(1000, sized(1, []))],
    true,
  ],
  [
    "behind a tag of more bytes than it needs",
    () => [0xba, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0, ...times(1000, sized(1, []))],
    true,
  ],
  ["unknown fields", () => times(1001, [...field(99, 0), 1]), true],
  ["bytes, whatever is in them", () => sized(7, times(2000, sized(1, []))), false],
];

describe("elements of a binary message", () => {
  for (const [what, make, many] of rows)
    test(`${what}: ${many ? "too many" : "good"}`, () => {
      const bytes = Uint8Array.from(make());
      if (many) assert.throws(() => decodeBinary(outer, bytes, limits), { reason: "TOO_MANY_ELEMENTS" });
      else assert.deepEqual(decodeBinary(outer, bytes, limits), fromBinary(outer, bytes));
    });

  test("two million in 4 MiB are refused in milliseconds", () => {
    const bytes = new Uint8Array(4 * 1024 * 1024);
    for (let at = 0; at < bytes.length; at += 2) bytes[at] = 10;
    const times = Array.from({ length: 5 }, () => {
      const started = threadMs();
      assert.throws(() => decodeBinary(outer, bytes, { maxElements: 100_000, maxDepth: 100 }), {
        reason: "TOO_MANY_ELEMENTS",
      });
      return threadMs() - started;
    });
    assert.ok(Math.min(...times) < 20, `${times.join(", ")} ms`);
  });
});
