/** Values between ProtoJSON and GraphQL: which scalar a field has, what it is where ProtoJSON left it out, and what it is called. */
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { GraphQLBoolean, GraphQLFloat, GraphQLInt, type GraphQLScalarType, GraphQLString } from "graphql";
import { bytes, duration, fieldMask, int64, json, timestamp, uint32, uint64 } from "./scalars.ts";

type Json = Readonly<Record<string, unknown>>;

/** Messages that are scalars in GraphQL, by full name. */
export const wellKnown: Readonly<Record<string, GraphQLScalarType>> = {
  "google.protobuf.Timestamp": timestamp,
  "google.protobuf.Duration": duration,
  "google.protobuf.FieldMask": fieldMask,
  "google.protobuf.Empty": json,
  "google.protobuf.Struct": json,
  "google.protobuf.Value": json,
  "google.protobuf.ListValue": json,
  "google.protobuf.Any": json,
  "google.protobuf.DoubleValue": GraphQLFloat,
  "google.protobuf.FloatValue": GraphQLFloat,
  "google.protobuf.Int64Value": int64,
  "google.protobuf.UInt64Value": uint64,
  "google.protobuf.Int32Value": GraphQLInt,
  "google.protobuf.UInt32Value": uint32,
  "google.protobuf.BoolValue": GraphQLBoolean,
  "google.protobuf.StringValue": GraphQLString,
  "google.protobuf.BytesValue": bytes,
};

export function scalarOf(type: ScalarType | undefined): GraphQLScalarType {
  switch (type) {
    case ScalarType.STRING:
      return GraphQLString;
    case ScalarType.BOOL:
      return GraphQLBoolean;
    case ScalarType.BYTES:
      return bytes;
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return GraphQLFloat;
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return int64;
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return uint64;
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return uint32;
    default:
      return GraphQLInt;
  }
}

const isFloat = (field: DescField): boolean =>
  field.scalar === ScalarType.DOUBLE ||
  field.scalar === ScalarType.FLOAT ||
  /(Double|Float)Value$/.test(field.message?.typeName ?? "");

/** A double that is none, and an enum's number without a name, have no form in GraphQL: they are null; a JSON value may be. */
export function isOpen(field: DescField): boolean {
  return field.enum !== undefined || isFloat(field) || isNullable(field);
}

/** Of all messages only this one may be null and be there all the same. */
export function isNullable(field: DescField): boolean {
  return field.message?.typeName === "google.protobuf.Value";
}

/** In GraphQL: ProtoJSON's name, where that is a name there. */
export function nameOf(field: DescField): string {
  return safe(/^\w+$/.test(field.jsonName) ? field.jsonName : field.name);
}

/** Names that begin with two underscores, or are a literal, are GraphQL's own. */
export function safe(name: string): string {
  return /^(__|\d|(true|false|null)$)/.test(name) ? `x_${name}` : name;
}

/** What ProtoJSON left out; undefined: null is right. */
export function zeroOf(field: DescField): unknown {
  if (field.fieldKind === "list" || field.fieldKind === "map") return [];
  if (field.presence !== FeatureSet_FieldPresence.IMPLICIT || field.oneof !== undefined) return undefined;
  if (field.enum !== undefined) return field.enum.values[0]?.name;
  switch (field.scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return "";
    case ScalarType.BOOL:
      return false;
    default:
      return scalarOf(field.scalar).name.endsWith("64") ? "0" : 0;
  }
}

/** From ProtoJSON. */
export function fromProtoJson(field: DescField, value: unknown): unknown {
  if (value === undefined || value === null) return undefined;
  if (field.fieldKind === "map")
    return Object.entries(value).map(([key, one]) => ({ key, value: itemOf(field, one) }));
  if (field.fieldKind === "list") return (value as readonly unknown[]).map((one) => itemOf(field, one));
  return itemOf(field, value);
}

function itemOf(field: DescField, value: unknown): unknown {
  if (field.enum !== undefined) return typeof value === "string" ? value : undefined;
  return isFloat(field) && typeof value === "string" ? undefined : value;
}

/** Arguments to ProtoJSON: lists of entries become maps again. */
export function toProtoJson(desc: DescMessage, values: Json): unknown {
  if (wellKnown[desc.typeName] !== undefined) return desc.fields.length === 0 ? {} : (values.value ?? null);
  const message: Record<string, unknown> = {};
  for (const field of desc.fields) {
    const value = values[nameOf(field)];
    if (value === null && field.fieldKind === "message" && isNullable(field)) message[field.jsonName] = null;
    if (value === undefined || value === null) continue;
    const item = (one: unknown): unknown =>
      field.message === undefined || wellKnown[field.message.typeName] !== undefined
        ? one
        : toProtoJson(field.message, one as Json);
    if (field.fieldKind === "map")
      message[field.jsonName] = Object.fromEntries(
        (value as readonly { key: string; value: unknown }[]).map((entry) => [entry.key, item(entry.value)]),
      );
    else message[field.jsonName] = field.fieldKind === "list" ? (value as unknown[]).map(item) : item(value);
  }
  return message;
}
