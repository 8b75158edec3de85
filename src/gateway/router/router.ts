/**
 * HTTP path templates to targets: a trie, built once, matched on the raw path.
 *
 * The most specific binding wins whatever the order of declaration: segment by segment from the left a literal beats `*`,
 * `*` beats `**`, and at the end a verb beats none. A `:verb` counts only where a binding with that verb is registered; elsewhere
 * it belongs to the value. Paths are split as they were sent and decoded afterwards, so an encoded slash never splits.
 * Knows no protobuf and never throws for a path; templates that collide or can never be reached are reported.
 */
import { decodeSegment, hasBadSegment } from "./decode.ts";
import { parseTemplate, printTemplate, type Template, TemplateError } from "./template.ts";

export {
  parseTemplate,
  printTemplate,
  type Segment,
  type Template,
  TemplateError,
  type Variable,
} from "./template.ts";

export interface Binding<T> {
  /** `GET`, …, or `*` for any method. */
  readonly httpMethod: string;
  readonly template: string;
  readonly target: T;
}

export type Match<T> =
  | { readonly kind: "found"; readonly target: T; readonly variables: readonly string[] }
  | { readonly kind: "method_not_allowed"; readonly allow: readonly string[] }
  | { readonly kind: "not_found" }
  | { readonly kind: "bad_path"; readonly message: string };

export interface Router<T> {
  /**
   * @param rawPath as sent, percent-encoding kept, without the query.
   * Variables come decoded and in template order: single segments wholly, several segments all but `%2F`.
   */
  match(httpMethod: string, rawPath: string): Match<T>;
}

export interface RouterProblem {
  readonly kind: "syntax" | "collision" | "unreachable";
  readonly binding: Binding<unknown>;
  readonly other?: Binding<unknown>;
  /** 1-based column in the template, for syntax. */
  readonly column?: number;
  readonly message: string;
}

/** What one template leads to, by HTTP method; `*` stands for any. */
interface Leaf<T> {
  readonly byMethod: Map<string, Bound<T>>;
}
interface Bound<T> {
  readonly binding: Binding<T>;
  readonly template: Template;
}

interface Root<T> {
  readonly node: Node<T>;
  verbColons: number;
}

interface Node<T> {
  readonly literals: Map<string, Node<T>>;
  one: Node<T> | undefined;
  /** Templates that end here, by verb; "" is none. */
  readonly ends: Map<string, Leaf<T>>;
  /** Templates that end here with `**`, by verb. */
  readonly rests: Map<string, Leaf<T>>;
  /** Whether any verb other than "" is in `ends` or `rests`: most nodes have none and skip looking for colons. */
  hasVerb: boolean;
}

const notFound = { kind: "not_found" } as const;

export interface RouterOptions {
  /** Paths that are answered before the router is asked, such as `/docs`. */
  readonly reserved?: readonly string[];
}

export function createRouter<T>(
  bindings: readonly Binding<T>[],
  options: RouterOptions = {},
): {
  readonly router: Router<T>;
  readonly problems: readonly RouterProblem[];
} {
  const root: Root<T> = { node: newNode(), verbColons: 0 };
  const problems: RouterProblem[] = [];
  const reserved = new Set(options.reserved);
  for (const binding of bindings) {
    const template = parse(binding, problems);
    if (template === undefined) continue;
    const problem = unreachable({ binding, template }, reserved);
    if (problem === undefined) add(root, { binding, template }, problems);
    else problems.push(problem);
  }
  return { router: { match: (httpMethod, rawPath) => match(root, httpMethod, rawPath) }, problems };
}

function parse(binding: Binding<unknown>, problems: RouterProblem[]): Template | undefined {
  try {
    return parseTemplate(binding.template);
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    problems.push({
      kind: "syntax",
      binding,
      column: error.column,
      message: `${binding.template}: column ${error.column}: ${error.message}`,
    });
    return undefined;
  }
}

/** A binding that no request can match, or that every request for it is answered by somebody else. */
function unreachable(bound: Bound<unknown>, reserved: ReadonlySet<string>): RouterProblem | undefined {
  const { binding, template } = bound;
  const why = whyUnreachable(bound, reserved);
  return why === undefined
    ? undefined
    : {
        kind: "unreachable",
        binding,
        message: `${binding.httpMethod} ${printTemplate(template)} can never be reached: ${why}`,
      };
}

function whyUnreachable(
  { binding, template }: Bound<unknown>,
  reserved: ReadonlySet<string>,
): string | undefined {
  const { httpMethod } = binding;
  if (httpMethod !== "*" && !/^[A-Z]+(-[A-Z]+)*$/.test(httpMethod))
    return `"${httpMethod}" is no HTTP method; methods are upper-case words, and "*" is any`;
  if (httpMethod === "CONNECT") return "CONNECT names a server, not a path";
  const literals: string[] = [];
  for (const segment of template.segments) {
    if (segment.kind !== "literal") continue;
    const text = decodeSegment(segment.text);
    if (text === undefined) return `"${segment.text}" does not decode to UTF-8 text`;
    if (hasBadSegment([text])) return `requests with the segment "${segment.text}" are refused`;
    literals.push(text);
  }
  const fixed = literals.length === template.segments.length && template.verb === undefined;
  return fixed && reserved.has(`/${literals.join("/")}`) ? "the gateway itself answers this path" : undefined;
}

function newNode<T>(): Node<T> {
  return { literals: new Map(), one: undefined, ends: new Map(), rests: new Map(), hasVerb: false };
}

function add<T>(root: Root<T>, bound: Bound<T>, problems: RouterProblem[]): void {
  let node = root.node;
  let leaves = node.ends;
  for (const segment of bound.template.segments) {
    if (segment.kind === "rest") {
      leaves = node.rests;
      break;
    }
    node =
      segment.kind === "one" ? oneOf(node) : literalOf(node, decodeSegment(segment.text) ?? segment.text);
    leaves = node.ends;
  }
  const verb = bound.template.verb ?? "";
  if (verb !== "") {
    node.hasVerb = true;
    root.verbColons = Math.max(root.verbColons, verb.split(":").length);
  }
  const leaf = leaves.get(verb) ?? { byMethod: new Map<string, Bound<T>>() };
  leaves.set(verb, leaf);
  const other = leaf.byMethod.get(bound.binding.httpMethod);
  if (other === undefined) leaf.byMethod.set(bound.binding.httpMethod, bound);
  else problems.push(collision(bound, other));
}

function collision(bound: Bound<unknown>, other: Bound<unknown>): RouterProblem {
  const { binding } = bound;
  return {
    kind: "collision",
    binding,
    other: other.binding,
    message: `${binding.httpMethod} ${printTemplate(bound.template)} matches the same requests as ${other.binding.httpMethod} ${printTemplate(other.template)}`,
  };
}

function oneOf<T>(node: Node<T>): Node<T> {
  node.one ??= newNode();
  return node.one;
}

function literalOf<T>(node: Node<T>, text: string): Node<T> {
  const found = node.literals.get(text);
  if (found !== undefined) return found;
  const made = newNode<T>();
  node.literals.set(text, made);
  return made;
}

function match<T>(root: Root<T>, httpMethod: string, rawPath: string): Match<T> {
  if (rawPath.charCodeAt(0) !== 47) return { kind: "bad_path", message: 'a path begins with "/"' };
  const raw = rawPath.length === 1 ? [] : rawPath.slice(1).split("/");
  const encoded = rawPath.includes("%");
  const segments = encoded ? decodeAll(raw) : raw;
  if (segments === undefined)
    return { kind: "bad_path", message: "the path has a percent-encoding that is not valid UTF-8 text" };
  if (hasBadSegment(segments))
    return { kind: "bad_path", message: 'the path has a "." or ".." segment or a control character' };
  const search: Search<T> = {
    raw,
    segments,
    httpMethod,
    verbColons: root.verbColons,
    found: undefined,
    allow: undefined,
  };
  if (walk(search, root.node, 0) && search.found !== undefined) {
    return {
      kind: "found",
      target: search.found.bound.binding.target,
      variables: readVariables(search, encoded),
    };
  }
  if (search.allow !== undefined) return { kind: "method_not_allowed", allow: allowOf(search.allow) };
  return notFound;
}

interface Search<T> {
  /** As sent, and decoded: the same array when nothing is encoded. */
  readonly raw: readonly string[];
  readonly segments: readonly string[];
  readonly httpMethod: string;
  /** Most colons that a verb has, its own in front included. */
  readonly verbColons: number;
  found: { readonly bound: Bound<T>; readonly verb: string } | undefined;
  /** Methods of the leaves that matched the path but not the HTTP method. */
  allow: Set<string> | undefined;
}

function decodeAll(raw: readonly string[]): string[] | undefined {
  const decoded: string[] = [];
  for (const segment of raw) {
    const text = decodeSegment(segment);
    if (text === undefined) return undefined;
    decoded.push(text);
  }
  return decoded;
}

/**
 * Depth first, most specific first. Depth is bounded by the deepest template and a node has two children at most that fit,
 * so the work is bounded by the number of trie nodes, whatever the path's length.
 */
function walk<T>(search: Search<T>, node: Node<T>, index: number): boolean {
  const { segments } = search;
  if (index === segments.length) return take(search, node.ends, "") || take(search, node.rests, "");
  const segment = segments[index] ?? "";
  const last = index === segments.length - 1;
  if (last && walkVerbs(search, node, index)) return true;
  if (segment !== "") {
    const literal = node.literals.get(segment);
    if (literal !== undefined && walk(search, literal, index + 1)) return true;
    if (node.one !== undefined && walk(search, node.one, index + 1)) return true;
  }
  return takeRest(search, node, index);
}

/** The last segment as value and verb, wherever its colons allow a registered verb; the longest verb first. */
function walkVerbs<T>(search: Search<T>, node: Node<T>, index: number): boolean {
  const raw = search.raw[index] ?? "";
  for (const colon of lastColons(raw, search.verbColons)) {
    const value = decodeSegment(raw.slice(0, colon)) ?? "";
    const verb = decodeSegment(raw.slice(colon + 1)) ?? "";
    if (value === "" || verb === "") continue;
    const literal = node.literals.get(value);
    if (literal?.hasVerb === true && take(search, literal.ends, verb)) return true;
    if (node.one?.hasVerb === true && take(search, node.one.ends, verb)) return true;
  }
  return false;
}

function takeRest<T>(search: Search<T>, node: Node<T>, index: number): boolean {
  if (node.rests.size === 0) return false;
  for (let at = index; at < search.segments.length; at += 1) if (search.segments[at] === "") return false;
  if (node.hasVerb) {
    const raw = search.raw.at(-1) ?? "";
    for (const colon of lastColons(raw, search.verbColons)) {
      if (colon > 0 && take(search, node.rests, decodeSegment(raw.slice(colon + 1)) ?? "")) return true;
    }
  }
  return take(search, node.rests, "");
}

/** HEAD is answered by GET's binding unless it has its own. */
function take<T>(search: Search<T>, leaves: ReadonlyMap<string, Leaf<T>>, verb: string): boolean {
  const leaf = leaves.get(verb);
  if (leaf === undefined) return false;
  const { byMethod } = leaf;
  const bound =
    byMethod.get(search.httpMethod) ??
    (search.httpMethod === "HEAD" ? byMethod.get("GET") : undefined) ??
    byMethod.get("*");
  if (bound !== undefined) {
    search.found = { bound, verb };
    return true;
  }
  search.allow ??= new Set();
  for (const httpMethod of byMethod.keys()) search.allow.add(httpMethod);
  return false;
}

function allowOf(methods: ReadonlySet<string>): string[] {
  const all = new Set(methods);
  if (all.has("GET")) all.add("HEAD");
  all.add("OPTIONS");
  return [...all].sort();
}

function readVariables<T>(search: Search<T>, encoded: boolean): readonly string[] {
  if (search.found === undefined) return [];
  const { bound, verb } = search.found;
  const { variables, segments } = bound.template;
  if (variables.length === 0) return [];
  return variables.map((variable) => {
    const open = segments[variable.start + variable.length - 1]?.kind === "rest";
    const end = open ? search.raw.length : variable.start + variable.length;
    const several = open || variable.length > 1;
    const isLast = end === search.raw.length;
    return readVariable(search, { start: variable.start, end, several, verb: isLast ? verb : "", encoded });
  });
}

interface Extent {
  readonly start: number;
  readonly end: number;
  /** More than one segment, or `**`: an encoded slash stays as it was typed, else it could not be told from a real one. */
  readonly several: boolean;
  /** Verb to cut from the end, as decoded; "" for none. */
  readonly verb: string;
  readonly encoded: boolean;
}

function readVariable(search: Search<unknown>, extent: Extent): string {
  const { start, end, several, verb, encoded } = extent;
  if (!encoded) {
    const text = several ? search.raw.slice(start, end).join("/") : (search.raw[start] ?? "");
    return verb === "" ? text : text.slice(0, text.length - verb.length - 1);
  }
  const parts = search.raw.slice(start, end);
  if (verb !== "") parts[parts.length - 1] = cutVerb(parts.at(-1) ?? "", verb, search.verbColons);
  return parts.map((part) => (several ? decodeSegment(part, true) : decodeSegment(part)) ?? "").join("/");
}

function cutVerb(raw: string, verb: string, verbColons: number): string {
  for (const colon of lastColons(raw, verbColons))
    if (decodeSegment(raw.slice(colon + 1)) === verb) return raw.slice(0, colon);
  return raw;
}

/**
 * Positions of the last colons, leftmost first: no verb has more than `count`, so a path of colons costs no more than another.
 */
function lastColons(raw: string, count: number): readonly number[] {
  const positions: number[] = [];
  for (
    let colon = raw.lastIndexOf(":");
    colon !== -1 && positions.length < count;
    colon = colon === 0 ? -1 : raw.lastIndexOf(":", colon - 1)
  ) {
    positions.unshift(colon);
  }
  return positions;
}
