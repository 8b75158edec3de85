/** ProtoJSON out. */
import {
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type Message,
  type Registry,
  toJson,
} from "@bufbuild/protobuf";
import { FloatMender } from "./json-floats.ts";

export class JsonWriter {
  readonly #options: { readonly registry: Registry; readonly alwaysEmitImplicit: boolean };
  readonly #floats = new FloatMender();

  constructor(registry: Registry, defaults: "write" | "omit") {
    this.#options = { registry, alwaysEmitImplicit: defaults === "write" };
  }

  write(desc: DescMessage, message: Message): Uint8Array {
    return Buffer.from(this.writeText(desc, message));
  }

  writeText(desc: DescMessage, message: Message): string {
    return JSON.stringify(this.#toJson(desc, message));
  }

  writeField(message: Message, field: DescField): string {
    const json = this.#toJson(field.parent, message) as JsonObject;
    return JSON.stringify(json[field.jsonName] ?? null);
  }

  #toJson(desc: DescMessage, message: Message): JsonValue {
    const json = toJson(desc, message, this.#options);
    return this.#floats.mend(desc, json);
  }
}
