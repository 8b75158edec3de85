/** What a query may cost, counted on its syntax before anything else is done with it. */
import {
  type DocumentNode,
  type FragmentDefinitionNode,
  type GraphQLField,
  type GraphQLNamedType,
  type GraphQLSchema,
  getNamedType,
  isListType,
  isObjectType,
  Kind,
  type SelectionSetNode,
} from "graphql";

export interface GraphqlLimits {
  /** Default 10. */
  readonly maxDepth: number;
  /** Default 30. */
  readonly maxAliases: number;
  /** Fields beside each other, of one object: the library compares each with each. Default 250. */
  readonly maxWidth: number;
  /** Default 2000. */
  readonly maxTokens: number;
  /** A method counts ten times its `rate_cost`, a resource that is joined one; times the entries of the lists around it. Default 5000. */
  readonly maxCost: number;
}

export const defaultLimits: GraphqlLimits = {
  ...{ maxDepth: 10, maxAliases: 30, maxWidth: 250 },
  ...{ maxTokens: 2000, maxCost: 5000 },
};

/** Entries of a list whose length nobody can know before. */
const assumedEntries = 50;

interface Measure {
  readonly depth: number;
  readonly aliases: number;
  readonly cost: number;
}
const nothing: Measure = { depth: 0, aliases: 0, cost: 0 };

/** The largest operation of a document. */
export function measure(
  schema: GraphQLSchema,
  document: DocumentNode,
): Measure & { readonly width: number; readonly introspects: boolean } {
  const measurer = new Measurer(schema, document);
  let { depth, aliases, cost } = nothing;
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.OPERATION_DEFINITION) continue;
    const root = schema.getRootType(definition.operation);
    const found = measurer.selection(definition.selectionSet, root ?? undefined);
    depth = Math.max(depth, found.depth);
    aliases = Math.max(aliases, found.aliases);
    cost = Math.max(cost, found.cost);
  }
  return { depth, aliases, cost, width: measurer.width, introspects: measurer.introspects };
}

class Measurer {
  readonly #schema: GraphQLSchema;
  readonly #fragments = new Map<string, FragmentDefinitionNode>();
  /** A fragment is measured once, however often it is spread. */
  readonly #measured = new Map<string, Measure>();
  readonly #open = new Set<string>();
  /** The most fields that one object has. */
  width = 0;
  /** Whether the schema itself is asked for. */
  introspects = false;

  constructor(schema: GraphQLSchema, document: DocumentNode) {
    this.#schema = schema;
    for (const definition of document.definitions)
      if (definition.kind === Kind.FRAGMENT_DEFINITION)
        this.#fragments.set(definition.name.value, definition);
  }

  selection(set: SelectionSetNode, type: GraphQLNamedType | undefined): Measure {
    let depth = 0;
    let aliases = 0;
    let cost = 0;
    this.width = Math.max(this.width, set.selections.length);
    for (const node of set.selections) {
      let found: Measure;
      if (node.kind === Kind.FRAGMENT_SPREAD) found = this.#fragment(node.name.value);
      else if (node.kind === Kind.INLINE_FRAGMENT) {
        const on = node.typeCondition && this.#schema.getType(node.typeCondition.name.value);
        found = this.selection(node.selectionSet, on ?? type);
      } else {
        // What the schema says of itself is bounded by the schema and by the tokens.
        if (node.name.value.startsWith("__")) {
          if (node.name.value !== "__typename") this.introspects = true;
          if (node.alias !== undefined) aliases += 1;
          continue;
        }
        const field = isObjectType(type) ? type.getFields()[node.name.value] : undefined;
        const inner =
          node.selectionSet === undefined
            ? nothing
            : this.selection(node.selectionSet, field && getNamedType(field.type));
        found = {
          depth: inner.depth + 1,
          aliases: inner.aliases + (node.alias === undefined ? 0 : 1),
          cost: ownCost(field) + inner.cost * (isList(field) ? assumedEntries : 1),
        };
      }
      depth = Math.max(depth, found.depth);
      aliases += found.aliases;
      cost += found.cost;
    }
    return { depth, aliases, cost };
  }

  #fragment(name: string): Measure {
    const known = this.#measured.get(name);
    if (known !== undefined) return known;
    const fragment = this.#fragments.get(name);
    if (fragment === undefined) return nothing;
    // A fragment that holds itself has no end.
    if (this.#open.has(name)) return { depth: Number.POSITIVE_INFINITY, aliases: 0, cost: 0 };
    this.#open.add(name);
    const type = this.#schema.getType(fragment.typeCondition.name.value);
    const measure = this.selection(fragment.selectionSet, type ?? undefined);
    this.#open.delete(name);
    this.#measured.set(name, measure);
    return measure;
  }
}

function ownCost(field: GraphQLField<unknown, unknown> | undefined): number {
  if (field?.extensions.method !== undefined) return 10 * (field.extensions.cost as number);
  return field?.extensions.join === true ? 1 : 0;
}

function isList(field: GraphQLField<unknown, unknown> | undefined): boolean {
  const type = field?.type;
  return type !== undefined && (isListType(type) || ("ofType" in type && isListType(type.ofType)));
}
