/**
 * google.protobuf.Struct from the JSON that messages hold it as, in protobuf's binary format.
 *
 * @see https://github.com/protocolbuffers/protobuf/blob/main/src/google/protobuf/struct.proto
 */
import { ScalarType } from "@bufbuild/protobuf";
import type { ByteSink } from "#std/byte-sink.ts";
import { scalarOf } from "./binary-scalars.ts";
import { sized, tagged } from "./binary-sized.ts";

const key = tagged(1, scalarOf(ScalarType.STRING));
const entryValue = sized(2, writeValue);
const entry = sized(1, (sink, value) => {
  const [name, held] = value as readonly [string, unknown];
  key(sink, name);
  entryValue(sink, held);
});

/** What is no object is an empty one, as for protobuf-es. */
export function writeStruct(sink: ByteSink, value: unknown): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return;
  const fields = value as Readonly<Record<string, unknown>>;
  for (const name of Object.keys(fields)) entry(sink, [name, fields[name]]);
}

const nullValue = tagged(1, scalarOf(ScalarType.INT32));
const numberValue = tagged(2, scalarOf(ScalarType.DOUBLE));
const stringValue = tagged(3, scalarOf(ScalarType.STRING));
const boolValue = tagged(4, scalarOf(ScalarType.BOOL));
const structValue = sized(5, writeStruct);
const item = sized(1, writeValue);
const listValue = sized(6, (sink, value) => {
  for (const one of value as readonly unknown[]) item(sink, one);
});

/** What is no JSON is a Value of nothing. */
function writeValue(sink: ByteSink, value: unknown): void {
  switch (typeof value) {
    case "number":
      numberValue(sink, value);
      break;
    case "string":
      stringValue(sink, value);
      break;
    case "boolean":
      boolValue(sink, value);
      break;
    case "object":
      if (value === null) nullValue(sink, 0);
      else if (Array.isArray(value)) listValue(sink, value);
      else structValue(sink, value);
      break;
    default:
      break;
  }
}
