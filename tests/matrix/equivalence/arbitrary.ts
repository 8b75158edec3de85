/** Messages of every kind of field, and such as no method takes. */
import type { DescMessage, JsonObject, JsonValue } from "@bufbuild/protobuf";
import fc from "fast-check";
import { jsonOf } from "../../codec/json-of.ts";

const inner = fc.constantFrom<JsonValue>(
  {},
  { stringExplicit: "in an extension" },
  { child: { int64s: ["1"] } },
);

/** Of editions and of proto2, by the names that ProtoJSON gives them. */
const extensions = fc.record<Record<string, JsonValue>>(
  {
    "[test.v1.extension_int64]": fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n).map(String),
    "[test.v1.extension_kinds]": inner,
    "[test.v1.extension_strings]": fc.array(fc.string(), { maxLength: 3 }),
    "[test.v1.extension_wrapper]": fc.string(),
    "[test.v1.extension_struct]": fc.constantFrom({}, { a: [null, -1.5] }),
  },
  { requiredKeys: [] },
) as fc.Arbitrary<JsonObject>;

const legacyExtensions = fc.record<Record<string, JsonValue>>(
  {
    "[test.v1.legacy_number]": fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n).map(String),
    "[test.v1.legacy_levels]": fc.array(fc.constantFrom("LOW", "HIGH"), { maxLength: 3 }),
    "[test.v1.legacy_inner]": fc.constantFrom({ id: "" }, { id: "deep", item: [{ count: -1 }] }),
  },
  { requiredKeys: [] },
) as fc.Arbitrary<JsonObject>;

const checked = fc.record({
  name: fc.string({ maxLength: 5 }),
  numbers: fc.array(fc.integer({ min: 1 }), { maxLength: 3 }),
}) as fc.Arbitrary<JsonObject>;

/** ProtoJSON of a Specimen that the contract allows. */
export function specimens(desc: DescMessage): fc.Arbitrary<JsonValue> {
  const of = (name: string): fc.Arbitrary<JsonObject> =>
    jsonOf(desc.fields.find((field) => field.name === name)!.message!, 2) as fc.Arbitrary<JsonObject>;
  const optional = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
    fc.option(one, { nil: undefined });
  return fc
    .record({
      kinds: optional(
        fc.tuple(of("kinds"), optional(extensions)).map(([own, more]) => ({ ...own, ...more })),
      ),
      legacy: optional(
        fc
          .tuple(fc.string(), of("legacy"), optional(legacyExtensions))
          // What is required is there, also where null says that it is not.
          .map(([id, own, more]) => ({ ...own, ...more, id })),
      ),
      everything: optional(of("everything")),
      checked: optional(checked),
    })
    .map(
      (fields) =>
        Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as JsonValue,
    );
}

const any = (name: string, value: JsonValue): JsonObject => ({
  "@type": `type.googleapis.com/google.protobuf.${name}`,
  value,
});

/** Values at the edges, which chance may miss. */
export const edges: JsonValue[] = [
  {
    kinds: {
      doubleExplicit: -0,
      floatExplicit: -0,
      doubles: [-0, 0],
      doubleValue: -0,
      values: [-0],
      struct: { a: [-0] },
    },
  },
  {
    kinds: {
      doubles: ["NaN", "Infinity", "-Infinity"],
      floats: ["NaN"],
      doubleValue: "NaN",
      floatValue: "-Infinity",
    },
  },
  {
    kinds: {
      doubles: [1.7976931348623157e308, 5e-324],
      floats: [3.4028234663852886e38, 1.401298464324817e-45],
    },
  },
  {
    kinds: {
      int64Explicit: "-9223372036854775808",
      uint64Explicit: "18446744073709551615",
      int64s: ["9223372036854775807"],
    },
  },
  { kinds: { int32Explicit: -2147483648, uint32Explicit: 4294967295, openExplicit: 77, opens: [-1, 5] } },
  {
    kinds: {
      value: null,
      nulls: [null, null],
      values: [null],
      stringValueMap: { a: null },
      choiceNull: null,
    },
  },
  { kinds: { kinds: [{}, {}], child: {}, delimited: {}, empty: {}, boolKinds: { true: {} }, any: {} } },
  {
    kinds: {
      stringString: { "": "", ["__proto__"]: "a", constructor: "b" },
      int64Float: { "-9223372036854775808": 1 },
    },
  },
];

edges.push({
  kinds: {
    any: any("Any", any("BoolValue", true)),
    anys: [
      any("Timestamp", "0001-01-01T00:00:00Z"),
      any("Duration", "-0.5s"),
      any("Struct", { a: [null, { b: "c" }] }),
      any("Value", "text"),
      any("FieldMask", "a,bC.d"),
      any("Int64Value", "-9223372036854775808"),
      { "@type": "type.googleapis.com/google.protobuf.Empty" },
    ],
  },
});

/** What its contract forbids: readable, and refused by what checks it. */
export const forbidden: fc.Arbitrary<JsonObject> = fc
  .record({
    name: fc.string({ minLength: 3, maxLength: 9 }),
    numbers: fc.array(fc.integer({ min: -3, max: 3 }), { maxLength: 4 }),
  })
  .filter(({ name, numbers }) => [...name].length > 5 || numbers.some((number) => number <= 0))
  .map((fields) => ({ checked: fields }));
