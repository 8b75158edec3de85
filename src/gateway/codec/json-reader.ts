/** ProtoJSON in. */
import {
  type DescField,
  type DescMessage,
  fromJson,
  getOption,
  hasOption,
  type JsonValue,
  type Message,
  type Registry,
} from "@bufbuild/protobuf";
import { FieldBehavior, field_behavior } from "#gen/google/api/field_behavior_pb.ts";
import { RpcError } from "#rpc/error.ts";
import { nearest } from "#std/nearest.ts";
import { fieldError, fieldInvalid } from "./field-error.ts";

export interface JsonReaderOptions {
  readonly maxDepth: number;
  readonly unknown: "reject" | "ignore";
}

export class JsonReader {
  readonly #registry: Registry;
  readonly #options: JsonReaderOptions;

  constructor(registry: Registry, options: JsonReaderOptions) {
    this.#registry = registry;
    this.#options = options;
  }

  read(desc: DescMessage, bytes: Uint8Array): Message {
    return this.#from(desc, parse(bytes, this.#options.maxDepth));
  }

  readFieldWithPaths(field: DescField, bytes: Uint8Array): { message: Message; paths: string[] } {
    if (field.fieldKind !== "message") throw new Error(`${field.name} is not a message`);
    const json = parse(bytes, this.#options.maxDepth);
    const message = this.#from(field.message, json);
    const paths: string[] = [];
    collectPaths(field.message, json, "", paths);
    return { message, paths };
  }

  readField(field: DescField, bytes: Uint8Array): unknown {
    const message = this.#from(field.parent, { [field.jsonName]: parse(bytes, this.#options.maxDepth) });
    return (message as unknown as Record<string, unknown>)[field.localName];
  }

  #from(desc: DescMessage, json: JsonValue): Message {
    if (this.#options.unknown === "reject") refuseUnknown(desc, json, "");
    try {
      return fromJson(desc, json, {
        registry: this.#registry,
        ignoreUnknownFields: this.#options.unknown === "ignore",
      });
    } catch (cause) {
      throw toFieldError(desc, cause);
    }
  }
}

/** protobuf-es says `cannot decode field pkg.Message.name from JSON: why`; the field and the why are what a caller needs. */
function toFieldError(desc: DescMessage, cause: unknown): RpcError {
  const text = cause instanceof Error ? cause.message : "";
  const match = /(?:decode|field) (?:field )?([\w.]+)\.(\w+)(?: from JSON)?:? ?(.*)$/.exec(text);
  if (match === null) return malformed(`the body is not a ${desc.typeName} in JSON`, cause);
  const field = String(match[2]).replace(/_([a-z0-9])/g, (_all, letter: string) => letter.toUpperCase());
  return fieldInvalid(field, match[3] === "" ? "is not valid" : String(match[3]).slice(0, 200));
}

/** Names the first key that the message does not have, and the nearest one that it has. */
function refuseUnknown(desc: DescMessage, json: JsonValue, prefix: string): void {
  if (
    typeof json !== "object" ||
    json === null ||
    Array.isArray(json) ||
    desc.typeName.startsWith("google.protobuf.")
  )
    return;
  for (const [key, value] of Object.entries(json)) {
    const field = desc.fields.find((candidate) => candidate.jsonName === key || candidate.name === key);
    if (field === undefined) {
      if (key.startsWith("[")) continue;
      const near = nearest(
        key,
        desc.fields.map((candidate) => candidate.jsonName),
      );
      throw fieldError(
        "FIELD_UNKNOWN",
        prefix + key.slice(0, 200),
        near === undefined ? "there is no such field" : `there is no such field; did you mean ${near}?`,
      );
    }
    const path = prefix + key;
    if (field.fieldKind === "message") refuseUnknown(field.message, value ?? null, `${path}.`);
    else if (field.fieldKind === "list" && field.listKind === "message" && Array.isArray(value)) {
      value.forEach((item, index) => {
        refuseUnknown(field.message, item, `${path}[${index}].`);
      });
    }
  }
}

/** Strict UTF-8: a byte order mark and broken sequences are errors, not replacement characters. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function parse(bytes: Uint8Array, maxDepth: number): JsonValue {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch (cause) {
    throw malformed("the body is not valid UTF-8", cause);
  }
  scan(text, maxDepth);
  try {
    // Integers beyond 2^53 are kept as their digits, so that a 64-bit field never passes through a double.
    return JSON.parse(text, exactInteger) as JsonValue;
  } catch (cause) {
    throw malformed("the body is not valid JSON", cause);
  }
}

function exactInteger(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  const source = context?.source;
  return source !== undefined && /^-?\d{16,20}$/.test(source) ? source : value;
}

function malformed(message: string, cause?: unknown): RpcError {
  return new RpcError("invalid_argument", { reason: "MESSAGE_MALFORMED", message, cause });
}

/** One pass before JSON.parse: depth is refused early, and a key given twice, which JSON.parse would hide. */
function scan(text: string, maxDepth: number): void {
  const objects: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 123 || code === 91) {
      objects.push(code === 123 ? new Set() : undefined);
      if (objects.length > maxDepth) throw malformed(`the body nests deeper than ${maxDepth} levels`);
    } else if (code === 125 || code === 93) objects.pop();
    else if (code === 34) {
      const end = stringEnd(text, at);
      at = checkKey(text, at, { end, keys: objects.at(-1) });
    }
  }
}

function stringEnd(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 92) at += 1;
    else if (code === 34) return at;
  }
  return text.length;
}

/** A string followed by a colon is a key. Returns where to go on. */
function checkKey(
  text: string,
  start: number,
  about: { readonly end: number; readonly keys: Set<string> | undefined },
): number {
  const { end, keys } = about;
  if (keys === undefined) return end;
  let next = end + 1;
  while (" \t\r\n".includes(text.charAt(next)) && next < text.length) next += 1;
  if (text.charCodeAt(next) !== 58) return end;
  const raw = text.slice(start + 1, end);
  const key = raw.includes("\\") ? unquote(raw) : raw;
  if (keys.has(key)) throw fieldError("FIELD_REPEATED", key.slice(0, 200), "is given more than once");
  keys.add(key);
  return end;
}

function unquote(raw: string): string {
  try {
    return JSON.parse(`"${raw}"`) as string;
  } catch {
    // Broken escapes are for JSON.parse to refuse, a moment later.
    return raw;
  }
}

function collectPaths(desc: DescMessage, json: JsonValue, prefix: string, paths: string[]): void {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return;
  for (const [key, value] of Object.entries(json)) {
    const field = desc.fields.find((candidate) => candidate.jsonName === key || candidate.name === key);
    if (field === undefined || field.name === "etag" || isOutputOnly(field)) continue;
    if (
      field.fieldKind === "message" &&
      !field.message.typeName.startsWith("google.protobuf.") &&
      value !== null
    ) {
      collectPaths(field.message, value ?? null, `${prefix}${field.name}.`, paths);
    } else paths.push(prefix + field.name);
  }
}

function isOutputOnly(field: DescField): boolean {
  return (
    hasOption(field, field_behavior) && getOption(field, field_behavior).includes(FieldBehavior.OUTPUT_ONLY)
  );
}
