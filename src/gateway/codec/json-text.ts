/**
 * JSON text, read token by token straight into what it is for.
 *
 * Nothing in between: numbers keep their digits, so a 64-bit integer never passes through a double; a key given twice is seen;
 * depth and elements are counted while reading; and whatever is wrong is said with the field or the place in the text.
 *
 * @see https://www.rfc-editor.org/rfc/rfc8259
 */
import { RpcError } from "#rpc/error.ts";
import { fieldError, fieldInvalid } from "./field-error.ts";

export interface JsonLimits {
  /** Nesting of arrays and objects. */
  readonly maxDepth: number;
  /** Keys and list elements in all. */
  readonly maxElements: number;
}

/** Where the reader stands; to go back to. */
export interface Mark {
  readonly at: number;
  readonly depth: number;
}

const quote = 34;
const comma = 44;
const minus = 45;
const colon = 58;
const openBracket = 91;
const backslash = 92;
const closeBracket = 93;
const openBrace = 123;
const closeBrace = 125;

const numberToken = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const controlCharacter = /[\u0000-\u001f]/;
/** Strict UTF-8: a byte order mark and broken sequences are errors, not replacement characters. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Text may be read again to find the `@type` of an Any behind its fields; this many times as much as there is. */
const maxRereading = 8;

export class JsonText {
  /** Of the value at hand, in the caller's spelling: names, indexes, and keys of maps in brackets. */
  readonly path: (string | number)[] = [];
  readonly #text: string;
  readonly #limits: JsonLimits;
  #at = 0;
  #depth = 0;
  #elements = 0;
  #reread = 0;
  /** Strings are passed over: somebody else will judge them. */
  #passing = false;
  /** Just inside a bracket: no comma comes before the first entry. */
  #first = false;

  /** @throws RpcError `invalid_argument` MESSAGE_MALFORMED where the bytes are not UTF-8. */
  constructor(bytes: Uint8Array, limits: JsonLimits) {
    this.#limits = limits;
    try {
      this.#text = utf8.decode(bytes);
    } catch (cause) {
      throw malformed("the body is not valid UTF-8", cause);
    }
    if (this.#text.charCodeAt(0) === 0xfeff)
      throw malformed("the body begins with a byte order mark; JSON is sent without one");
  }

  isObject(): boolean {
    return this.#peek() === openBrace;
  }

  isArray(): boolean {
    return this.#peek() === openBracket;
  }

  isString(): boolean {
    return this.#peek() === quote;
  }

  isNumber(): boolean {
    const code = this.#peek();
    return code === minus || (code >= 48 && code <= 57);
  }

  /** Takes `null` where it stands next. */
  takeNull(): boolean {
    return this.#takeWord("null");
  }

  /** Takes `true` or `false`; undefined where neither stands next. */
  takeBoolean(): boolean | undefined {
    if (this.#takeWord("true")) return true;
    return this.#takeWord("false") ? false : undefined;
  }

  /** The digits of a number as they were written. */
  number(): string {
    this.#peek();
    numberToken.lastIndex = this.#at;
    const match = numberToken.exec(this.#text);
    if (match === null) throw this.#unexpected("a number");
    this.#at = numberToken.lastIndex;
    return match[0];
  }

  string(): string {
    if (this.#peek() !== quote) throw this.#unexpected("a string");
    const start = this.#at;
    const end = this.#closingQuote(start);
    if (this.#passing) {
      this.#at = end + 1;
      return "";
    }
    const inner = this.#text.slice(start + 1, end);
    if (!inner.includes("\\")) {
      if (controlCharacter.test(inner)) throw this.#unexpected("a string without raw control characters");
      this.#at = end + 1;
      return inner;
    }
    const text = this.#unescape(start, end);
    this.#at = end + 1;
    // Only an escape can make half of a pair: UTF-8 has none.
    if (!text.isWellFormed()) throw this.invalid("holds half of a surrogate pair, which is no character");
    return text;
  }

  /** Enters an object; `key` then goes through it. */
  openObject(): void {
    this.#open(openBrace, "an object");
  }

  /** The next key of the object, standing before its value; undefined when the object is over. */
  key(): string | undefined {
    if (this.#closes(closeBrace)) return undefined;
    this.#separate("a comma or a closing brace");
    if (this.#peek() !== quote) throw this.#unexpected("a key in double quotes");
    const key = this.string();
    if (this.#peek() !== colon) throw this.#unexpected("a colon");
    this.#at += 1;
    return key;
  }

  /** Enters an array; `item` then goes through it. */
  openArray(): void {
    this.#open(openBracket, "an array");
  }

  /** Whether there is another item, standing before it. */
  item(): boolean {
    if (this.#closes(closeBracket)) return false;
    this.#separate("a comma or a closing bracket");
    return true;
  }

  /** Reads a value of any kind and forgets it. */
  skip(): void {
    if (this.isObject()) {
      this.openObject();
      while (this.key() !== undefined) this.skip();
    } else if (this.isArray()) {
      this.openArray();
      while (this.item()) this.skip();
    } else if (this.isString()) this.string();
    else if (this.isNumber()) this.number();
    else if (!this.takeNull() && this.takeBoolean() === undefined) throw this.#unexpected("a value");
  }

  /** Goes past a value whose strings are for somebody else to judge. */
  pass(): void {
    this.#passing = true;
    this.skip();
    this.#passing = false;
  }

  /** @throws RpcError MESSAGE_MALFORMED where anything but white space is left. */
  end(): void {
    if (this.#peek() !== -1) throw this.#unexpected("the end of the text");
  }

  mark(): Mark {
    this.#peek();
    return { at: this.#at, depth: this.#depth };
  }

  /** What was written between two marks; to the end where there is one alone. */
  written(from: number, to?: number): string {
    return this.#text.slice(from, to);
  }

  /** Back to where an object or array was about to be read. */
  reset(mark: Mark): void {
    this.#reread += this.#at - mark.at;
    if (this.#reread > this.#text.length * maxRereading)
      throw this.invalid('is too costly to read with "@type" behind its fields: put it first');
    this.#at = mark.at;
    this.#depth = mark.depth;
  }

  /** What is wrong with the value at hand. */
  invalid(problem: string): RpcError {
    return this.path.length === 0 ? malformed(`the body ${problem}`) : fieldInvalid(this.#spelled(), problem);
  }

  /** The value that stands next is of another kind than it should be: unless it is no JSON at all, which says more. */
  mismatch(problem: string): RpcError {
    this.skip();
    return this.invalid(problem);
  }

  unknown(hint: string | undefined): RpcError {
    const field = this.#spelled();
    return fieldError(
      "FIELD_UNKNOWN",
      field,
      hint === undefined ? "there is no such field" : `there is no such field; did you mean ${hint}?`,
    );
  }

  repeated(problem: string): RpcError {
    return fieldError("FIELD_REPEATED", this.#spelled(), problem);
  }

  #spelled(): string {
    let text = "";
    for (const part of this.path) {
      if (typeof part === "number") text += `[${part}]`;
      else text += text === "" || part.startsWith("[") ? part : `.${part}`;
    }
    return text.length > 500 ? `${text.slice(0, 500)}…` : text;
  }

  /** The next character that is not white space, -1 at the end. */
  #peek(): number {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return Number.isNaN(code) ? -1 : code;
      this.#at += 1;
    }
  }

  #takeWord(word: string): boolean {
    this.#peek();
    if (!this.#text.startsWith(word, this.#at)) return false;
    this.#at += word.length;
    return true;
  }

  #open(bracket: number, what: string): void {
    if (this.#peek() !== bracket) throw this.#unexpected(what);
    this.#at += 1;
    this.#first = true;
    this.#depth += 1;
    if (this.#depth > this.#limits.maxDepth)
      throw malformed(`the body nests deeper than ${this.#limits.maxDepth} levels`);
  }

  #closes(bracket: number): boolean {
    if (this.#peek() !== bracket) return false;
    this.#at += 1;
    this.#first = false;
    this.#depth -= 1;
    return true;
  }

  #separate(what: string): void {
    if (!this.#first) {
      if (this.#peek() !== comma) throw this.#unexpected(what);
      this.#at += 1;
    }
    this.#first = false;
    this.#count(1);
  }

  #count(elements: number): void {
    this.#elements += elements;
    if (this.#elements > this.#limits.maxElements) throw tooMany(this.#limits.maxElements);
  }

  /** A text that is a list: what it holds counts as elements do. @param separators between its parts, each one character. */
  countParts(text: string, separators: RegExp): void {
    if (text.length > this.#limits.maxElements)
      this.#count(text.split(separators, this.#limits.maxElements + 1).length);
  }

  /** Quotes are looked for and their backslashes counted: text without quotes is passed in one step. */
  #closingQuote(start: number): number {
    let end = this.#text.indexOf('"', start + 1);
    for (; end !== -1; end = this.#text.indexOf('"', end + 1)) {
      let before = end - 1;
      while (this.#text.charCodeAt(before) === backslash) before -= 1;
      if ((end - before) % 2 === 1) return end;
    }
    this.#at = this.#text.length;
    throw this.#unexpected("a closing quote");
  }

  #unescape(start: number, end: number): string {
    try {
      return JSON.parse(this.#text.slice(start, end + 1)) as string;
    } catch {
      throw this.#unexpected("a string with the escapes of JSON");
    }
  }

  #unexpected(wanted: string): RpcError {
    const before = this.#text.slice(0, this.#at);
    const line = before.split("\n").length;
    const column = this.#at - before.lastIndexOf("\n");
    return malformed(`the body is not valid JSON: expected ${wanted} at line ${line}, column ${column}`);
  }
}

function malformed(message: string, cause?: unknown): RpcError {
  return new RpcError("invalid_argument", { reason: "MESSAGE_MALFORMED", message, cause });
}

export function tooMany(limit: number): RpcError {
  return new RpcError("resource_exhausted", {
    reason: "TOO_MANY_ELEMENTS",
    message: `the message holds more than ${limit} elements; send less at a time`,
    metadata: { limit: String(limit) },
  });
}
