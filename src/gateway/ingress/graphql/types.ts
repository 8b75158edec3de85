/**
 * Messages as GraphQL types. Objects are what ProtoJSON makes of messages, so that a reply needs no conversion but for maps.
 *
 * | Protobuf | GraphQL |
 * |---|---|
 * | message | object type, and an input type `…Input` without what only the server sets |
 * | field with implicit presence, list, map | not null; its zero where ProtoJSON leaves it out |
 * | optional field, message | null where it is not set |
 * | oneof | its members, of which at most one is not null; two in a request are INVALID_ARGUMENT |
 * | map | list of `{key, value}` |
 * | 64-bit integer | Int64, UInt64: text |
 * | float, double | Float; NaN and the infinities are null |
 * | enum | enum; a number without a name is null |
 * | Timestamp, Duration, FieldMask, bytes | scalars of those names, text |
 * | Struct, Value, ListValue, Any | JSON |
 * | wrappers | what they wrap, or null |
 * | Empty | JSON: {} |
 */
import { type DescEnum, type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import {
  GraphQLBoolean,
  GraphQLEnumType,
  type GraphQLFieldConfigMap,
  GraphQLFloat,
  type GraphQLInputFieldConfigMap,
  GraphQLInputObjectType,
  GraphQLInt,
  GraphQLList,
  GraphQLNonNull,
  type GraphQLNullableInputType,
  type GraphQLNullableOutputType,
  GraphQLObjectType,
  type GraphQLScalarType,
  GraphQLString,
} from "graphql";
import type { Catalog } from "#gateway/catalog/catalog.ts";
import { behavioursOf } from "#gateway/describe/describe.ts";
import { FieldBehavior } from "#gen/google/api/field_behavior_pb.ts";
import { type Joins, joinFields } from "./joins.ts";
import { bytes, duration, fieldMask, int64, json, timestamp, uint32, uint64 } from "./scalars.ts";

type Json = Readonly<Record<string, unknown>>;

const wellKnown: Readonly<Record<string, GraphQLScalarType>> = {
  "google.protobuf.Timestamp": timestamp,
  "google.protobuf.Duration": duration,
  "google.protobuf.FieldMask": fieldMask,
  "google.protobuf.Empty": json,
  "google.protobuf.Struct": json,
  "google.protobuf.Value": json,
  "google.protobuf.ListValue": json,
  "google.protobuf.Any": json,
  "google.protobuf.DoubleValue": GraphQLFloat,
  "google.protobuf.FloatValue": GraphQLFloat,
  "google.protobuf.Int64Value": int64,
  "google.protobuf.UInt64Value": uint64,
  "google.protobuf.Int32Value": GraphQLInt,
  "google.protobuf.UInt32Value": uint32,
  "google.protobuf.BoolValue": GraphQLBoolean,
  "google.protobuf.StringValue": GraphQLString,
  "google.protobuf.BytesValue": bytes,
};

export class Types {
  readonly #catalog: Catalog;
  readonly #joins: Joins;
  readonly #names = new Map<string, string>();
  readonly #taken = new Set(["Query", "Mutation", "Subscription"]);
  readonly #outputs = new Map<string, GraphQLObjectType>();
  readonly #inputs = new Map<string, GraphQLInputObjectType>();
  readonly #enums = new Map<string, GraphQLEnumType>();

  constructor(catalog: Catalog, joins: Joins) {
    this.#catalog = catalog;
    this.#joins = joins;
    for (const scalar of Object.values(wellKnown)) this.#taken.add(scalar.name);
  }

  /** Of a method's answer. */
  answer(desc: DescMessage): GraphQLNullableOutputType {
    return wellKnown[desc.typeName] ?? this.output(desc);
  }

  output(desc: DescMessage): GraphQLObjectType {
    let type = this.#outputs.get(desc.typeName);
    if (type === undefined) {
      type = new GraphQLObjectType({
        name: this.#nameOf(desc),
        description: this.#describe(desc),
        fields: () => this.#outputFields(desc),
      });
      this.#outputs.set(desc.typeName, type);
    }
    return type;
  }

  /** A request's fields: the arguments of its method. What GraphQL has a scalar for is one argument, `value`. */
  inputFields(desc: DescMessage): GraphQLInputFieldConfigMap {
    const scalar = wellKnown[desc.typeName];
    if (scalar !== undefined) return desc.fields.length === 0 ? {} : { value: { type: scalar } };
    const fields: GraphQLInputFieldConfigMap = {};
    for (const field of desc.fields) {
      const behaviours = behavioursOf(field);
      // Updates name what they change, and what they saw of it.
      const isKey = field.name === "id" || field.name === "name" || field.name === "etag";
      if (behaviours.includes(FieldBehavior.OUTPUT_ONLY) && !isKey) continue;
      const type = this.#inputOf(field);
      fields[nameOf(field)] = {
        type: behaviours.includes(FieldBehavior.REQUIRED) ? new GraphQLNonNull(type) : type,
        description: this.#describe(field),
        extensions: { field },
      };
    }
    return fields;
  }

  #nameOf(desc: DescMessage | DescEnum): string {
    const known = this.#names.get(desc.typeName);
    if (known !== undefined) return known;
    const { package: of } = desc.file.proto;
    const own = desc.typeName.slice(of === "" ? 0 : of.length + 1).replaceAll(".", "_");
    const plain = own.replace(/^__/, "X__");
    const name = this.#isTaken(plain) ? desc.typeName.replaceAll(".", "_") : plain;
    this.#names.set(desc.typeName, name);
    this.#taken.add(name).add(`${name}Input`);
    return name;
  }

  #isTaken(name: string): boolean {
    return this.#taken.has(name) || this.#taken.has(`${name}Input`);
  }

  #describe(desc: DescMessage | DescEnum | DescField): string | null {
    const comment = this.#catalog.commentOf(desc);
    // Examples are for documents that show requests.
    return comment.replace(/\n?Example: .*$/s, "").trim() || null;
  }

  #outputFields(desc: DescMessage): GraphQLFieldConfigMap<Json, unknown> {
    const fields: GraphQLFieldConfigMap<Json, unknown> = {};
    for (const field of desc.fields) {
      const zero = zeroOf(field);
      const type = this.#outputOf(field);
      fields[nameOf(field)] = {
        type: zero === undefined || isOpen(field) ? type : new GraphQLNonNull(type),
        description: this.#describe(field),
        deprecationReason: field.proto.options?.deprecated === true ? "Its contract says so." : null,
        resolve: (source) => {
          const value = source[field.jsonName];
          return value === undefined ? zero : fromProtoJson(field, value);
        },
      };
    }
    for (const [name, join] of joinFields(desc, this.#joins))
      fields[name] ??= {
        type: join.isList
          ? new GraphQLNonNull(new GraphQLList(this.output(join.output)))
          : this.output(join.output),
        description: `What \`${join.field.jsonName}\` names; null where it is not there.`,
        resolve: join.resolve,
        extensions: { join: true },
      };
    // A type without a field is none: what the message is worth is that it is there.
    if (desc.fields.length === 0) fields._empty = { type: GraphQLBoolean };
    return fields;
  }

  #outputOf(field: DescField): GraphQLNullableOutputType {
    const item = this.#outputItem(field);
    const full = isOpen(field) ? item : new GraphQLNonNull(item);
    if (field.fieldKind === "list") return new GraphQLList(full);
    if (field.fieldKind === "map")
      return new GraphQLList(
        new GraphQLNonNull(
          this.#entry(field, (fields) => new GraphQLObjectType(fields), full, this.#outputs),
        ),
      );
    return this.#outputItem(field);
  }

  #inputOf(field: DescField): GraphQLNullableInputType {
    if (field.fieldKind === "list") return new GraphQLList(new GraphQLNonNull(this.#inputItem(field)));
    if (field.fieldKind === "map")
      return new GraphQLList(
        new GraphQLNonNull(
          this.#entry(
            field,
            (fields) => new GraphQLInputObjectType(fields),
            new GraphQLNonNull(this.#inputItem(field)),
            this.#inputs,
            "Input",
          ),
        ),
      );
    return this.#inputItem(field);
  }

  #entry<T, Item>(
    field: DescField & { readonly fieldKind: "map" },
    make: (about: { name: string; fields: Record<string, { type: never }> }) => T,
    item: Item,
    known: Map<string, T>,
    suffix = "",
  ): T {
    const key = `${field.parent.typeName}/${field.name}`;
    let type = known.get(key);
    if (type === undefined) {
      const name = `${this.#nameOf(field.parent)}_${field.jsonName}Entry${suffix}`;
      const fields = {
        key: { type: new GraphQLNonNull(GraphQLString) as never },
        value: { type: item as never },
      };
      type = make({ name, fields });
      known.set(key, type);
    }
    return type;
  }

  #outputItem(field: DescField): GraphQLNullableOutputType {
    if (field.message !== undefined) return wellKnown[field.message.typeName] ?? this.output(field.message);
    return field.enum === undefined ? scalarOf(field.scalar) : this.#enumOf(field.enum);
  }

  #inputItem(field: DescField): GraphQLNullableInputType {
    if (field.message !== undefined) return wellKnown[field.message.typeName] ?? this.#input(field.message);
    return field.enum === undefined ? scalarOf(field.scalar) : this.#enumOf(field.enum);
  }

  #input(desc: DescMessage): GraphQLInputObjectType {
    let type = this.#inputs.get(desc.typeName);
    if (type === undefined) {
      type = new GraphQLInputObjectType({
        name: `${this.#nameOf(desc)}Input`,
        description: this.#describe(desc),
        fields: () => {
          const fields = this.inputFields(desc);
          return Object.keys(fields).length === 0 ? { _empty: { type: GraphQLBoolean } } : fields;
        },
        extensions: { message: desc },
      });
      this.#inputs.set(desc.typeName, type);
    }
    return type;
  }

  #enumOf(desc: DescEnum): GraphQLEnumType {
    let type = this.#enums.get(desc.typeName);
    if (type === undefined) {
      type = new GraphQLEnumType({
        name: this.#nameOf(desc),
        description: this.#describe(desc),
        values: Object.fromEntries(desc.values.map(({ name }) => [safe(name), { value: name }])),
      });
      this.#enums.set(desc.typeName, type);
    }
    return type;
  }
}

function scalarOf(type: ScalarType | undefined): GraphQLScalarType {
  switch (type) {
    case ScalarType.STRING:
      return GraphQLString;
    case ScalarType.BOOL:
      return GraphQLBoolean;
    case ScalarType.BYTES:
      return bytes;
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return GraphQLFloat;
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return int64;
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return uint64;
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return uint32;
    default:
      return GraphQLInt;
  }
}

const isFloat = (field: DescField): boolean =>
  field.scalar === ScalarType.DOUBLE ||
  field.scalar === ScalarType.FLOAT ||
  /(Double|Float)Value$/.test(field.message?.typeName ?? "");

/** A double that is none, and an enum's number without a name, have no form in GraphQL: they are null. */
function isOpen(field: DescField): boolean {
  return field.enum !== undefined || isFloat(field);
}

/** In GraphQL: ProtoJSON's name, where that is a name there. */
function nameOf(field: DescField): string {
  return safe(/^\w+$/.test(field.jsonName) ? field.jsonName : field.name);
}

/** Names that begin with two underscores, or are a literal, are GraphQL's own. */
function safe(name: string): string {
  return /^(__|\d|(true|false|null)$)/.test(name) ? `x_${name}` : name;
}

/** What ProtoJSON left out; undefined: null is right. */
function zeroOf(field: DescField): unknown {
  if (field.fieldKind === "list" || field.fieldKind === "map") return [];
  if (field.presence !== FeatureSet_FieldPresence.IMPLICIT || field.oneof !== undefined) return undefined;
  if (field.enum !== undefined) return field.enum.values[0]?.name;
  switch (field.scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return "";
    case ScalarType.BOOL:
      return false;
    default:
      return scalarOf(field.scalar).name.endsWith("64") ? "0" : 0;
  }
}

/** From ProtoJSON. */
function fromProtoJson(field: DescField, value: unknown): unknown {
  if (value === undefined || value === null) return undefined;
  if (field.fieldKind === "map")
    return Object.entries(value).map(([key, one]) => ({ key, value: itemOf(field, one) }));
  if (field.fieldKind === "list") return (value as readonly unknown[]).map((one) => itemOf(field, one));
  return itemOf(field, value);
}

function itemOf(field: DescField, value: unknown): unknown {
  if (field.enum !== undefined) return typeof value === "string" ? value : undefined;
  return isFloat(field) && typeof value === "string" ? undefined : value;
}

/** Arguments to ProtoJSON: lists of entries become maps again. */
export function toProtoJson(desc: DescMessage, values: Json): unknown {
  if (wellKnown[desc.typeName] !== undefined) return desc.fields.length === 0 ? {} : (values.value ?? null);
  const message: Record<string, unknown> = {};
  for (const field of desc.fields) {
    const value = values[nameOf(field)];
    if (value === undefined || value === null) continue;
    const item = (one: unknown): unknown =>
      field.message === undefined || wellKnown[field.message.typeName] !== undefined
        ? one
        : toProtoJson(field.message, one as Json);
    if (field.fieldKind === "map")
      message[field.jsonName] = Object.fromEntries(
        (value as readonly { key: string; value: unknown }[]).map((entry) => [entry.key, item(entry.value)]),
      );
    else message[field.jsonName] = field.fieldKind === "list" ? (value as unknown[]).map(item) : item(value);
  }
  return message;
}
