/**
 * How many entries lists and maps may have, looked at by themselves: that costs a look at each list, where the other constraints cost one at each entry.
 * What is in a list that is too long is not looked at.
 */
import {
  type DescField,
  type DescMessage,
  getOption,
  hasOption,
  isFieldSet,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import type { Path } from "@bufbuild/protobuf/reflect";
import {
  field as fieldOption,
  Ignore,
  MapRulesSchema,
  RepeatedRulesSchema,
} from "#gen/buf/validate/validate_pb.ts";

export interface TooMany {
  readonly field: Path;
  readonly message: string;
}

/** @returns the lists and maps that are too long, some of them where there are very many. */
export type CountCheck = (message: Message) => readonly TooMany[];

/** More are not told. */
const maxFound = 100;

/** @returns undefined: no count is limited, however deep. */
export function compileCounts(desc: DescMessage): CountCheck | undefined {
  const root = new Compiler().compile(desc);
  if (root.fields.length === 0) return undefined;
  return (message) => {
    const found: TooMany[] = [];
    look(root, message, { path: [], found });
    return found;
  };
}

interface Node {
  fields: readonly Counted[];
}

/** A field whose entries are limited, or that has messages in it. */
interface Counted {
  readonly field: DescField;
  readonly most: number | undefined;
  readonly inside: Node | undefined;
}

/** Once each: messages may hold themselves. */
class Compiler {
  readonly #nodes = new Map<string, Node>();

  /** Only what leads to a limit is kept: well-known types, which messages hold in other forms, have none. */
  compile(desc: DescMessage): Node {
    const root = this.#message(desc);
    const nodes = [...this.#nodes.values()];
    const limited = new Set(nodes.filter(({ fields }) => fields.some(({ most }) => most !== undefined)));
    const leads = ({ inside }: Counted): boolean => inside !== undefined && limited.has(inside);
    for (let before = -1; before !== limited.size; ) {
      before = limited.size;
      for (const node of nodes) if (node.fields.some(leads)) limited.add(node);
    }
    for (const node of nodes)
      node.fields = node.fields
        .map((one) => (leads(one) ? one : { ...one, inside: undefined }))
        .filter(({ most, inside }) => most !== undefined || inside !== undefined);
    return root;
  }

  #message(desc: DescMessage): Node {
    const known = this.#nodes.get(desc.typeName);
    if (known !== undefined) return known;
    const node: Node = { fields: [] };
    this.#nodes.set(desc.typeName, node);
    node.fields = desc.fields.map((field) => ({
      ...{ field, most: mostOf(field) },
      inside: field.message === undefined ? undefined : this.#message(field.message),
    }));
    return node;
  }
}

function mostOf(field: DescField): number | undefined {
  if (!hasOption(field, fieldOption)) return undefined;
  const { ignore, type } = getOption(field, fieldOption);
  if (ignore === Ignore.ALWAYS) return undefined;
  if (type.case === "repeated" && isFieldSet(type.value, RepeatedRulesSchema.field.maxItems))
    return Number(type.value.maxItems);
  if (type.case === "map" && isFieldSet(type.value, MapRulesSchema.field.maxPairs))
    return Number(type.value.maxPairs);
  return undefined;
}

interface Looking {
  readonly path: Path;
  readonly found: TooMany[];
}

function look(node: Node, message: Message, { path, found }: Looking): void {
  for (const { field, most, inside } of node.fields) {
    if (found.length >= maxFound) return;
    const value = heldBy(message, field);
    if (value === undefined) continue;
    const at: Path = [...path, field];
    const entries = field.fieldKind === "map" ? Object.entries(value) : undefined;
    const count = entries?.length ?? (Array.isArray(value) ? value.length : 0);
    if (most !== undefined && count > most) found.push({ field: at, message: told(field, most) });
    else if (inside !== undefined) {
      if (field.fieldKind === "list")
        for (const [index, item] of (value as Message[]).entries())
          look(inside, item, { path: [...at, { kind: "list_sub", index }], found });
      else if (entries !== undefined)
        for (const [key, item] of entries)
          look(inside, item as Message, {
            path: [...at, { kind: "map_sub", key: keyOf(field, key) }],
            found,
          });
      else look(inside, value as Message, { path: at, found });
    }
  }
}

/** Objects have texts alone. */
function keyOf(field: DescField, key: string): string | number {
  return field.fieldKind === "map" && field.mapKey === ScalarType.STRING ? key : Number(key);
}

/** As generated code and descriptors have it: in a oneof beside the others, and otherwise by its name. */
function heldBy(message: Message, field: DescField): object | undefined {
  const fields = message as unknown as Record<string, unknown>;
  if (field.oneof === undefined) return fields[field.localName] as object | undefined;
  const one = fields[field.oneof.localName] as { case?: string; value?: unknown };
  return one.case === field.localName ? (one.value as object) : undefined;
}

/** In the words of what checks the rest. */
function told({ fieldKind }: DescField, most: number): string {
  return fieldKind === "map"
    ? `map must be at most ${most} entries`
    : `must contain no more than ${most} item(s)`;
}
