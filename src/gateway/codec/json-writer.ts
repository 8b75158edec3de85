/** ProtoJSON out. */
import {
  type DescField,
  type DescMessage,
  type JsonObject,
  type Message,
  type Registry,
  toJson,
} from "@bufbuild/protobuf";

export class JsonWriter {
  readonly #options: { readonly registry: Registry; readonly alwaysEmitImplicit: true };

  constructor(registry: Registry) {
    this.#options = { registry, alwaysEmitImplicit: true };
  }

  write(desc: DescMessage, message: Message): Uint8Array {
    return Buffer.from(this.writeText(desc, message));
  }

  writeText(desc: DescMessage, message: Message): string {
    return JSON.stringify(toJson(desc, message, this.#options));
  }

  writeField(message: Message, field: DescField): string {
    const json = toJson(field.parent, message, this.#options) as JsonObject;
    return JSON.stringify(json[field.jsonName] ?? null);
  }
}
