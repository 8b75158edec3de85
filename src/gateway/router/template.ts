/**
 * Path templates of `google.api.http`: text to template and back.
 *
 *     Template = "/" Segments [ Verb ] ;      Segments = Segment { "/" Segment } ;
 *     Segment  = "*" | "**" | LITERAL | Variable ;
 *     Variable = "{" FieldPath [ "=" Segments ] "}" ;   Verb = ":" LITERAL ;
 *
 * `{v}` means `{v=*}`; `**` must be the last segment; variables do not nest.
 *
 * @see https://github.com/googleapis/googleapis/blob/master/google/api/http.proto ("Path template syntax")
 */
export type Segment =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "one" }
  | { readonly kind: "rest" };

export interface Variable {
  /** Field path as written: `document.id`. */
  readonly path: string;
  /** Index of its first segment in `segments`. */
  readonly start: number;
  /** Number of segments it covers. */
  readonly length: number;
  /** Written without a pattern: `{v}` and not `{v=*}`. */
  readonly short: boolean;
}

export interface Template {
  readonly segments: readonly Segment[];
  readonly variables: readonly Variable[];
  /** Without its colon; may contain colons itself. Undefined: none. */
  readonly verb: string | undefined;
}

export class TemplateError extends Error {
  /** 1-based column of the offence. */
  readonly column: number;

  constructor(message: string, column: number) {
    super(message);
    this.name = "TemplateError";
    this.column = column;
  }
}

/** @throws TemplateError with the column. */
export function parseTemplate(text: string): Template {
  const scanner = new Scanner(text);
  scanner.expect("/", 'a template begins with "/"');
  const segments: Segment[] = [];
  const variables: Variable[] = [];
  if (!scanner.done) {
    do parseSegment(scanner, segments, variables);
    while (scanner.take("/"));
  }
  const verb = parseVerb(scanner, segments.length);
  if (!scanner.done) throw scanner.error(`unexpected "${scanner.peek}"`);
  checkRest(segments, text);
  return { segments, variables, verb };
}

/** The inverse of `parseTemplate`. */
export function printTemplate(template: Template): string {
  const parts: string[] = [];
  for (let index = 0; index < template.segments.length; ) {
    const variable = template.variables.find((candidate) => candidate.start === index);
    if (variable === undefined) {
      parts.push(printSegment(template.segments[index]));
      index += 1;
    } else {
      const inner = template.segments
        .slice(index, index + variable.length)
        .map(printSegment)
        .join("/");
      parts.push(variable.short ? `{${variable.path}}` : `{${variable.path}=${inner}}`);
      index += variable.length;
    }
  }
  return `/${parts.join("/")}${template.verb === undefined ? "" : `:${template.verb}`}`;
}

function printSegment(segment: Segment | undefined): string {
  if (segment === undefined) return "";
  if (segment.kind === "literal") return segment.text;
  return segment.kind === "one" ? "*" : "**";
}

class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get done(): boolean {
    return this.#at >= this.#text.length;
  }

  get peek(): string {
    return this.#text.charAt(this.#at);
  }

  get at(): number {
    return this.#at;
  }

  take(token: string): boolean {
    if (!this.#text.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    return true;
  }

  expect(token: string, why: string): void {
    if (!this.take(token)) throw this.error(why);
  }

  /** The longest run of characters that `pattern` (sticky) accepts, perhaps empty. */
  run(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }

  error(message: string): TemplateError {
    return new TemplateError(message, this.#at + 1);
  }
}

/** RFC 3986 pchar without ":" (a verb begins there), and without what the grammar uses. */
const literalText = /(?:[A-Za-z0-9._~!$&'()+,;@-]|%[0-9A-Fa-f]{2})+/y;
const verbText = /(?:[A-Za-z0-9._~!$&'()+,;@:-]|%[0-9A-Fa-f]{2})*/y;
const fieldPathText = /[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*/y;

function parseSegment(scanner: Scanner, segments: Segment[], variables: Variable[]): void {
  if (scanner.take("{")) {
    variables.push(parseVariable(scanner, segments));
    if (!scanner.done && scanner.peek !== "/" && scanner.peek !== ":")
      throw scanner.error("text right after a variable; a variable is a whole segment");
    return;
  }
  parsePlain(scanner, segments);
  if (scanner.peek === "{")
    throw scanner.error("text right before a variable; a variable is a whole segment");
}

function parsePlain(scanner: Scanner, segments: Segment[]): void {
  if (scanner.take("**")) segments.push({ kind: "rest" });
  else if (scanner.take("*")) segments.push({ kind: "one" });
  else {
    const text = scanner.run(literalText);
    if (text === "")
      throw scanner.error(scanner.peek === "{" ? "a variable inside a variable" : "an empty segment");
    segments.push({ kind: "literal", text });
    return;
  }
  if (!scanner.done && !"/:}".includes(scanner.peek))
    throw scanner.error(`"${scanner.peek}" right after a wildcard; a wildcard is a whole segment`);
}

function parseVariable(scanner: Scanner, segments: Segment[]): Variable {
  const path = scanner.run(fieldPathText);
  if (path === "") throw scanner.error("a variable needs a field path");
  const start = segments.length;
  if (!scanner.take("=")) {
    scanner.expect("}", 'a variable ends with "}"');
    segments.push({ kind: "one" });
    return { path, start, length: 1, short: true };
  }
  do parsePlain(scanner, segments);
  while (scanner.take("/"));
  scanner.expect("}", scanner.peek === ":" ? "a verb inside a variable" : 'a variable ends with "}"');
  return { path, start, length: segments.length - start, short: false };
}

function parseVerb(scanner: Scanner, segmentCount: number): string | undefined {
  if (!scanner.take(":")) return undefined;
  if (segmentCount === 0) throw scanner.error("a verb without a segment before it");
  const verb = scanner.run(verbText);
  if (verb === "") throw scanner.error("an empty verb");
  return verb;
}

function checkRest(segments: readonly Segment[], text: string): void {
  const first = segments.findIndex((segment) => segment.kind === "rest");
  if (first !== -1 && first !== segments.length - 1) {
    throw new TemplateError('"**" must be the last segment', text.indexOf("**") + 1);
  }
}
