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
  readonly #registry: Registry;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  write(desc: DescMessage, message: Message): Uint8Array {
    return Buffer.from(
      JSON.stringify(toJson(desc, message, { registry: this.#registry, alwaysEmitImplicit: true })),
    );
  }

  writeField(message: Message, field: DescField): Uint8Array {
    const json = toJson(field.parent, message, {
      registry: this.#registry,
      alwaysEmitImplicit: true,
    }) as JsonObject;
    return Buffer.from(JSON.stringify(json[field.jsonName] ?? null));
  }
}
