/** Values that GraphQL has no type for: each is what ProtoJSON writes. */
import { GraphQLError, GraphQLScalarType, Kind, type ValueNode, valueFromASTUntyped } from "graphql";

function textScalar(name: string, description: string, form?: RegExp): GraphQLScalarType {
  const check = (value: unknown): string => {
    if (typeof value !== "string" || form?.test(value) === false)
      throw new GraphQLError(`${name} is ${description}`);
    return value;
  };
  return new GraphQLScalarType({ name, description, serialize: String, parseValue: check });
}

/** Takes numbers too where they are exact. */
function longScalar(name: string, description: string): GraphQLScalarType {
  const check = (value: unknown): string => {
    const text = typeof value === "number" && Number.isSafeInteger(value) ? String(value) : value;
    if (typeof text !== "string" || !/^-?\d{1,20}$/.test(text))
      throw new GraphQLError(`${name} is ${description}`);
    return text;
  };
  return new GraphQLScalarType({
    ...{ name, description, serialize: String, parseValue: check },
    parseLiteral: (node) =>
      // A literal has all its digits.
      check(node.kind === Kind.INT || node.kind === Kind.STRING ? node.value : undefined),
  });
}

export const int64 = longScalar("Int64", "a 64-bit integer, as text: a double would lose its last digits");
export const uint64 = longScalar("UInt64", "an unsigned 64-bit integer, as text");
export const uint32 = new GraphQLScalarType({
  name: "UInt32",
  description: "An unsigned 32-bit integer: Int holds no more than 31 bits.",
  parseValue: (value) => {
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > 0xff_ff_ff_ff)
      throw new GraphQLError("UInt32 is a whole number from 0 to 4294967295");
    return value;
  },
});
export const bytes = textScalar("Bytes", "Bytes, in base64.");
export const timestamp = textScalar("Timestamp", "A moment, RFC 3339: 2026-05-04T09:30:00Z.");
export const duration = textScalar("Duration", 'Seconds with up to nine fraction digits and "s": 1.5s.');
export const fieldMask = textScalar("FieldMask", "Paths of fields in lowerCamelCase, comma-separated.");
export const json = new GraphQLScalarType({
  name: "JSON",
  description: "Any JSON: google.protobuf.Struct, Value, ListValue, and Any with its `@type`.",
  serialize: (value) => value,
  parseValue: (value) => value,
  parseLiteral: (node: ValueNode, variables) => valueFromASTUntyped(node, variables) ?? null,
});
