/**
 * From the text of a URL to the value of a field: integers without passing through doubles, enums by name or number, bytes
 * in either base64 alphabet, and messages whose JSON is a scalar.
 */
import {
  type DescEnum,
  type DescField,
  type DescMessage,
  fromJson,
  type JsonValue,
  ScalarType,
} from "@bufbuild/protobuf";
import { nearest } from "#std/nearest.ts";
import { textForms } from "./text-forms.ts";

/** The scalar types of 64 bits. */
export const longTypes: ReadonlySet<ScalarType> = new Set([
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.SINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
]);

/** Messages that ProtoJSON writes as one string, number or boolean. */
const scalarMessages: ReadonlyMap<string, "text" | "number" | "boolean"> = new Map([
  ["google.protobuf.Timestamp", "text"],
  ["google.protobuf.Duration", "text"],
  ["google.protobuf.FieldMask", "text"],
  ["google.protobuf.StringValue", "text"],
  ["google.protobuf.BytesValue", "text"],
  ["google.protobuf.Int64Value", "text"],
  ["google.protobuf.UInt64Value", "text"],
  ["google.protobuf.Int32Value", "number"],
  ["google.protobuf.UInt32Value", "number"],
  ["google.protobuf.DoubleValue", "number"],
  ["google.protobuf.FloatValue", "number"],
  ["google.protobuf.BoolValue", "boolean"],
]);

/** How to parse one value of a field, or undefined where text cannot carry it. The parser throws Error with the problem. */
export function parseScalarText(field: DescField): ((text: string) => unknown) | undefined {
  switch (field.fieldKind) {
    case "scalar":
      return scalarParser(field.scalar, field.longAsString);
    case "enum":
      return enumParser(field.enum);
    case "message":
      // Wrappers are held as their bare value in fields, but as messages in lists and oneofs.
      return messageParser(field.message, field.oneof === undefined);
    case "list":
      if (field.listKind === "scalar") return scalarParser(field.scalar, field.longAsString);
      return field.listKind === "enum" ? enumParser(field.enum) : messageParser(field.message, false);
    case "map":
      return undefined;
  }
}

function messageParser(desc: DescMessage, isBare: boolean): ((text: string) => unknown) | undefined {
  const form = scalarMessages.get(desc.typeName);
  if (form === undefined) return undefined;
  const unwrap = desc.typeName.endsWith("Value") && isBare;
  return (text) => {
    const json: JsonValue =
      form === "text" ? text : form === "boolean" ? parseBoolean(text) : numberJson(parseNumber(text));
    const message = readJson(desc, json);
    return unwrap ? (message as unknown as { value: unknown }).value : message;
  };
}

/** JSON has no number for NaN and the infinities. */
function numberJson(value: number): JsonValue {
  return Number.isFinite(value) ? value : String(value);
}

function readJson(desc: DescMessage, json: JsonValue) {
  const form = textForms.get(desc.typeName);
  // protobuf-es words its errors for programmers.
  const problem = form?.problem ?? `is not a ${desc.name}`;
  if (form?.isValid(String(json)) === false) throw new Error(problem);
  try {
    return fromJson(desc, json);
  } catch {
    throw new Error(problem);
  }
}

/** By name (the JSON name counts too) or number. */
export function enumParser(desc: DescEnum): (text: string) => number {
  const byName = new Map([
    ...desc.values.map((value) => [value.jsonName, value.number] as const),
    ...desc.values.map((value) => [value.name, value.number] as const),
  ]);
  const names = desc.values.map((value) => value.name);
  return (text) => {
    const named = byName.get(text);
    if (named !== undefined) return named;
    const number = /^-?\d/.test(text) ? wholeNumber(text) : undefined;
    const value = number === undefined ? Number.NaN : Number(number);
    const known = desc.open ? value === (value | 0) : desc.values.some((one) => one.number === value);
    if (known) return value;
    const near = /^[A-Za-z_]/.test(text) ? nearest(text, names) : undefined;
    const some = names.length > 20 ? `${names.slice(0, 20).join(", ")}, …` : names.join(", ");
    throw new Error(`must be one of ${some}${near === undefined ? "" : `; did you mean ${near}?`}`);
  };
}

/** The parser throws Error with the problem, to be read after the field's name. */
export function scalarParser(type: ScalarType, longAsString: boolean): (text: string) => unknown {
  if (longTypes.has(type)) return (text) => parseLong(text, type, longAsString);
  switch (type) {
    case ScalarType.STRING:
      return (text) => text;
    case ScalarType.BOOL:
      return parseBoolean;
    case ScalarType.BYTES:
      return parseBase64;
    case ScalarType.DOUBLE:
      return parseNumber;
    case ScalarType.FLOAT:
      return parseFloat32;
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return (text) => parseInt32(text, 0, 4_294_967_295);
    default:
      return (text) => parseInt32(text, -2_147_483_648, 2_147_483_647);
  }
}

function parseInt32(text: string, low: number, high: number): number {
  const whole = /^-?\d{1,10}$/.test(text) ? Number(text) : Number(wholeNumber(text) ?? Number.NaN);
  // Minus zero is zero.
  if (whole >= low && whole <= high) return whole + 0;
  throw new Error(`must be a whole number from ${low} to ${high}`);
}

function parseLong(text: string, type: ScalarType, asString: boolean): bigint | string {
  const unsigned = type === ScalarType.UINT64 || type === ScalarType.FIXED64;
  const value = wholeNumber(text);
  const fits =
    value !== undefined &&
    (unsigned ? BigInt.asUintN(64, value) === value : BigInt.asIntN(64, value) === value);
  if (!fits) throw new Error(`must be a whole number of 64 bits${unsigned ? ", not negative" : ""}`);
  return asString ? value.toString() : value;
}

/** No integer of the wire has more digits; longer ones are out of every range. */
const maxDigits = 25;

/** Every spelling that ProtoJSON allows for a whole number, `1e3` and `5.0` too; undefined for all others. */
function wholeNumber(text: string): bigint | undefined {
  if (/^-?\d{1,20}$/.test(text)) return BigInt(text);
  const match = /^(-?)(\d{1,400})(?:\.(\d{1,400}))?(?:[eE]([+-]?\d{1,3}))?$/.exec(text);
  if (match === null) return undefined;
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = match;
  const digits = (whole + fraction).replace(/^0+/, "");
  const kept = digits.replace(/0+$/, "");
  if (kept === "") return 0n;
  const zeros = digits.length - kept.length + Number(exponent) - fraction.length;
  if (zeros < 0 || kept.length + zeros > maxDigits) return undefined;
  return BigInt(sign + kept + "0".repeat(zeros));
}

function parseBoolean(text: string): boolean {
  if (text === "true") return true;
  if (text === "false") return false;
  throw new Error("must be true or false");
}

function parseNumber(text: string): number {
  if (text === "NaN") return Number.NaN;
  if (text === "Infinity") return Number.POSITIVE_INFINITY;
  if (text === "-Infinity") return Number.NEGATIVE_INFINITY;
  const value = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isFinite(value)) return value;
  throw new Error("must be a number");
}

function parseFloat32(text: string): number {
  const value = parseNumber(text);
  if (Number.isFinite(value) && !Number.isFinite(Math.fround(value)))
    throw new Error("is too large for a 32-bit float");
  return value;
}

/** Either alphabet, with padding or without; padding that is there has to be right. */
function parseBase64(text: string): Uint8Array {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const letters = text.length - padding;
  const whole = padding === 0 ? letters % 4 !== 1 : text.length % 4 === 0;
  if (!whole || !/^[A-Za-z0-9+/_-]*={0,2}$/.test(text)) throw new Error("must be base64");
  return new Uint8Array(Buffer.from(text, "base64"));
}
