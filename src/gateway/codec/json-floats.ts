/**
 * What protobuf-es' JSON leaves to its caller about floats: a 32-bit float is written with as many digits as it has (0.1 and
 * not 0.10000000149011612), and minus zero keeps its sign, which JSON.stringify drops.
 *
 * Only messages that can hold floats are looked through; for all others nothing is done.
 */
import {
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  ScalarType,
} from "@bufbuild/protobuf";

/** Changes one value of JSON where it has to be, and returns it. */
type Mend = (json: JsonValue) => JsonValue;

/** `JSON.rawJSON` (ECMAScript 2026) is what JSON.stringify writes as it is. */
const minusZero = (JSON as unknown as { rawJSON(text: string): JsonValue }).rawJSON("-0");

export class FloatMender {
  /** Undefined: a message of this type holds no float, however deep. */
  readonly #mends = new Map<DescMessage, Mend | undefined>();

  /** @param json made for this call: it is changed in place. */
  mend(desc: DescMessage, json: JsonValue): JsonValue {
    let mend = this.#mends.get(desc);
    if (mend === undefined && !this.#mends.has(desc)) {
      mend = holdsFloats(desc, new Set()) ? this.#compile(desc) : undefined;
      this.#mends.set(desc, mend);
    }
    return mend === undefined ? json : mend(json);
  }

  #compile(desc: DescMessage): Mend {
    switch (desc.typeName) {
      case "google.protobuf.FloatValue":
        return mendFloat;
      case "google.protobuf.DoubleValue":
        return mendDouble;
      case "google.protobuf.Struct":
      case "google.protobuf.Value":
      case "google.protobuf.ListValue":
        return mendAll;
    }
    const fields = desc.fields.flatMap((field) => {
      const mend = this.#field(field);
      return mend === undefined ? [] : [{ name: field.jsonName, mend }];
    });
    return (json) => {
      const object = json as JsonObject;
      for (const { name, mend } of fields) {
        const value = object[name];
        if (value !== undefined && value !== null) object[name] = mend(value);
      }
      return json;
    };
  }

  #field(field: DescField): Mend | undefined {
    const one = this.#one(field);
    if (one === undefined) return undefined;
    if (field.fieldKind === "list") return (json) => (json as JsonValue[]).map(one);
    if (field.fieldKind !== "map") return one;
    return (json) =>
      Object.fromEntries(Object.entries(json as JsonObject).map(([key, value]) => [key, one(value)]));
  }

  #one(field: DescField): Mend | undefined {
    if (field.scalar === ScalarType.FLOAT) return mendFloat;
    if (field.scalar === ScalarType.DOUBLE) return mendDouble;
    const { message } = field;
    if (message === undefined || !holdsFloats(message, new Set())) return undefined;
    return (json) => this.mend(message, json);
  }
}

function holdsFloats(desc: DescMessage, seen: Set<DescMessage>): boolean {
  if (/^google\.protobuf\.(Struct|Value|ListValue)$/.test(desc.typeName)) return true;
  if (seen.has(desc)) return false;
  seen.add(desc);
  return desc.fields.some(
    (field) =>
      field.scalar === ScalarType.FLOAT ||
      field.scalar === ScalarType.DOUBLE ||
      (field.message !== undefined && holdsFloats(field.message, seen)),
  );
}

function mendDouble(json: JsonValue): JsonValue {
  return Object.is(json, -0) ? minusZero : json;
}

/** The fewest digits that read back as the same 32-bit float: nine are always enough. */
function mendFloat(json: JsonValue): JsonValue {
  if (typeof json !== "number") return json;
  if (Object.is(json, -0)) return minusZero;
  const float = Math.fround(json);
  for (let digits = 6; digits < 9; digits += 1) {
    const shorter = Number(float.toPrecision(digits));
    if (Math.fround(shorter) === float) return shorter;
  }
  return Number(float.toPrecision(9));
}

function mendAll(json: JsonValue): JsonValue {
  if (typeof json === "number") return mendDouble(json);
  if (Array.isArray(json)) return json.map(mendAll);
  if (typeof json !== "object" || json === null) return json;
  return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, mendAll(value)]));
}
