/** The values of JSON that are no messages: scalars, enums, and free JSON for Struct and Value. */
import { type DescEnum, type JsonObject, type JsonValue, ScalarType } from "@bufbuild/protobuf";
import type { JsonText } from "./json-text.ts";
import { enumParser, scalarParser } from "./scalar-text.ts";

/** Reads the value that stands next, or throws what is wrong with it. */
export type ReadValue = (text: JsonText) => unknown;

/** Read and passed over: an enum's name that is unknown and may be. */
export const skipped = Symbol("skipped");

export function readScalar(type: ScalarType, longAsString: boolean): ReadValue {
  switch (type) {
    case ScalarType.STRING:
      return (text) => {
        if (!text.isString()) throw text.mismatch("must be a string");
        return text.string();
      };
    case ScalarType.BOOL:
      return (text) => {
        const value = text.takeBoolean();
        if (value === undefined) throw text.mismatch("must be true or false");
        return value;
      };
    case ScalarType.BYTES: {
      const parse = scalarParser(type, longAsString);
      return (text) => {
        if (!text.isString()) throw text.mismatch("must be base64 in a string");
        return parsed(parse, text.string(), text);
      };
    }
    default: {
      const parse = scalarParser(type, longAsString);
      return (text) => parsed(parse, numberText(text), text);
    }
  }
}

/** Numbers may be written as strings. */
function numberText(text: JsonText): string {
  if (text.isNumber()) return text.number();
  if (text.isString()) return text.string();
  throw text.mismatch("must be a number");
}

export function readEnum(desc: DescEnum, unknown: "reject" | "ignore"): ReadValue {
  const parse = enumParser(desc);
  const names = new Set(desc.values.flatMap((value) => [value.name, value.jsonName]));
  const isNull = desc.typeName === "google.protobuf.NullValue";
  return (text) => {
    if (text.isString()) {
      const name = text.string();
      if (names.has(name)) return parse(name);
      if (unknown === "ignore") return skipped;
      // Digits in quotes are no name.
      return parsed(parse, /^-?\d/.test(name) ? `"${name}"` : name, text);
    }
    if (text.isNumber()) return parsed(parse, text.number(), text);
    if (isNull && text.takeNull()) return 0;
    throw text.mismatch("must be the name of an enum value, or its number");
  };
}

function parsed(parse: (text: string) => unknown, from: string, text: JsonText): unknown {
  try {
    return parse(from);
  } catch (error) {
    throw text.invalid(error instanceof Error ? error.message : "is not valid");
  }
}

/** A JSON object as it is: what a Struct holds. */
export function readObject(text: JsonText): JsonObject {
  if (!text.isObject()) throw text.mismatch("must be a JSON object");
  const object: JsonObject = {};
  text.openObject();
  for (let key = text.key(); key !== undefined; key = text.key()) {
    text.path.push(key);
    if (Object.hasOwn(object, key)) throw text.repeated("is given more than once");
    setKey(object, key, readJson(text));
    text.path.pop();
  }
  return object;
}

export function readArray(text: JsonText): JsonValue[] {
  if (!text.isArray()) throw text.mismatch("must be a JSON array");
  const items: JsonValue[] = [];
  text.openArray();
  for (let index = 0; text.item(); index += 1) {
    text.path.push(index);
    items.push(readJson(text));
    text.path.pop();
  }
  return items;
}

export function readJson(text: JsonText): JsonValue {
  if (text.isObject()) return readObject(text);
  if (text.isArray()) return readArray(text);
  if (text.isString()) return text.string();
  if (text.isNumber()) {
    const value = Number(text.number());
    if (Number.isFinite(value)) return value;
    throw text.invalid("is too large a number: a Value holds numbers as 64-bit floats");
  }
  if (text.takeNull()) return null;
  const value = text.takeBoolean();
  if (value !== undefined) return value;
  text.skip();
  return null;
}

/** Sets a key of an object of data, whatever its name. */
export function setKey(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === "__proto__")
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  else target[key] = value;
}
