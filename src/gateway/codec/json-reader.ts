/**
 * ProtoJSON in: one compiled plan per message, read straight from the text into the message.
 *
 * Both names of a field are accepted, a field or oneof given twice is an error, `null` is absence, and every error names the
 * field in the caller's spelling.
 *
 * @see https://protobuf.dev/programming-guides/json/
 */
import {
  create,
  type DescExtension,
  type DescField,
  type DescMessage,
  getOption,
  hasOption,
  type Message,
  type Registry,
  setExtension,
} from "@bufbuild/protobuf";
import { isWrapperDesc } from "@bufbuild/protobuf/wkt";
import { FieldBehavior, field_behavior } from "#gen/google/api/field_behavior_pb.ts";
import { nearest } from "#std/nearest.ts";
import { knownReader, type TypeReader } from "./json-known.ts";
import { type JsonLimits, JsonText } from "./json-text.ts";
import { type ReadValue, readEnum, readObject, readScalar, setKey, skipped } from "./json-value.ts";
import { scalarParser } from "./scalar-text.ts";

export interface JsonReaderOptions extends JsonLimits {
  /** Keys that the message does not have, and names that an enum does not have. */
  readonly unknown: "reject" | "ignore";
}

/** How to read one message. */
interface MessagePlan {
  readonly desc: DescMessage;
  /** By both names. */
  readonly fields: ReadonlyMap<string, FieldPlan>;
}

interface FieldPlan {
  readonly field: DescField;
  readonly read: ReadValue;
  /** `null` is a value of this field and not its absence. */
  readonly readsNull: boolean;
  /** Never part of an update mask: the server's own fields and the etag. */
  readonly unmasked: boolean;
  /** The message in a singular field, unless its JSON is a value of its own. */
  readonly nested: DescMessage | undefined;
}

/** The leaf paths that the keys of a PATCH name. */
interface Leaves {
  readonly prefix: string;
  readonly paths: string[];
}

/** Messages are plain objects under their fields' local names; oneofs hold `{ case, value }`. */
type Fields = Record<string, unknown>;

export class JsonReader implements TypeReader {
  readonly registry: Registry;
  readonly #options: JsonReaderOptions;
  readonly #plans = new Map<DescMessage, MessagePlan>();

  constructor(registry: Registry, options: JsonReaderOptions) {
    this.registry = registry;
    this.#options = options;
  }

  read(desc: DescMessage, bytes: Uint8Array): Message {
    return this.#whole(bytes, (text) => this.message(desc)(text));
  }

  readFieldWithPaths(field: DescField, bytes: Uint8Array): { message: Message; paths: string[] } {
    if (field.fieldKind !== "message") throw new Error(`${field.name} is not a message`);
    const plan = this.#plan(field.message);
    const paths: string[] = [];
    const message = this.#whole(bytes, (text) => this.#message(plan, text, { prefix: "", paths }));
    return { message, paths };
  }

  readField(field: DescField, bytes: Uint8Array): unknown {
    return this.#whole(bytes, (text) => {
      text.path.push(field.jsonName);
      return this.#fieldPlan(field).read(text);
    });
  }

  /** Reads a message of this type, in the form it has outside of fields. */
  message(desc: DescMessage): (text: JsonText) => Message {
    const known = knownReader(desc, this);
    if (known !== undefined) return known;
    // Looked up when first used: messages may contain themselves.
    let plan: MessagePlan | undefined;
    return (text) => {
      plan ??= this.#plan(desc);
      return this.#message(plan, text);
    };
  }

  /** As `message`, with the key `@type` passed over: the fields of an Any. */
  fieldsOfAny(desc: DescMessage, text: JsonText): Message {
    return this.#message(this.#plan(desc), text, undefined, "@type");
  }

  #whole<Result>(bytes: Uint8Array, read: (text: JsonText) => Result): Result {
    const text = new JsonText(bytes, this.#options);
    const result = read(text);
    text.end();
    return result;
  }

  #message(plan: MessagePlan, text: JsonText, leaves?: Leaves, passedOver?: string): Message {
    if (!text.isObject()) throw text.mismatch("must be a JSON object");
    const message = create(plan.desc);
    const seen = new Map<FieldPlan | string, string>();
    text.openObject();
    for (let key = text.key(); key !== undefined; key = text.key()) {
      text.path.push(key);
      const field = plan.fields.get(key);
      const earlier = seen.get(field ?? key);
      if (earlier !== undefined) throw text.repeated(again(earlier, key));
      seen.set(field ?? key, key);
      if (field !== undefined) this.#field(field, message as unknown as Fields, text, leaves);
      else if (key === passedOver) text.skip();
      else this.#other(plan, message, key, text);
      text.path.pop();
    }
    return message;
  }

  #field(plan: FieldPlan, fields: Fields, text: JsonText, leaves: Leaves | undefined): void {
    const { field } = plan;
    const mask = plan.unmasked ? undefined : leaves;
    if (!plan.readsNull && text.takeNull()) {
      mask?.paths.push(mask.prefix + field.name);
      return;
    }
    let value: unknown;
    if (mask !== undefined && plan.nested !== undefined) {
      const deeper = { prefix: `${mask.prefix}${field.name}.`, paths: mask.paths };
      value = this.#message(this.#plan(plan.nested), text, deeper);
    } else {
      mask?.paths.push(mask.prefix + field.name);
      value = plan.read(text);
    }
    if (value === skipped) return;
    if (field.oneof === undefined) {
      fields[field.localName] = value;
      return;
    }
    const other = (fields[field.oneof.localName] as { readonly case: string | undefined }).case;
    if (other !== undefined)
      throw text.invalid(`excludes ${other}, which is given too: both belong to "${field.oneof.name}"`);
    fields[field.oneof.localName] = { case: field.localName, value };
  }

  /** A key that is no field: an extension in brackets, or unknown. */
  #other(plan: MessagePlan, message: Message, key: string, text: JsonText): void {
    const extension = key.startsWith("[") ? this.registry.getExtension(key.slice(1, -1)) : undefined;
    if (extension?.extendee.typeName === plan.desc.typeName) {
      const { read, readsNull } = this.#fieldPlan(extension);
      if (!readsNull && text.takeNull()) return;
      const value = read(text);
      if (value !== skipped) setExtension(message, extension, value as never);
    } else if (this.#options.unknown === "ignore") text.skip();
    else
      throw text.unknown(
        nearest(
          key,
          plan.desc.fields.map((field) => field.jsonName),
        ),
      );
  }

  #plan(desc: DescMessage): MessagePlan {
    const known = this.#plans.get(desc);
    if (known !== undefined) return known;
    const fields = new Map<string, FieldPlan>();
    const plan = { desc, fields };
    this.#plans.set(desc, plan);
    for (const field of desc.fields) {
      const made = this.#fieldPlan(field);
      fields.set(field.name, made);
      fields.set(field.jsonName, made);
    }
    return plan;
  }

  #fieldPlan(field: DescField | DescExtension): FieldPlan {
    const nested =
      field.fieldKind === "message" && !field.message.typeName.startsWith("google.protobuf.")
        ? field.message
        : undefined;
    return {
      field: field as DescField,
      read: this.#value(field),
      readsNull: field.fieldKind !== "list" && field.fieldKind !== "map" && readsNull(field),
      unmasked: field.kind === "field" && (field.name === "etag" || isOutputOnly(field)),
      nested,
    };
  }

  #value(field: DescField | DescExtension): ReadValue {
    switch (field.fieldKind) {
      case "scalar":
        return readScalar(field.scalar, field.longAsString);
      case "enum":
        return readEnum(field.enum, this.#options.unknown);
      case "message":
        return this.#local(field, field.message);
      case "list":
        return readList(this.#item(field), readsNull(field));
      case "map":
        return this.#map(field);
    }
  }

  #item(field: (DescField | DescExtension) & { readonly fieldKind: "list" }): ReadValue {
    if (field.listKind === "scalar") return readScalar(field.scalar, field.longAsString);
    return field.listKind === "enum"
      ? readEnum(field.enum, this.#options.unknown)
      : this.#local(field, field.message);
  }

  /** Inside fields a Struct is held as the JSON it stands for, and a wrapper alone in its field as its bare value. */
  #local(field: DescField | DescExtension, desc: DescMessage): ReadValue {
    if (desc.typeName === "google.protobuf.Struct" && field.parent?.typeName !== "google.protobuf.Value")
      return readObject;
    if (field.fieldKind === "message" && field.oneof === undefined && isWrapperDesc(desc))
      return readScalar(desc.fields[0].scalar, desc.fields[0].longAsString);
    return this.message(desc);
  }

  #map(field: DescField & { readonly fieldKind: "map" }): ReadValue {
    const parseKey = scalarParser(field.mapKey, false);
    const nullable = readsNull(field);
    const read: ReadValue =
      field.mapKind === "scalar"
        ? readScalar(field.scalar, false)
        : field.mapKind === "enum"
          ? readEnum(field.enum, this.#options.unknown)
          : this.#local(field, field.message);
    return (text) => {
      if (!text.isObject()) throw text.mismatch("must be a JSON object");
      const entries: Fields = {};
      text.openObject();
      for (let key = text.key(); key !== undefined; key = text.key()) {
        text.path.push(`[${JSON.stringify(key.slice(0, 200))}]`);
        const name = readKey(parseKey, key, text);
        if (Object.hasOwn(entries, name)) throw text.repeated("is given more than once");
        if (!nullable && text.takeNull()) throw text.invalid("must not be null");
        const value = read(text);
        if (value !== skipped) setKey(entries, name, value);
        text.path.pop();
      }
      return entries;
    };
  }
}

function readList(read: ReadValue, nullable: boolean): ReadValue {
  return (text) => {
    if (!text.isArray()) throw text.mismatch("must be a JSON array");
    const items: unknown[] = [];
    text.openArray();
    for (let index = 0; text.item(); index += 1) {
      text.path.push(index);
      if (!nullable && text.takeNull()) throw text.invalid("must not be null");
      const value = read(text);
      if (value !== skipped) items.push(value);
      text.path.pop();
    }
    return items;
  };
}

function readKey(parse: (text: string) => unknown, key: string, text: JsonText): string {
  try {
    return String(parse(key));
  } catch (error) {
    throw text.invalid(`as a key it ${error instanceof Error ? error.message : "is not valid"}`);
  }
}

/** Two types have a null: Value, and the enum of a single value. */
function readsNull(field: DescField | DescExtension): boolean {
  return (
    field.message?.typeName === "google.protobuf.Value" ||
    field.enum?.typeName === "google.protobuf.NullValue"
  );
}

function again(earlier: string, key: string): string {
  return earlier === key ? "is given more than once" : `is given already, as ${earlier}`;
}

function isOutputOnly(field: DescField): boolean {
  return (
    hasOption(field, field_behavior) && getOption(field, field_behavior).includes(FieldBehavior.OUTPUT_ONLY)
  );
}
