/**
 * The filter language of AIP-160, as far as Portico has it, from text to a tree.
 *
 *     filter      = expression          expression = sequence { "AND" sequence }      sequence = factor { factor }
 *     factor      = term { "OR" term }  term       = [ "NOT" | "-" ] simple           simple   = "(" expression ")" | restriction
 *     restriction = field comparator value | value
 *
 * OR binds tighter than AND, and terms side by side are joined by AND: both as AIP-160 has it. Comparators: = != < <= > >= and
 * `:` (has). A value is a word or a quoted string; `*` at its ends stands for anything. No functions.
 */
import { RpcError } from "#rpc/error.ts";

export type Comparator = "=" | "!=" | "<" | "<=" | ">" | ">=" | ":";

export type Filter =
  | { readonly kind: "and" | "or"; readonly parts: readonly Filter[] }
  | { readonly kind: "not"; readonly part: Filter }
  /** `field` is empty for a value that stands alone. */
  | {
      readonly kind: "restriction";
      readonly field: string;
      readonly comparator: Comparator;
      readonly value: string;
      readonly quoted: boolean;
      /** 1-based character, for errors. */
      readonly column: number;
    };

/** Characters of a filter. */
export const maxFilterLength = 4096;
/** Restrictions in a filter: each is a condition that the database checks for every row. */
const maxRestrictions = 64;
const maxDepth = 20;

/** @throws RpcError `invalid_argument` FILTER_INVALID with the column. Undefined: an empty filter. */
export function parseFilter(text: string): Filter | undefined {
  if (text.length > maxFilterLength)
    throw filterInvalid(`has ${text.length} characters; ${maxFilterLength} are allowed`);
  const tokens = scan(text);
  if (tokens.length === 0) return undefined;
  const parser = new Parser(tokens, text.length + 1);
  return parser.whole();
}

/** @param column 1-based; 0: the filter as a whole. */
export function filterInvalid(problem: string, column = 0): RpcError {
  return new RpcError("invalid_argument", {
    reason: "FILTER_INVALID",
    message: `filter: ${problem}${column === 0 ? "" : ` (column ${column})`}`,
    metadata: { field: "filter", ...(column === 0 ? {} : { column: String(column) }) },
  });
}

interface Token {
  readonly kind: "word" | "string" | "symbol";
  readonly text: string;
  readonly column: number;
}

const symbol = /^(?:<=|>=|!=|[=<>:()-])/;
const word = /^[^\s"'=<>!:(),]+/;

function scan(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const rest = text.slice(at);
    const column = at + 1;
    const space = /^\s+/.exec(rest);
    if (space !== null) {
      at += space[0].length;
      continue;
    }
    const first = rest.charAt(0);
    if (first === '"' || first === "'") {
      const { value, length } = readString(rest, first, column);
      tokens.push({ kind: "string", text: value, column });
      at += length;
      continue;
    }
    // A minus is "not" where a term begins; inside a word or before a digit after a comparator it is part of the word.
    const afterComparator = tokens.at(-1)?.kind === "symbol" && !/[()-]/.test(tokens.at(-1)?.text ?? "(");
    const found = first === "-" && afterComparator ? word.exec(rest) : (symbol.exec(rest) ?? word.exec(rest));
    if (found === null) throw filterInvalid(`"${first}" is not expected here`, column);
    tokens.push({
      kind: symbol.test(found[0]) && !(first === "-" && afterComparator) ? "symbol" : "word",
      text: found[0],
      column,
    });
    at += found[0].length;
  }
  return tokens;
}

function readString(rest: string, quote: string, column: number): { value: string; length: number } {
  let value = "";
  for (let at = 1; at < rest.length; at += 1) {
    const letter = rest.charAt(at);
    if (letter === quote) return { value, length: at + 1 };
    if (letter === "\\") {
      at += 1;
      // An escaped star is a star and not "anything": it keeps its backslash until the value is compared.
      value += rest.charAt(at) === "*" ? "\\*" : rest.charAt(at);
    } else value += letter;
  }
  throw filterInvalid("the string is not closed", column);
}

const comparators: ReadonlySet<string> = new Set(["=", "!=", "<", "<=", ">", ">=", ":"]);

class Parser {
  readonly #tokens: readonly Token[];
  readonly #end: number;
  #at = 0;
  #depth = 0;
  #restrictions = 0;

  constructor(tokens: readonly Token[], end: number) {
    this.#tokens = tokens;
    this.#end = end;
  }

  whole(): Filter {
    const filter = this.#expression();
    const left = this.#peek();
    if (left !== undefined) throw this.#unexpected(left);
    return filter;
  }

  #expression(): Filter {
    const parts = [this.#sequence()];
    while (this.#takeWord("AND")) parts.push(this.#sequence());
    return join("and", parts);
  }

  #sequence(): Filter {
    const parts = [this.#factor()];
    for (let next = this.#peek(); next !== undefined; next = this.#peek()) {
      if (isWord(next, "AND") || next.text === ")") break;
      parts.push(this.#factor());
    }
    return join("and", parts);
  }

  #factor(): Filter {
    const parts = [this.#term()];
    while (this.#takeWord("OR")) parts.push(this.#term());
    return join("or", parts);
  }

  #term(): Filter {
    const next = this.#peek();
    if (next !== undefined && (isWord(next, "NOT") || (next.kind === "symbol" && next.text === "-"))) {
      this.#at += 1;
      return { kind: "not", part: this.#simple() };
    }
    return this.#simple();
  }

  #simple(): Filter {
    const next = this.#peek();
    if (next === undefined) throw filterInvalid("something is missing at the end", this.#end);
    if (next.kind === "symbol" && next.text === "(") return this.#composite();
    if (next.kind === "symbol" || isWord(next, "AND") || isWord(next, "OR") || isWord(next, "NOT"))
      throw this.#unexpected(next);
    return this.#restriction(next);
  }

  #composite(): Filter {
    this.#at += 1;
    this.#depth += 1;
    if (this.#depth > maxDepth) throw filterInvalid(`nests deeper than ${maxDepth} levels`);
    const inner = this.#expression();
    const close = this.#peek();
    if (close?.text !== ")" || close.kind !== "symbol")
      throw filterInvalid('a ")" is missing', close?.column ?? this.#end);
    this.#at += 1;
    this.#depth -= 1;
    return inner;
  }

  #restriction(first: Token): Filter {
    this.#at += 1;
    this.#restrictions += 1;
    if (this.#restrictions > maxRestrictions)
      throw filterInvalid(`has more than ${maxRestrictions} conditions`);
    const next = this.#peek();
    if (next?.kind !== "symbol" || !comparators.has(next.text)) {
      const { text: value, column } = first;
      return {
        kind: "restriction",
        field: "",
        comparator: ":",
        value,
        quoted: first.kind === "string",
        column,
      };
    }
    if (first.kind === "string") throw filterInvalid("a field name must not be quoted", first.column);
    this.#at += 1;
    const value = this.#peek();
    if (value === undefined || value.kind === "symbol")
      throw filterInvalid(
        `a value is missing after "${first.text} ${next.text}"`,
        value?.column ?? this.#end,
      );
    this.#at += 1;
    return {
      kind: "restriction",
      field: first.text,
      comparator: next.text as Comparator,
      value: value.text,
      quoted: value.kind === "string",
      column: first.column,
    };
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#at];
  }

  #takeWord(text: string): boolean {
    const next = this.#peek();
    if (next === undefined || !isWord(next, text)) return false;
    this.#at += 1;
    return true;
  }

  #unexpected(token: Token): RpcError {
    return filterInvalid(`"${token.text.slice(0, 50)}" is not expected here`, token.column);
  }
}

function isWord(token: Token, text: string): boolean {
  return token.kind === "word" && token.text === text;
}

function join(kind: "and" | "or", parts: readonly Filter[]): Filter {
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : { kind, parts };
}
