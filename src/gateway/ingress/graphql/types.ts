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
import type { DescEnum, DescField, DescMessage } from "@bufbuild/protobuf";
import {
  GraphQLBoolean,
  GraphQLEnumType,
  type GraphQLFieldConfigMap,
  type GraphQLInputFieldConfigMap,
  GraphQLInputObjectType,
  GraphQLList,
  GraphQLNonNull,
  type GraphQLNullableInputType,
  type GraphQLNullableOutputType,
  GraphQLObjectType,
  GraphQLString,
} from "graphql";
import type { Catalog } from "#gateway/catalog/catalog.ts";
import { behavioursOf } from "#gateway/describe/describe.ts";
import { FieldBehavior } from "#gen/google/api/field_behavior_pb.ts";
import { type Joins, joinFields } from "./joins.ts";
import { fromProtoJson, isNullable, isOpen, nameOf, safe, scalarOf, wellKnown, zeroOf } from "./values.ts";

type Json = Readonly<Record<string, unknown>>;

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
    const item = this.#inputItem(field);
    const full = isNullable(field) ? item : new GraphQLNonNull(item);
    if (field.fieldKind === "list") return new GraphQLList(full);
    if (field.fieldKind === "map")
      return new GraphQLList(
        new GraphQLNonNull(
          this.#entry(field, (fields) => new GraphQLInputObjectType(fields), full, this.#inputs, "Input"),
        ),
      );
    return item;
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
