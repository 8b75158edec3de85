/** Our writer of the binary format against protobuf-es's: the same bytes for everything, and the same words where there are none. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  create,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonValue,
  type Message,
  toBinary,
} from "@bufbuild/protobuf";
import fc from "fast-check";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { encodeBinary, planOf, writeBinary } from "#gateway/codec/binary-writer.ts";
import { ByteSink } from "#std/byte-sink.ts";
import { edges, specimens } from "../matrix/equivalence/arbitrary.ts";
import { echoDescriptors } from "../support/echo.ts";
import { jsonOf } from "./json-of.ts";

const { registry } = loadCatalog({ descriptorSet: echoDescriptors() });
const message = (name: string): DescMessage => registry.getMessage(`test.v1.${name}`)!;
const specimen = message("Specimen");
const kinds = message("Kinds");
const legacy = message("Legacy");
const implicit = message("ImplicitFields");
const numRuns = 500;

const sink = new ByteSink();

/** What a plan writes with nothing behind it. */
function planned(desc: DescMessage, value: Message): Buffer {
  sink.at = 0;
  planOf(desc)(sink, value);
  return sink.take();
}

function holds(desc: DescMessage, value: Message): void {
  const wanted = Buffer.from(toBinary(desc, value)).toString("hex");
  assert.equal(planned(desc, value).toString("hex"), wanted);
  assert.equal(Buffer.from(encodeBinary(desc, value)).toString("hex"), wanted);
}

/** The bytes, or what is said instead. */
function outcome(run: () => Uint8Array): string {
  try {
    return Buffer.from(run()).toString("hex");
  } catch (error) {
    assert.ok(error instanceof Error);
    return `${error.name}: ${error.message}`;
  }
}

function same(desc: DescMessage, value: unknown): string {
  const wanted = outcome(() => toBinary(desc, value as Message));
  assert.equal(
    outcome(() => encodeBinary(desc, value as Message)),
    wanted,
  );
  return wanted;
}

const read = (desc: DescMessage, json: JsonValue): Message => fromJson(desc, json, { registry });
const like = (desc: DescMessage, fields: object): Message => create(desc, fields as never);

describe("a plan", () => {
  const types = ["Everything", "Kinds", "ImplicitFields", "Lists", "Maps", "UpdateRequest"].map(message);
  for (const desc of types)
    test(`writes ${desc.name} as protobuf-es does`, () => {
      fc.assert(
        fc.property(jsonOf(desc, 3), (json) => holds(desc, read(desc, json))),
        { numRuns },
      );
    });

  test("writes groups, extensions and what is required as protobuf-es does", () => {
    fc.assert(
      fc.property(specimens(specimen), (json) => holds(specimen, read(specimen, json))),
      { numRuns },
    );
  });

  for (const [index, json] of edges.entries())
    test(`writes edge ${index} as protobuf-es does`, () => holds(specimen, read(specimen, json)));

  test("writes texts of every length and width, whole or broken", () => {
    // Halves of pairs are among its units.
    const units = fc.string({ unit: "binary", maxLength: 200 });
    const broken = fc.string({
      unit: fc.constantFrom("a", "é", "€", "😀", "\ud800", "\udc00"),
      maxLength: 60,
    });
    const long = fc
      .tuple(
        fc.constantFrom("a", "é", "€", "\ud800"),
        fc.constantFrom(15, 16, 42, 43, 63, 64, 127, 128, 5461, 5462, 16_383, 16_384, 30_000),
      )
      .map(([unit, count]) => unit.repeat(count));
    fc.assert(
      fc.property(fc.oneof(units, broken, long), (text) =>
        holds(kinds, like(kinds, { stringExplicit: text, strings: [text, "after"] })),
      ),
      { numRuns },
    );
  });

  test("writes a large message after small ones, and small ones after it", () => {
    const sizes = [0, 100, 200_000, 1, 20_000, 5_000_000, 3];
    for (const size of sizes)
      holds(
        kinds,
        like(kinds, {
          stringExplicit: "é".repeat(size),
          blobs: [new Uint8Array(size), new Uint8Array(1)],
          child: { child: { stringExplicit: "a".repeat(size) } },
          doubles: Array(size % 10_000).fill(-0),
        }),
      );
  });

  test("writes 64-bit integers held as digits or as numbers", () => {
    for (const value of ["0", "", "1", "18446744073709551615", "0x10", " 7 "])
      holds(kinds, like(kinds, { textImplicit: value }));
    for (const value of [0, 1, -1, 2 ** 52]) holds(kinds, { ...like(kinds, {}), int64s: [value] } as Message);
  });

  test("writes fields that it does not know behind those it does", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 30 }), (bytes) => {
        let held: Message;
        try {
          held = fromBinary(kinds, bytes);
        } catch {
          return;
        }
        holds(kinds, held);
      }),
      { numRuns: 3000 },
    );
  });
});

/** What messages hold only by mistake, and what JavaScript makes of it. */
const odd = fc.oneof(
  fc.constantFrom<unknown>(
    ...[undefined, null, true, false, "", "0", "7", "-1", "1.5", "x", 0, -0, 1, -1, 1.5, Number.NaN],
    ...[Number.POSITIVE_INFINITY, 2 ** 31, -(2 ** 31) - 1, 2 ** 32, 2 ** 53, 1e300, 3.5e38, 0n, 5n, -5n],
    ...[2n ** 63n, -(2n ** 63n) - 1n, 2n ** 64n, [], {}, [0], ["a"], [undefined], [null], { a: undefined }],
    ...[{ case: "choiceInt64", value: 5 }, { case: "choiceKinds" }, { case: "choiceOpen", value: "1" }],
    ...[{ case: "choiceStruct", value: { a: undefined, b: 5n } }, new Uint8Array(3), new ArrayBuffer(3)],
    ...[{ "": 1 }, { "0x10": 1 }, { "1.5": 2 }, { "-0": 3 }, { " 1": 4 }, { x: "y" }, { true: {} }],
    ...[new Uint16Array(2), new Date(0), Symbol.iterator, () => 1, { $typeName: "test.v1.Kinds" }],
  ),
  fc.anything({ withBigInt: true, withTypedArray: true, maxDepth: 2 }),
);

describe("what a plan does not expect", () => {
  for (const desc of [kinds, legacy, implicit, message("Everything"), message("Maps"), message("Lists")])
    test(`is written, or refused, as protobuf-es does it: ${desc.name}`, () => {
      const names = [...desc.members.map((member) => member.localName), "$typeName"];
      fc.assert(
        fc.property(fc.constantFrom(...names), odd, (name, value) => {
          const held = like(desc, desc === legacy ? { id: "a" } : {}) as unknown as Record<string, unknown>;
          held[name] = value;
          same(desc, held);
        }),
        { numRuns: 4000 },
      );
    });

  const refused: readonly (readonly [string, DescMessage, unknown, RegExp])[] = [
    ["a required field that is not there", legacy, like(legacy, {}), /required field not set/],
    ["one within a message", legacy, like(specimen, { legacy: {} }), /cannot use/],
    ["a message of another type", kinds, like(legacy, { id: "a" }), /cannot use field/],
    ["an integer out of range", kinds, like(kinds, { int32Explicit: 2 ** 31 }), /invalid int32/],
    ["a long out of range", kinds, like(kinds, { int64Explicit: 2n ** 63n }), /invalid int64/],
    ["a float out of range", kinds, like(kinds, { floatExplicit: 1e39 }), /invalid float32/],
    ["a key out of range", kinds, like(kinds, { uint32Int32: { "-1": 1 } }), /invalid uint32/],
    ["no message at all", kinds, undefined, /TypeError/],
  ];
  for (const [what, desc, value, said] of refused)
    test(`${what} is refused in protobuf-es's words`, () => assert.match(same(desc, value), said));

  test("leaves what was there before it as it was", () => {
    const before = new ByteSink();
    before.set(Buffer.from("before"));
    assert.throws(() => writeBinary(before, legacy, like(legacy, {})), /required/);
    const mistaken = { ...like(kinds, {}), stringExplicit: "a", int32Explicit: "7" };
    writeBinary(before, kinds, mistaken as never);
    assert.deepEqual(
      before.take(),
      Buffer.concat([Buffer.from("before"), toBinary(kinds, mistaken as never)]),
    );
  });
});

test("what was encoded stays as it is when more is encoded", () => {
  for (const size of [10, 40_000, 100_000]) {
    const [first, second] = ["a", "b"].map((letter) => like(kinds, { stringExplicit: letter.repeat(size) }));
    const bytes = encodeBinary(kinds, first!);
    encodeBinary(kinds, second!);
    assert.deepEqual(Buffer.from(bytes), Buffer.from(toBinary(kinds, first!)));
  }
});
