/** Arbitrary ProtoJSON of any message type, made from its descriptor. */
import { type DescField, type DescMessage, type JsonValue, ScalarType } from "@bufbuild/protobuf";
import fc from "fast-check";

type Arbitrary = fc.Arbitrary<JsonValue>;

const long = (low: bigint, high: bigint): Arbitrary => fc.bigInt(low, high).map(String);
const signed = fc.oneof(
  long(-(2n ** 63n), 2n ** 63n - 1n),
  fc.integer().map((value): JsonValue => value),
);
const unsigned = fc.oneof(long(0n, 2n ** 64n - 1n), fc.nat());
const int32 = fc.oneof(
  fc.integer(),
  fc.integer().map((value): JsonValue => String(value)),
);
const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const words = fc.constantFrom("NaN", "Infinity", "-Infinity");
const float = fc.oneof(fc.float({ noNaN: true, noDefaultInfinity: true }), words);
const double = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), words);
const text = fc.string({ unit: "grapheme", maxLength: 12 });
const base64 = fc
  .tuple(fc.uint8Array({ maxLength: 9 }), fc.constantFrom("base64", "base64url") as fc.Arbitrary<"base64">)
  .map(([bytes, alphabet]) => Buffer.from(bytes).toString(alphabet));

const free = fc.jsonValue({ maxDepth: 3 }) as Arbitrary;
const freeObject = fc.dictionary(fc.oneof(text, fc.constantFrom("__proto__", "constructor")), free, {
  maxKeys: 3,
}) as Arbitrary;
const timestamp = fc
  .tuple(
    fc.date({
      min: new Date("0001-01-01T00:00:00Z"),
      max: new Date("9999-12-31T23:59:59Z"),
      noInvalidDate: true,
    }),
    fc.constantFrom("Z", "+00:00", "-00:00"),
  )
  .map(([date, zone]) => date.toISOString().replace("Z", zone))
  .filter((written) => !written.startsWith("+"));
const duration = fc
  .tuple(fc.integer({ min: -315_576_000, max: 315_576_000 }), fc.constantFrom("", ".5", ".000000001"))
  .map(([seconds, fraction]) => `${seconds}${fraction}s`);
const mask = fc
  .array(fc.constantFrom("text", "child.text", "twoWords", "a.bC.d"), { maxLength: 3 })
  .map((paths) => paths.join(","));

function scalar(type: ScalarType): Arbitrary {
  switch (type) {
    case ScalarType.STRING:
      return text;
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.BYTES:
      return base64;
    case ScalarType.FLOAT:
      return float;
    case ScalarType.DOUBLE:
      return double;
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return signed;
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return unsigned;
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return uint32;
    default:
      return int32;
  }
}

function key(type: ScalarType): fc.Arbitrary<string> {
  switch (type) {
    case ScalarType.STRING:
      return fc.oneof(text, fc.constantFrom("__proto__", "toString"));
    case ScalarType.BOOL:
      return fc.constantFrom("true", "false");
    default:
      return fc.nat().map(String);
  }
}

const known: Readonly<Record<string, Arbitrary>> = {
  Timestamp: timestamp,
  Duration: duration,
  FieldMask: mask,
  Struct: freeObject,
  Value: free,
  ListValue: fc.array(free, { maxLength: 3 }),
};

const wrapped: Readonly<Record<string, Arbitrary>> = {
  ...{
    StringValue: text,
    BytesValue: base64,
    BoolValue: fc.boolean(),
    Int32Value: int32,
    UInt32Value: uint32,
  },
  ...{ Int64Value: signed, UInt64Value: unsigned, FloatValue: float, DoubleValue: double },
};
const anyOf = (arbitraries: Readonly<Record<string, Arbitrary>>): Arbitrary[] =>
  Object.entries(arbitraries).map(([name, value]) =>
    fc
      .tuple(value, fc.boolean())
      .map(
        ([inner, first]): JsonValue =>
          first
            ? { "@type": `type.googleapis.com/google.protobuf.${name}`, value: inner }
            : { value: inner, "@type": `type.googleapis.com/google.protobuf.${name}` },
      ),
  );
/** Types with a JSON of their own are under `value`; an `Any` may hold another. */
const { any } = fc.letrec<{ any: JsonValue }>((tie) => ({
  any: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constant({}),
    ...anyOf({ ...known, ...wrapped }),
    text.map((value) => ({ left: value, "@type": "type.googleapis.com/test.v1.Everything" })),
    // It has no JSON of its own, and no fields.
    fc.constant({ "@type": "type.googleapis.com/google.protobuf.Empty" }),
    ...anyOf({ Any: tie("any") }),
  ),
}));

function message(desc: DescMessage, depth: number): Arbitrary {
  if (!desc.typeName.startsWith("google.protobuf.")) return jsonOf(desc, depth - 1);
  const name = desc.typeName.slice("google.protobuf.".length);
  if (name === "Any") return any;
  if (known[name] !== undefined) return known[name];
  return name.endsWith("Value") ? scalar(desc.fields[0]!.scalar!) : fc.constant({});
}

function single(field: DescField, depth: number): Arbitrary {
  if (field.scalar !== undefined) return scalar(field.scalar);
  if (field.enum !== undefined) {
    if (field.enum.typeName === "google.protobuf.NullValue") return fc.constant(null);
    const values = field.enum.values.flatMap<JsonValue>(({ name, number }) => [name, number]);
    return field.enum.open ? fc.oneof(fc.constantFrom(...values), fc.integer()) : fc.constantFrom(...values);
  }
  return message(field.message!, depth);
}

function fieldJson(field: DescField, depth: number): Arbitrary {
  const one = single(field, depth);
  if (field.fieldKind === "list") return fc.array(one, { maxLength: 3 });
  if (field.fieldKind === "map") return fc.dictionary(key(field.mapKey), one, { maxKeys: 3 }) as Arbitrary;
  return fc.oneof({ weight: 9, arbitrary: one }, { weight: 1, arbitrary: fc.constant(null) });
}

/** A few fields at a time, by either name, at most one of a oneof. */
export function jsonOf(desc: DescMessage, depth: number): Arbitrary {
  const fields = desc.fields.filter(({ message: inner }) => depth > 0 || inner === undefined);
  if (fields.length === 0) return fc.constant({});
  const some = fc.uniqueArray(fc.constantFrom(...fields), {
    maxLength: 6,
    selector: (field) => field.oneof ?? field,
  });
  return some.chain((chosen) =>
    fc
      .tuple(...chosen.map((field) => fc.tuple(fc.boolean(), fieldJson(field, depth))))
      .map((values) =>
        Object.fromEntries(
          values.map(([proto, value], at) => [proto ? chosen[at]!.name : chosen[at]!.jsonName, value]),
        ),
      ),
  ) as Arbitrary;
}
