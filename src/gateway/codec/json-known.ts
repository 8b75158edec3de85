/**
 * The well-known types, whose JSON is not that of their fields.
 *
 * @see https://protobuf.dev/programming-guides/json/
 */
import {
  create,
  type DescMessage,
  fromJson,
  type JsonValue,
  type Message,
  type Registry,
  toBinary,
} from "@bufbuild/protobuf";
import { AnySchema, isWrapperDesc } from "@bufbuild/protobuf/wkt";
import type { JsonText } from "./json-text.ts";
import { readArray, readJson, readObject, readScalar } from "./json-value.ts";
import { type TextForm, textForms } from "./text-forms.ts";

/** What an Any needs to read what it holds. */
export interface TypeReader {
  readonly registry: Registry;
  message(desc: DescMessage): (text: JsonText) => Message;
  fieldsOfAny(desc: DescMessage, text: JsonText): Message;
}

type ReadMessage = (text: JsonText) => Message;

/** How to read a type whose JSON is its own; undefined for all others. */
export function knownReader(desc: DescMessage, types: TypeReader): ReadMessage | undefined {
  const form = textForms.get(desc.typeName);
  if (form !== undefined) return readText(desc, form);
  switch (desc.typeName) {
    case "google.protobuf.Any":
      return (text) => readAny(types, text);
    case "google.protobuf.Struct":
      return (text) => fromJson(desc, readObject(text));
    case "google.protobuf.Value":
      return (text) => fromJson(desc, readJson(text));
    case "google.protobuf.ListValue":
      return (text) => fromJson(desc, readArray(text));
    default:
      return isWrapperDesc(desc) ? wrapperReader(desc) : undefined;
  }
}

function wrapperReader(desc: DescMessage): ReadMessage {
  const field = desc.fields[0];
  if (field?.fieldKind !== "scalar") throw new Error(`${desc.typeName} has no value`);
  const read = readScalar(field.scalar, field.longAsString);
  return (text) => create(desc, { value: read(text) });
}

/** `value` of an Any is no field that could be absent: there `null` is the wrapper's default. */
function nullableReader(desc: DescMessage): ReadMessage {
  const read = wrapperReader(desc);
  return (text) => (text.takeNull() ? create(desc) : read(text));
}

function readText(desc: DescMessage, { isValid, problem, separators }: TextForm): ReadMessage {
  return (text) => {
    if (!text.isString()) throw text.mismatch(problem);
    const given = text.string();
    if (separators !== undefined) text.countParts(given, separators);
    if (!isValid(given)) throw text.invalid(problem);
    try {
      return fromJson(desc, given as JsonValue);
    } catch {
      // The form is right and the range is not.
      throw text.invalid(problem);
    }
  };
}

function readAny(types: TypeReader, text: JsonText): Message {
  if (!text.isObject()) throw text.mismatch('must be a JSON object with "@type"');
  const start = text.mark();
  const found = findType(text);
  if (found === undefined) return create(AnySchema);
  text.reset(start);
  const desc = types.registry.getMessage(found.slice(found.lastIndexOf("/") + 1));
  if (desc === undefined) {
    text.path.push("@type");
    throw text.invalid(`"${found.slice(0, 200)}" is not a type of this API`);
  }
  const known = isWrapperDesc(desc) ? nullableReader(desc) : knownReader(desc, types);
  const message = known === undefined ? types.fieldsOfAny(desc, text) : readHeld(known, text);
  return create(AnySchema, { typeUrl: found, value: toBinary(desc, message) });
}

/** The value of `@type`, wherever in the object it stands; undefined for `{}`. */
function findType(text: JsonText): string | undefined {
  let empty = true;
  text.openObject();
  for (let key = text.key(); key !== undefined; key = text.key()) {
    if (key === "@type") {
      text.path.push(key);
      if (!text.isString()) throw text.mismatch("must be the URL of a type");
      const url = text.string();
      if (!/[^/]$/.test(url)) throw text.invalid("must be the URL of a type");
      text.path.pop();
      return url;
    }
    empty = false;
    text.skip();
  }
  if (empty) return undefined;
  throw text.invalid('must have "@type": the type of what it holds');
}

/** `{"@type": …, "value": …}`: a type whose JSON is no object of its fields. */
function readHeld(read: ReadMessage, text: JsonText): Message {
  let message: Message | undefined;
  let types = 0;
  text.openObject();
  for (let key = text.key(); key !== undefined; key = text.key()) {
    text.path.push(key);
    if (key === "@type") {
      types += 1;
      text.skip();
    } else if (key !== "value") throw text.unknown("value");
    else if (message === undefined) message = read(text);
    else throw text.repeated("is given more than once");
    if (types > 1) throw text.repeated("is given more than once");
    text.path.pop();
  }
  if (message !== undefined) return message;
  throw text.invalid('must have "value": a type with a JSON of its own stands there');
}
