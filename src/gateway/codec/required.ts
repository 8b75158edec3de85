/**
 * proto2's required fields: what is read without one is no message. Asked when a request is whole, because a path or a query may bring what
 * a body leaves out.
 */
import { type DescField, type DescMessage, isFieldSet, type Message } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { fieldInvalid } from "./field-error.ts";
import { getField } from "./field-path.ts";

/** @returns what throws `invalid_argument` FIELD_INVALID naming the field; undefined: nothing can be missing, so nothing need be asked. */
export function requiredCheck(desc: DescMessage): ((message: Message) => void) | undefined {
  if (!hasRequired(desc, new Set())) return undefined;
  return (message) => {
    const path = missing(desc, message);
    if (path !== undefined) throw fieldInvalid(path, "is required");
  };
}

const known = new WeakMap<DescMessage, boolean>();

function hasRequired(desc: DescMessage, seen: Set<DescMessage>): boolean {
  if (seen.has(desc)) return false;
  seen.add(desc);
  return desc.fields.some(
    (field) => isRequired(field) || (field.message !== undefined && hasRequired(field.message, seen)),
  );
}

function mayMiss(desc: DescMessage): boolean {
  const before = known.get(desc);
  if (before !== undefined) return before;
  const found = hasRequired(desc, new Set());
  known.set(desc, found);
  return found;
}

function isRequired(field: DescField): boolean {
  return field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED;
}

/** The path of the first that is missing. */
function missing(desc: DescMessage, message: Message): string | undefined {
  for (const field of desc.fields) {
    if (isRequired(field) && !isFieldSet(message, field)) return field.jsonName;
    if (field.message === undefined || !mayMiss(field.message)) continue;
    for (const [key, one] of held(field, getField(message as unknown as Record<string, unknown>, field))) {
      const path = missing(field.message, one);
      if (path !== undefined) return `${field.jsonName}${key}.${path}`;
    }
  }
  return undefined;
}

function held(field: DescField, value: unknown): readonly (readonly [string, Message])[] {
  if (value === undefined) return [];
  if (field.fieldKind === "list")
    return (value as readonly Message[]).map((one, at) => [`[${at}]`, one] as const);
  if (field.fieldKind === "map")
    return Object.entries(value as object).map(
      ([key, one]) => [`[${JSON.stringify(key)}]`, one as Message] as const,
    );
  return [["", value as Message]];
}
