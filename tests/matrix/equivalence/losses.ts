/**
 * What a protocol cannot carry, by name. Each takes what would be lost out of a message's ProtoJSON, so that what is left has to come back as
 * it was; docs/guides/protocols.md says the same in words.
 */
import {
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  ScalarType,
} from "@bufbuild/protobuf";

type Keep = (field: DescField, value: JsonValue) => JsonValue | undefined;

const isObject = (value: JsonValue | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether ProtoJSON writes it as the fields it has. */
export function hasFields(desc: DescMessage): boolean {
  return !desc.typeName.startsWith("google.protobuf.");
}

/** Every value that is no message with fields, through `keep`; lists and maps one by one. Extensions have no descriptor here and go. */
export function walk(desc: DescMessage, json: JsonValue, keep: Keep): JsonValue {
  const result: Record<string, JsonValue> = {};
  for (const field of desc.fields) {
    const value = (json as JsonObject)[field.jsonName];
    if (value === undefined) continue;
    const one = (item: JsonValue): JsonValue | undefined =>
      field.message !== undefined && hasFields(field.message)
        ? walk(field.message, item, keep)
        : keep(field, item);
    let kept: JsonValue | undefined;
    if (field.fieldKind === "list")
      kept = (value as JsonValue[]).map(one).filter((item): item is JsonValue => item !== undefined);
    else if (field.fieldKind === "map")
      kept = Object.fromEntries(
        Object.entries(value as JsonObject)
          .map(([key, item]) => [key, one(item)] as const)
          .filter((entry): entry is [string, JsonValue] => entry[1] !== undefined),
      );
    else kept = one(value);
    if (kept !== undefined) result[field.jsonName] = kept;
  }
  return result;
}

const isFloat = (field: DescField): boolean =>
  field.scalar === ScalarType.DOUBLE ||
  field.scalar === ScalarType.FLOAT ||
  /\.(Double|Float)Value$/.test(field.message?.typeName ?? "");

/** JSON that a library reads and writes again: JavaScript writes minus zero as 0. */
export function withoutMinusZero(value: JsonValue): JsonValue {
  if (Object.is(value, -0)) return 0;
  if (Array.isArray(value)) return value.map(withoutMinusZero);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, withoutMinusZero(one)]));
}

/**
 * GraphQL's types have no room for: NaN and the infinities, numbers of enums that have no name, null as a value (it means that nothing is
 * set), extensions.
 */
export function carriedByGraphql(desc: DescMessage, json: JsonValue): JsonValue {
  const carried = walk(desc, json, (field, value) => {
    if (value === null) return undefined;
    if (isFloat(field) && typeof value === "string") return undefined;
    if (field.enum !== undefined && typeof value === "number") return undefined;
    return value;
  });
  return withoutMinusZero(carried);
}

/** Maps become lists of entries. */
export function toGraphql(desc: DescMessage, json: JsonValue): JsonObject {
  // What is none of the message's, or not of its form, goes as it is: GraphQL has to say so.
  const result: Record<string, JsonValue> = { ...(json as JsonObject) };
  for (const field of desc.fields) {
    const value = (json as JsonObject)[field.jsonName];
    if (value === undefined) continue;
    if (field.fieldKind !== "list" && field.fieldKind !== "map" && !isObject(value)) continue;
    const one = (item: JsonValue): JsonValue =>
      isObject(item) && field.message !== undefined && hasFields(field.message)
        ? toGraphql(field.message, item)
        : item;
    if (field.fieldKind === "map")
      result[field.jsonName] = Object.entries(value as JsonObject).map(([key, item]) => ({
        key,
        value: one(item),
      }));
    else result[field.jsonName] = field.fieldKind === "list" ? (value as JsonValue[]).map(one) : one(value);
  }
  return result;
}

/** And back; null is a field that is not set. */
export function fromGraphql(desc: DescMessage, value: JsonValue): JsonValue {
  const result: Record<string, JsonValue> = {};
  for (const field of desc.fields) {
    const given = (value as JsonObject)[field.jsonName];
    if (given === undefined || given === null) continue;
    const one = (item: JsonValue): JsonValue =>
      field.message !== undefined && hasFields(field.message) ? fromGraphql(field.message, item) : item;
    if (field.fieldKind === "map")
      result[field.jsonName] = Object.fromEntries(
        (given as { key: string; value: JsonValue }[]).map((entry) => [entry.key, one(entry.value)]),
      );
    else result[field.jsonName] = field.fieldKind === "list" ? (given as JsonValue[]).map(one) : one(given);
  }
  return result;
}

/** A selection of all fields, some messages deep; fragments, because a message may be in many fields. */
export function selectAll(
  desc: DescMessage,
  depth: number,
): { readonly spread: string; readonly fragments: string } {
  const fragments = new Map<string, string>();
  const select = (of: DescMessage, left: number): string => {
    const name = `${of.typeName.replaceAll(".", "_")}_${left}`;
    if (!fragments.has(name)) {
      fragments.set(name, "");
      const fields = of.fields.flatMap((field) => {
        const nested = field.message !== undefined && hasFields(field.message);
        if (nested && left === 0) return [];
        const inner = nested ? ` { ${select(field.message, left - 1)} }` : "";
        return field.fieldKind === "map" ? `${field.jsonName} { key value${inner} }` : field.jsonName + inner;
      });
      fragments.set(name, `fragment ${name} on ${graphqlName(of)} { __typename ${fields.join(" ")} }`);
    }
    return `...${name}`;
  };
  const spread = select(desc, depth);
  return { spread, fragments: [...fragments.values()].join("\n") };
}

export function graphqlName(desc: DescMessage): string {
  return desc.typeName.slice(desc.file.proto.package.length + 1).replaceAll(".", "_");
}

/** Query parameters: single values and lists of them, in messages of fields. Maps, lists of messages, and JSON of its own are not text. */
export function toQuery(
  desc: DescMessage,
  json: JsonValue,
): { readonly query: string; readonly carried: JsonValue } {
  const parameters: string[] = [];
  const collect = (of: DescMessage, value: JsonValue, prefix: string): JsonValue | undefined => {
    const carried: Record<string, JsonValue> = {};
    for (const field of of.fields) {
      const given = (value as JsonObject)[field.jsonName];
      if (given === undefined || given === null || field.fieldKind === "map") continue;
      const name = prefix + field.jsonName;
      if (field.message !== undefined && hasFields(field.message)) {
        const inner = field.fieldKind === "list" ? undefined : collect(field.message, given, `${name}.`);
        if (inner !== undefined) carried[field.jsonName] = inner;
        continue;
      }
      if (!isText(field)) continue;
      const items = field.fieldKind === "list" ? (given as JsonValue[]) : [given];
      if (items.length === 0) continue;
      for (const item of items)
        parameters.push(
          `${encodeURIComponent(name)}=${encodeURIComponent(typeof item === "string" ? item : printed(item))}`,
        );
      carried[field.jsonName] = given;
    }
    return Object.keys(carried).length === 0 ? undefined : carried;
  };
  const carried = collect(desc, json, "") ?? {};
  return { query: parameters.join("&"), carried };
}

const printed = (value: JsonValue): string => (Object.is(value, -0) ? "-0" : String(value));

const notText = /\.(Struct|Value|ListValue|Any|Empty)$/;
const isText = (field: DescField): boolean =>
  field.enum?.typeName !== "google.protobuf.NullValue" &&
  !(field.message !== undefined && notText.test(field.message.typeName));
