/** What JSON.parse hides: of a key given twice it keeps the last, so whoever looked at the first has seen another message. */
import { type RpcError, toRpcError } from "#rpc/error.ts";
import { JsonText, tooMany } from "./json-text.ts";

export interface KeyLimits {
  /** How many keys and list elements there may be, those below `free` not counted. Default: as many as the text holds, whose size is limited before. */
  readonly maxElements?: number | undefined;
  /** The keys that lead to an object which its own decoder reads: a tool's arguments, say. Default: nowhere. */
  readonly free?: readonly string[];
  /** How many of them that object may hold. Default: as many as the text holds. */
  readonly maxFreeElements?: number | undefined;
  /** Whether each entry of a list may have such an object; all of them are counted together then. Default false. */
  readonly freeInLists?: boolean;
  /** What is said of more than `maxElements`. Default: TOO_MANY_ELEMENTS. */
  tooMany?(most: number): RpcError;
}

/** The object that `free` leads to, as it was written: every digit of its numbers. */
export interface FreeObject {
  readonly written: string;
  /** The text with an empty object in its place. */
  readonly around: string;
  readonly elements: number;
}

/**
 * What is no JSON is left for the parser to refuse.
 * @param text not nested too deeply, which is not looked at here.
 * @returns undefined: there is no such object, or the text is no JSON.
 * @throws RpcError `invalid_argument` FIELD_REPEATED, FIELD_INVALID or MESSAGE_MALFORMED (half of a surrogate pair), `resource_exhausted` TOO_MANY_ELEMENTS.
 */
export function checkKeys(text: Uint8Array, limits: KeyLimits = {}): FreeObject | undefined {
  try {
    const all = { maxDepth: Number.POSITIVE_INFINITY, maxElements: Number.POSITIVE_INFINITY };
    const keys = new Keys(new JsonText(text, all), limits);
    keys.check();
    return keys.free;
  } catch (thrown) {
    // Whatever the parser took in spite of it would hide what is behind it: half of a surrogate pair, say.
    if (toRpcError(thrown).reason !== "MESSAGE_MALFORMED" || parses(text)) throw thrown;
    return undefined;
  }
}

function parses(text: Uint8Array): boolean {
  try {
    JSON.parse(Buffer.from(text.buffer, text.byteOffset, text.length).toString("utf8"));
    return true;
  } catch {
    return false;
  }
}

/** Elements that are counted together. */
interface Count {
  elements: number;
  readonly most: number;
  readonly tooMany: (most: number) => RpcError;
}

class Keys {
  readonly #text: JsonText;
  readonly #free: readonly string[];
  readonly #inLists: boolean;
  readonly #ofFree: Count;
  #counting: Count;
  #span: { readonly from: number; readonly to: number } | undefined;

  constructor(
    text: JsonText,
    { free = [], maxElements: most = Number.POSITIVE_INFINITY, ...limits }: KeyLimits,
  ) {
    this.#text = text;
    this.#free = free;
    this.#inLists = limits.freeInLists === true;
    this.#counting = { elements: 0, most, tooMany: limits.tooMany ?? tooMany };
    this.#ofFree = { elements: 0, most: limits.maxFreeElements ?? Number.POSITIVE_INFINITY, tooMany };
  }

  get free(): FreeObject | undefined {
    if (this.#span === undefined) return undefined;
    const { from, to } = this.#span;
    const text = this.#text;
    const around = `${text.written(0, from)}{}${text.written(to)}`;
    return { written: text.written(from, to), around, elements: this.#ofFree.elements };
  }

  check(): void {
    const text = this.#text;
    if (text.isObject()) this.#checkObject();
    else if (text.isArray()) {
      text.openArray();
      for (let at = 0; text.item(); at += 1) {
        this.#count();
        text.path.push(at);
        this.check();
        text.path.pop();
      }
    } else text.skip();
  }

  #checkObject(): void {
    const text = this.#text;
    text.openObject();
    let first: string | undefined;
    let seen: Set<string> | undefined;
    for (let key = text.key(); key !== undefined; key = text.key()) {
      this.#count();
      text.path.push(key);
      if (first === undefined) first = key;
      else {
        seen ??= new Set([first]);
        if (seen.has(key)) throw text.repeated("is given more than once");
        seen.add(key);
      }
      if (this.#isFree(key)) this.#checkFree();
      else this.check();
      text.path.pop();
    }
  }

  #isFree(key: string): boolean {
    const { path } = this.#text;
    const from = this.#inLists && typeof path[0] === "number" ? 1 : 0;
    if (path.length !== this.#free.length + from || key !== this.#free.at(-1)) return false;
    return this.#free.every((part, at) => path[at + from] === part) && this.#text.isObject();
  }

  #checkFree(): void {
    const around = this.#counting;
    const { at: from } = this.#text.mark();
    this.#counting = this.#ofFree;
    this.check();
    this.#counting = around;
    this.#span = { from, to: this.#text.mark().at };
  }

  #count(): void {
    const counting = this.#counting;
    counting.elements += 1;
    if (counting.elements > counting.most) throw counting.tooMany(counting.most);
  }
}
