/**
 * Examples of messages in ProtoJSON, made from their descriptors: the same ones every time, and valid for the schemas beside
 * them. A field's own example is the line `Example: …` that ends its comment in the contract; `Example: none` leaves it out.
 */
import { type DescEnum, type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import type { Catalog } from "#gateway/catalog/catalog.ts";
import { FieldBehavior } from "#gen/google/api/field_behavior_pb.ts";
import { behaviours } from "./behaviours.ts";

/** Requests leave out what only the server sets; answers leave out what only clients send. */
export type Direction = "request" | "answer";

/** Deeper messages are shown empty. */
const maxDepth = 3;

const known: Readonly<Record<string, unknown>> = {
  "google.protobuf.Timestamp": "2026-01-31T12:00:00Z",
  "google.protobuf.Duration": "1.5s",
  "google.protobuf.FieldMask": "displayName",
  "google.protobuf.Empty": {},
  "google.protobuf.Struct": { key: "value" },
  "google.protobuf.Value": "value",
  "google.protobuf.ListValue": ["value"],
  "google.protobuf.Any": {
    "@type": "type.googleapis.com/google.protobuf.Duration",
    value: "1.5s",
  },
  "google.protobuf.StringValue": "text",
  "google.protobuf.BytesValue": "aGVsbG8=",
  "google.protobuf.BoolValue": true,
  "google.protobuf.Int64Value": "1",
  "google.protobuf.UInt64Value": "1",
};

export function exampleOfMessage(catalog: Catalog, desc: DescMessage, direction: Direction): unknown {
  return message(catalog, desc, { direction, depth: 0 });
}

export function exampleOfField(catalog: Catalog, field: DescField, direction: Direction): unknown {
  return value(catalog, field, { direction, depth: 0 });
}

/** A comment without its example, and the example; a text may stand in quotation marks, as JSON writes it. */
export function splitExample(comment: string): { readonly text: string; readonly example?: string } {
  const match = /(?:^|\n)Example: (.+)\s*$/.exec(comment);
  if (match === null) return { text: comment };
  return { text: comment.slice(0, match.index).trimEnd(), example: unquoted(String(match[1]).trim()) };
}

function unquoted(text: string): string {
  const said = text.startsWith('"') ? parsed(text) : undefined;
  return typeof said === "string" ? said : text;
}

/** Undefined: it is no JSON, which examples need not be. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

interface Place {
  readonly direction: Direction;
  readonly depth: number;
}

function message(catalog: Catalog, desc: DescMessage, place: Place): unknown {
  if (Object.hasOwn(known, desc.typeName)) return known[desc.typeName];
  if (desc.typeName.startsWith("google.protobuf.") && desc.typeName.endsWith("Value")) return 1;
  if (place.depth >= maxDepth) return {};
  const oneofs = new Set<string>();
  const shown = desc.fields.filter((field) => {
    if (isHidden(catalog, field, place.direction)) return false;
    if (field.oneof === undefined) return true;
    if (oneofs.has(field.oneof.name)) return false;
    oneofs.add(field.oneof.name);
    return true;
  });
  return Object.fromEntries(shown.map((field) => [field.jsonName, value(catalog, field, place)]));
}

function isHidden(catalog: Catalog, field: DescField, direction: Direction): boolean {
  if (splitExample(catalog.commentOf(field)).example === "none") return true;
  const hidden = direction === "request" ? FieldBehavior.OUTPUT_ONLY : FieldBehavior.INPUT_ONLY;
  // An etag that nobody has been given is refused.
  return behaviours(field).includes(hidden) || (direction === "request" && field.name === "etag");
}

function value(catalog: Catalog, field: DescField, place: Place): unknown {
  if (field.fieldKind === "list") {
    const whole = parsed(splitExample(catalog.commentOf(field)).example ?? "");
    if (Array.isArray(whole)) return whole;
  }
  const one = single(catalog, field, { ...place, depth: place.depth + 1 });
  if (field.fieldKind === "list") return [one];
  return field.fieldKind === "map" ? { key: one } : one;
}

function single(catalog: Catalog, field: DescField, place: Place): unknown {
  if (field.message !== undefined) return message(catalog, field.message, place);
  if (field.enum !== undefined) return enumName(field.enum);
  const { example } = splitExample(catalog.commentOf(field));
  return scalar(
    field.scalar ?? ScalarType.STRING,
    example,
    field.fieldKind === "map" ? "value" : field.jsonName,
  );
}

/** The first value that says something. */
function enumName(desc: DescEnum): string | null {
  if (desc.typeName === "google.protobuf.NullValue") return null;
  return (desc.values.find(({ number }) => number !== 0) ?? desc.values[0])?.name ?? "";
}

function scalar(type: ScalarType, example: string | undefined, name: string): unknown {
  switch (type) {
    case ScalarType.STRING:
      return example ?? name;
    case ScalarType.BOOL:
      return example === undefined || example === "true";
    case ScalarType.BYTES:
      return example ?? "aGVsbG8=";
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return example ?? "1";
    default:
      return example === undefined ? 1 : Number(example);
  }
}
