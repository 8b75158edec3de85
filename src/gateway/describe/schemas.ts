/** Messages as JSON Schema (2020-12, as OpenAPI 3.1 uses it), in the shapes of ProtoJSON. */
import { type DescEnum, type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import type { Catalog } from "#gateway/catalog/catalog.ts";
import { FieldBehavior } from "#gen/google/api/field_behavior_pb.ts";
import { behaviours } from "./behaviours.ts";
import { constraintsOf } from "./constraints.ts";
import { splitExample } from "./examples.ts";

export type Schema = Readonly<Record<string, unknown>>;

/** Well-known types with a JSON form of their own. */
const wellKnown: Readonly<Record<string, Schema>> = {
  "google.protobuf.Timestamp": { type: "string", format: "date-time" },
  "google.protobuf.Duration": {
    type: "string",
    pattern: "^-?\\d{1,12}(\\.\\d{1,9})?s$",
    description: 'Seconds with up to nine fraction digits and "s", for example "1.5s".',
  },
  "google.protobuf.FieldMask": {
    type: "string",
    description: "Field paths in lowerCamelCase, comma-separated.",
  },
  "google.protobuf.Empty": { type: "object", additionalProperties: false },
  "google.protobuf.Struct": { type: "object", additionalProperties: true },
  "google.protobuf.Value": {},
  "google.protobuf.ListValue": { type: "array", items: {} },
  "google.protobuf.Any": {
    type: "object",
    properties: { "@type": { type: "string" } },
    required: ["@type"],
    additionalProperties: true,
  },
};

/** Collects the schemas that a document refers to, each once. */
export class Schemas {
  readonly #catalog: Catalog;
  readonly #prefix: string;
  readonly #byName = new Map<string, Schema>();
  /** Messages that clients send: keys that these do not have are refused. Those of replies alone may get more. */
  readonly #sent = new Set<DescMessage>();

  /** @param prefix of references to them. */
  constructor(catalog: Catalog, prefix = "#/components/schemas/") {
    this.#catalog = catalog;
    this.#prefix = prefix;
    const send = (desc: DescMessage): void => {
      if (this.#sent.has(desc)) return;
      this.#sent.add(desc);
      for (const field of desc.fields) if (field.message !== undefined) send(field.message);
    };
    for (const { input } of catalog.methods.values()) send(input.desc);
  }

  /** Sorted by name. */
  all(): Record<string, Schema> {
    return Object.fromEntries([...this.#byName].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  ofMessage(desc: DescMessage): Schema {
    const known = wellKnown[desc.typeName];
    if (known !== undefined) return known;
    if (desc.typeName.startsWith("google.protobuf.") && desc.typeName.endsWith("Value"))
      return { type: ["string", "number", "boolean", "null"] };
    if (!this.#byName.has(desc.typeName)) {
      // Before its fields: a message may contain itself.
      this.#byName.set(desc.typeName, {});
      this.#byName.set(desc.typeName, this.#object(desc));
    }
    return { $ref: `${this.#prefix}${desc.typeName}` };
  }

  /** A request's message as a body beside a path, which has the fields of these names already. */
  ofBody(desc: DescMessage, inPath: ReadonlySet<string>): Schema {
    if (!desc.fields.some((field) => inPath.has(field.name))) return this.ofMessage(desc);
    return this.#object(
      desc,
      desc.fields.filter((field) => !inPath.has(field.name)),
    );
  }

  /** A resource's message as the body of a PATCH: what is not there stays as it is. */
  ofPatch(desc: DescMessage): Schema {
    const { required: _required, ...partial } = this.#object(desc);
    return partial;
  }

  ofField(field: DescField): Schema {
    const { own, items } = constraintsOf(field);
    const schema = { ...this.#ofValue(field, items), ...own };
    const description = splitExample(this.#catalog.commentOf(field)).text;
    const readOnly = behaviours(field).includes(FieldBehavior.OUTPUT_ONLY);
    return {
      ...schema,
      ...(description === "" ? {} : { description }),
      ...(readOnly ? { readOnly: true } : {}),
    };
  }

  #object(desc: DescMessage, fields: readonly DescField[] = desc.fields): Schema {
    const required = fields
      .filter((field) => behaviours(field).includes(FieldBehavior.REQUIRED))
      .map((field) => field.jsonName);
    const description = this.#catalog.commentOf(desc);
    return {
      type: "object",
      ...(description === "" ? {} : { description }),
      properties: Object.fromEntries(fields.map((field) => [field.jsonName, this.ofField(field)])),
      ...(required.length === 0 ? {} : { required }),
      ...(this.#sent.has(desc) ? { additionalProperties: false } : {}),
    };
  }

  #ofValue(field: DescField, items: Schema): Schema {
    switch (field.fieldKind) {
      case "scalar":
        return ofScalar(field.scalar);
      case "enum":
        return ofEnum(field.enum);
      case "message":
        return this.ofMessage(field.message);
      case "list":
        return { type: "array", items: { ...this.#ofItem(field), ...items } };
      case "map":
        return { type: "object", additionalProperties: { ...this.#ofItem(field), ...items } };
    }
  }

  #ofItem(field: DescField & { readonly fieldKind: "list" | "map" }): Schema {
    if (field.message !== undefined) return this.ofMessage(field.message);
    if (field.enum !== undefined) return ofEnum(field.enum);
    return ofScalar(field.scalar ?? ScalarType.STRING);
  }
}

function ofEnum(desc: DescEnum): Schema {
  return { type: "string", enum: desc.values.map((value) => value.name) };
}

function ofScalar(type: ScalarType): Schema {
  switch (type) {
    case ScalarType.STRING:
      return { type: "string" };
    case ScalarType.BOOL:
      return { type: "boolean" };
    case ScalarType.BYTES:
      return { type: "string", contentEncoding: "base64" };
    case ScalarType.DOUBLE:
      return { type: "number", format: "double" };
    case ScalarType.FLOAT:
      return { type: "number", format: "float" };
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return { type: "string", format: "int64" };
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return { type: "string", format: "uint64" };
    default:
      return { type: "integer", format: "int32" };
  }
}
