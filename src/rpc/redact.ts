/**
 * What of a message may be written down: ProtoJSON in which fields that the contract marks `sensitive` are masked at any depth - in lists,
 * in maps, inside `google.protobuf.Any` - long texts and lists are cut, and what has the form of a credential is taken out of the rest. What cannot be told apart (a type that the registry does not
 * have, an extension) is not written at all.
 */
import {
  type DescField,
  type DescMessage,
  getOption,
  hasOption,
  type Message,
  type Registry,
  toJson,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type Any, AnySchema, anyUnpack } from "@bufbuild/protobuf/wkt";
import { sensitive } from "#gen/portico/options/v1/options_pb.ts";
import { withoutCredentials } from "./credentials-in-text.ts";

export interface RedactOptions {
  /** For messages inside `google.protobuf.Any`. */
  readonly registry: Registry;
  /** Stands in the place of what is sensitive; undefined: the field is left out. */
  readonly mask?: string;
}

type Json = { readonly [field: string]: unknown };

/** Longer texts are cut, in characters; longer lists and maps too, in elements. */
const maxText = 200;
const maxElements = 50;

/** @throws Error where the message holds a type that the registry does not have. */
export function redactedJson(desc: DescMessage, message: Message, options: RedactOptions): unknown {
  return redact(desc, toJson(desc, message, { registry: options.registry }), options);
}

const marked = new WeakMap<DescField, boolean>();

export function isSensitive(field: DescField): boolean {
  let known = marked.get(field);
  if (known === undefined) {
    known = hasOption(field, sensitive) && getOption(field, sensitive);
    marked.set(field, known);
  }
  return known;
}

/** Whether messages of a type have marked fields at some depth; "inside": what is in their `google.protobuf.Any` decides. */
type Exposure = "none" | "inside" | "marked";

const exposures = new WeakMap<DescMessage, Exposure>();

/**
 * Whether a message may hold what is marked, at any depth: by its type, set or not, and inside `google.protobuf.Any` by the type of what is
 * there. What the registry does not have may hold anything.
 */
export function mayHoldSensitive(desc: DescMessage, message: () => Message, registry: Registry): boolean {
  const exposure = exposureOf(desc);
  return exposure === "inside" ? isInside(reflect(desc, message()), registry) : exposure === "marked";
}

function exposureOf(desc: DescMessage): Exposure {
  let known = exposures.get(desc);
  if (known === undefined) {
    const types = typesWithin(desc);
    const isMarked = [...types].some(({ fields }) => fields.some(isSensitive));
    const hasAny = [...types].some(({ typeName }) => typeName === AnySchema.typeName);
    known = isMarked ? "marked" : hasAny ? "inside" : "none";
    exposures.set(desc, known);
  }
  return known;
}

function typesWithin(desc: DescMessage, seen = new Set<DescMessage>()): ReadonlySet<DescMessage> {
  if (seen.has(desc)) return seen;
  seen.add(desc);
  for (const { message } of desc.fields) if (message !== undefined) typesWithin(message, seen);
  return seen;
}

function isInside(message: ReflectMessage, registry: Registry): boolean {
  if (message.desc.typeName === AnySchema.typeName) {
    const any = message.message as Any;
    if (any.typeUrl === "") return false;
    const desc = registry.getMessage(any.typeUrl.slice(any.typeUrl.lastIndexOf("/") + 1));
    if (desc === undefined) return true;
    return mayHoldSensitive(desc, () => anyUnpack(any, desc) ?? any, registry);
  }
  for (const field of message.fields) {
    if (field.message === undefined || exposureOf(field.message) === "none" || !message.isSet(field))
      continue;
    for (const inner of innerOf(message, field)) if (isInside(inner, registry)) return true;
  }
  return false;
}

function innerOf(message: ReflectMessage, field: DescField): Iterable<ReflectMessage> {
  if (field.fieldKind === "list" || field.fieldKind === "map")
    return message.get(field).values() as Iterable<ReflectMessage>;
  return [message.get(field) as ReflectMessage];
}

function redact(desc: DescMessage, json: unknown, options: RedactOptions): unknown {
  if (desc.typeName === "google.protobuf.Any") return redactAny(json, options);
  // The JSON of other well-known types is not an object of their fields, and they have none that are marked.
  if (desc.typeName.startsWith("google.protobuf.") || !isObject(json)) return cut(json);
  const kept: Record<string, unknown> = {};
  for (const field of desc.fields) {
    const value = json[field.jsonName];
    if (value === undefined) continue;
    if (!isSensitive(field)) kept[field.jsonName] = redactField(field, value, options);
    else if (options.mask !== undefined) kept[field.jsonName] = options.mask;
  }
  return kept;
}

function redactField(field: DescField, value: unknown, options: RedactOptions): unknown {
  const { message } = field;
  if (message === undefined) return cut(value);
  if (field.fieldKind === "list" && Array.isArray(value))
    return value.slice(0, maxElements).map((one) => redact(message, one, options));
  if (field.fieldKind === "map" && isObject(value))
    return Object.fromEntries(
      Object.entries(value)
        .slice(0, maxElements)
        .map(([key, one]) => [cut(key), redact(message, one, options)]),
    );
  return redact(message, value, options);
}

/** `{"@type": …, fields}`, or `{"@type": …, "value": …}` for types whose JSON is no object of their fields. */
function redactAny(json: unknown, options: RedactOptions): unknown {
  if (!isObject(json)) return {};
  const type = json["@type"];
  if (typeof type !== "string") return {};
  const desc = options.registry.getMessage(type.slice(type.lastIndexOf("/") + 1));
  if (desc === undefined) return { "@type": cut(type) };
  if (desc.typeName.startsWith("google.protobuf."))
    return { "@type": type, value: redact(desc, json.value, options) };
  return { "@type": type, ...(redact(desc, json, options) as Json) };
}

function cut(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, maxElements).map(cut);
  if (isObject(value))
    return Object.fromEntries(
      Object.entries(value)
        .slice(0, maxElements)
        .map(([key, one]) => [cut(key), cut(one)]),
    );
  if (typeof value !== "string") return value;
  if (value.length <= maxText) return withoutCredentials(value);
  return `${withoutCredentials(value.slice(0, maxText))}… (${value.length} characters)`;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
