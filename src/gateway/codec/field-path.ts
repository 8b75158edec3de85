/**
 * Field paths such as `document.id`: compiled once, then read and set without looking anything up.
 *
 * Text (from a URL path, a query or a header) becomes a value by the type of the field at the end, with ProtoJSON's spelling
 * for messages whose JSON is a scalar (Timestamp, Duration, FieldMask, the wrappers).
 */
import { create, type DescField, type DescMessage, type Message } from "@bufbuild/protobuf";
import { nearest } from "#std/nearest.ts";
import { fieldInvalid } from "./field-error.ts";
import { parseScalarText } from "./scalar-text.ts";

export interface FieldPath {
  /** Proto spelling: `document.id`. */
  readonly text: string;
  readonly fields: readonly DescField[];
  readonly leaf: DescField;
  /**
   * Parses text and sets the leaf, making the messages on the way; appends where the leaf is repeated.
   * @param name as the caller spelled it; default: the proto spelling.
   * @throws RpcError `invalid_argument` FIELD_INVALID naming the field.
   */
  setText(message: Message, text: string, name?: string): void;
  /** The leaf's value; undefined where a message on the way is absent. */
  get(message: Message): unknown;
}

/** Messages are plain objects under their fields' local names; oneofs hold `{ case, value }`. */
type Fields = Record<string, unknown>;
interface OneofValue {
  case: string | undefined;
  value?: unknown;
}

export function compileFieldPath(desc: DescMessage, text: string): FieldPath | { readonly problem: string } {
  const fields: DescField[] = [];
  let at: DescMessage | undefined = desc;
  for (const name of text.split(".")) {
    if (at === undefined)
      return { problem: `"${fields.at(-1)?.name}" is not a message, so "${text}" leads nowhere` };
    const field: DescField | undefined = at.fields.find(
      (candidate) => candidate.name === name || candidate.jsonName === name,
    );
    if (field === undefined) return { problem: `${at.typeName} has no field "${name}"${meant(at, name)}` };
    fields.push(field);
    at = field.fieldKind === "message" ? field.message : undefined;
  }
  const leaf = fields.at(-1);
  if (leaf === undefined) return { problem: "the field path is empty" };
  if (fields.slice(0, -1).some((field) => field.fieldKind !== "message"))
    return { problem: `"${text}" passes through a list or map` };
  return new CompiledPath(fields, leaf);
}

function meant(desc: DescMessage, name: string): string {
  const known = nearest(
    name,
    desc.fields.map((field) => field.name),
  );
  return known === undefined ? "" : `; did you mean "${known}"?`;
}

class CompiledPath implements FieldPath {
  readonly text: string;
  readonly fields: readonly DescField[];
  readonly leaf: DescField;
  readonly #parents: readonly DescField[];
  readonly #parse: ((text: string) => unknown) | undefined;

  constructor(fields: readonly DescField[], leaf: DescField) {
    this.fields = fields;
    this.leaf = leaf;
    this.#parents = fields.slice(0, -1);
    this.text = fields.map((field) => field.name).join(".");
    this.#parse = parseScalarText(leaf);
  }

  setText(message: Message, text: string, name: string = this.text): void {
    if (this.#parse === undefined) throw fieldInvalid(name, "cannot be given as text");
    let value: unknown;
    try {
      value = this.#parse(text);
    } catch (error) {
      throw fieldInvalid(name, error instanceof Error ? error.message : "is not valid");
    }
    const target = this.#parents.reduce<Fields>(
      (parent, field) => child(parent, field),
      message as unknown as Fields,
    );
    if (this.leaf.fieldKind === "list") (target[this.leaf.localName] as unknown[]).push(value);
    else setField(target, this.leaf, value);
  }

  get(message: Message): unknown {
    let value: unknown = message;
    for (const field of this.fields) {
      if (value === undefined) return undefined;
      value = getField(value as Fields, field);
    }
    return value;
  }
}

/** The message in a field, made where it is absent. */
function child(parent: Fields, field: DescField): Fields {
  const present = getField(parent, field);
  if (present !== undefined) return present as Fields;
  if (field.fieldKind !== "message") throw new Error(`${field.name} is not a message`);
  const made = create(field.message);
  setField(parent, field, made);
  return made as unknown as Fields;
}

/** A field of a message by its descriptor; undefined where a message or oneof member is not set. */
export function getField(fields: Fields, field: DescField): unknown {
  if (field.oneof === undefined) return fields[field.localName];
  const oneof = fields[field.oneof.localName] as OneofValue;
  return oneof.case === field.localName ? oneof.value : undefined;
}

export function setField(fields: Fields, field: DescField, value: unknown): void {
  if (field.oneof === undefined) {
    fields[field.localName] = value;
    return;
  }
  const oneof = fields[field.oneof.localName] as OneofValue;
  if (oneof.case !== undefined && oneof.case !== field.localName) {
    throw fieldInvalid(
      field.jsonName,
      `excludes ${oneof.case}, which is given too: both belong to "${field.oneof.name}"`,
    );
  }
  fields[field.oneof.localName] = { case: field.localName, value };
}

/** Whether a path or query may carry this field at all. */
export function isTextField(field: DescField): boolean {
  return parseScalarText(field) !== undefined;
}
