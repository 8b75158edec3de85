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
    return this.#from(desc, parse(bytes));
  }

  readWithPaths(desc: DescMessage, bytes: Uint8Array): { message: Message; paths: string[] } {
    const json = parse(bytes);
    const message = this.#from(desc, json);
    const paths: string[] = [];
    collectPaths(desc, json, "", paths);
    return { message, paths };
  }

  readField(field: DescField, bytes: Uint8Array): unknown {
    const message = this.#from(field.parent, { [field.jsonName]: parse(bytes) });
    return (message as unknown as Record<string, unknown>)[field.localName];
  }

  #from(desc: DescMessage, json: JsonValue): Message {
    try {
      return fromJson(desc, json, {
        registry: this.#registry,
        ignoreUnknownFields: this.#options.unknown === "ignore",
      });
    } catch (cause) {
      throw new RpcError("invalid_argument", {
        reason: "MESSAGE_MALFORMED",
        message: cause instanceof Error ? cause.message : "malformed",
        cause,
      });
    }
  }
}

function parse(bytes: Uint8Array): JsonValue {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8")) as JsonValue;
  } catch (cause) {
    throw new RpcError("invalid_argument", {
      reason: "MESSAGE_MALFORMED",
      message: "the body is not valid JSON",
      cause,
    });
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
