/** From the text of a query to a document that may be executed: limits first, for what is too large is not even validated. */
import {
  type DocumentNode,
  GraphQLError,
  type GraphQLSchema,
  getOperationAST,
  Lexer,
  type OperationTypeNode,
  parse,
  Source,
  specifiedRules,
  TokenKind,
  validate,
} from "graphql";
import type { ErrorCode } from "#rpc/code.ts";
import { codes } from "#rpc/code.ts";
import { type GraphqlLimits, measure } from "./limits.ts";
import type { Asked } from "./request.ts";

export interface Ready {
  readonly kind: "ready";
  readonly document: DocumentNode;
  readonly operation: `${OperationTypeNode}`;
  readonly cost: number;
  /** Of the operation, as its client calls it; undefined: it does not. */
  readonly name: string | undefined;
  readonly asked: Asked;
}

export interface Refusal {
  readonly kind: "refused";
  readonly errors: readonly GraphQLError[];
  /** Over HTTP, whatever the client takes; undefined: 400, and 200 where it takes plain JSON. */
  readonly status: number | undefined;
}

interface Valid {
  readonly kind: "valid";
  readonly document: DocumentNode;
  readonly cost: number;
}

/** Documents that are kept, and their texts' characters in all: a syntax tree is some hundred times its text. */
const maxKept = 256;
const maxKeptCharacters = 256 * 1024;

/** Of values in the text, as in JSON. Fields take at most two brackets a level: their own, and that of what is said of one type only. */
const valueLevels = 64;
const opening: ReadonlySet<TokenKind> = new Set([TokenKind.PAREN_L, TokenKind.BRACKET_L, TokenKind.BRACE_L]);
const closing: ReadonlySet<TokenKind> = new Set([TokenKind.PAREN_R, TokenKind.BRACKET_R, TokenKind.BRACE_R]);

export class Documents {
  readonly #schema: GraphQLSchema;
  readonly #limits: GraphqlLimits;
  readonly #introspection: boolean;
  /** By text, the one that was used last at the end. */
  readonly #kept = new Map<string, Valid>();
  #characters = 0;

  constructor(
    schema: GraphQLSchema,
    options: { readonly limits: GraphqlLimits; readonly introspection: boolean },
  ) {
    this.#schema = schema;
    this.#limits = options.limits;
    this.#introspection = options.introspection;
  }

  prepare(asked: Asked): Ready | Refusal {
    const read = this.#kept.get(asked.query) ?? this.#read(asked.query);
    if (read.kind === "refused") return read;
    this.#keep(asked.query, read);
    const { document, cost } = read;
    const operation = getOperationAST(document, asked.operationName);
    if (operation == null)
      return refused("invalid_argument", {
        reason: "QUERY_INVALID",
        message: "there is no such operation in the query; name one with operationName",
      });
    const name = operation.name?.value;
    return { kind: "ready", document, cost, operation: operation.operation, name, asked };
  }

  /** The sum of what several operations of one request cost. */
  tooDear(cost: number): Refusal | undefined {
    const { maxCost } = this.#limits;
    return cost > maxCost ? tooLarge(`cost: ${cost}, at most ${maxCost}`) : undefined;
  }

  #read(query: string): Valid | Refusal {
    const { maxTokens, maxDepth, maxAliases, maxWidth } = this.#limits;
    const maxNesting = 2 * maxDepth + valueLevels;
    let document: DocumentNode;
    try {
      if (nestsDeeper(query, maxNesting, maxTokens))
        return tooLarge(`brackets in each other: at most ${maxNesting}`);
      document = parse(query, { maxTokens });
    } catch (thrown) {
      const error = thrown as GraphQLError;
      if (error.message.includes("more than") && error.message.includes("tokens"))
        return tooLarge(`tokens: at most ${maxTokens}`);
      return { kind: "refused", errors: [withReason(error)], status: undefined };
    }
    const { depth, aliases, width, cost, introspects } = measure(this.#schema, document);
    if (depth > maxDepth) {
      const shown = Number.isFinite(depth) ? `${depth}` : "a fragment holds itself";
      return tooLarge(`nested fields: ${shown}, at most ${maxDepth}`);
    }
    if (aliases > maxAliases) return tooLarge(`aliases: ${aliases}, at most ${maxAliases}`);
    if (width > maxWidth) return tooLarge(`fields beside each other: ${width}, at most ${maxWidth}`);
    const dear = this.tooDear(cost);
    if (dear !== undefined) return dear;
    if (introspects && !this.#introspection)
      return refused(
        "permission_denied",
        {
          reason: "INTROSPECTION_OFF",
          message: "the schema is not shown here; PORTICO_GRAPHQL_INTROSPECTION=on shows it",
        },
        400,
      );
    const errors = validate(this.#schema, document, specifiedRules, {
      maxErrors: 20,
      hideSuggestions: !this.#introspection,
    });
    // The library compares fields of one name with each other, and stops where that is too many pairs.
    if (errors[0]?.message === "Validation aborted.") return tooLarge("it repeats its fields too often");
    if (errors.length > 0) return { kind: "refused", errors: errors.map(withReason), status: undefined };
    return { kind: "valid", document, cost };
  }

  #keep(query: string, valid: Valid): void {
    if (this.#kept.delete(query)) this.#characters -= query.length;
    this.#kept.set(query, valid);
    this.#characters += query.length;
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= maxKept && this.#characters <= maxKeptCharacters) break;
      this.#kept.delete(oldest);
      this.#characters -= oldest.length;
    }
  }
}

/**
 * Whether brackets of any kind stand in each other more often than that: who reads the text, and who reads values in it, goes one call deeper for each.
 *
 * @throws GraphQLError where a word is none.
 */
function nestsDeeper(query: string, most: number, maxTokens: number): boolean {
  if (query.length <= most) return false;
  const lexer = new Lexer(new Source(query));
  let nesting = 0;
  // More are refused whatever they are.
  for (let count = 0; count <= maxTokens; count += 1) {
    const { kind } = lexer.advance();
    if (kind === TokenKind.EOF) return false;
    if (opening.has(kind)) nesting += 1;
    else if (closing.has(kind)) nesting -= 1;
    if (nesting > most) return true;
  }
  return false;
}

export function refused(
  code: ErrorCode,
  about: { readonly reason: string; readonly message: string },
  status?: number,
): Refusal {
  const extensions = { code: codes[code].label, reason: about.reason };
  return { kind: "refused", errors: [new GraphQLError(about.message, { extensions })], status };
}

function tooLarge(what: string): Refusal {
  const message = `the query is too large: ${what}; ask for less at once`;
  return refused("resource_exhausted", { reason: "QUERY_TOO_LARGE", message }, 400);
}

/** What the library finds wrong with a query, or with its variables, has no code of its own. */
export function withReason({ message, nodes, source, positions }: GraphQLError): GraphQLError {
  const extensions = { code: codes.invalid_argument.label, reason: "QUERY_INVALID" };
  return new GraphQLError(message, { nodes, source, positions, extensions });
}
