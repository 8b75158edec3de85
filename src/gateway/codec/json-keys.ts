/** What JSON.parse hides: of a key given twice it keeps the last, so whoever looked at the first has seen another message. */
import { type RpcError, toRpcError } from "#rpc/error.ts";
import { JsonText, tooMany } from "./json-text.ts";

export interface KeyLimits {
  /** How many keys and list elements there may be, those below `free` not counted. Default: as many as the text holds, whose size is limited before. */
  readonly maxElements?: number | undefined;
  /** The keys that lead to what its own decoder counts: a tool's arguments, say. Default: nowhere. */
  readonly free?: readonly string[];
}

/**
 * What is no JSON is left for the parser to refuse.
 * @param text not nested too deeply, which is not looked at here.
 * @throws RpcError `invalid_argument` FIELD_REPEATED, `resource_exhausted` TOO_MANY_ELEMENTS.
 */
export function checkKeys(text: Uint8Array, limits: KeyLimits = {}): void {
  try {
    const all = { maxDepth: Number.POSITIVE_INFINITY, maxElements: Number.POSITIVE_INFINITY };
    new Keys(new JsonText(text, all), limits).check();
  } catch (thrown) {
    const error: RpcError = toRpcError(thrown);
    if (error.reason !== "MESSAGE_MALFORMED" && error.reason !== "FIELD_INVALID") throw thrown;
  }
}

class Keys {
  readonly #text: JsonText;
  readonly #most: number;
  readonly #free: string | undefined;
  #counted = 0;

  constructor(text: JsonText, { maxElements = Number.POSITIVE_INFINITY, free }: KeyLimits) {
    this.#text = text;
    this.#most = maxElements;
    this.#free = free?.join("\0");
  }

  check(counts = true): void {
    const text = this.#text;
    if (text.isObject()) this.#checkObject(counts);
    else if (text.isArray()) {
      text.openArray();
      for (let at = 0; text.item(); at += 1) {
        this.#count(counts);
        text.path.push(at);
        this.check(counts);
        text.path.pop();
      }
    } else text.skip();
  }

  #checkObject(counts: boolean): void {
    const text = this.#text;
    text.openObject();
    let first: string | undefined;
    let seen: Set<string> | undefined;
    for (let key = text.key(); key !== undefined; key = text.key()) {
      this.#count(counts);
      text.path.push(key);
      if (first === undefined) first = key;
      else {
        seen ??= new Set([first]);
        if (seen.has(key)) throw text.repeated("is given more than once");
        seen.add(key);
      }
      this.check(counts && !this.#isFree());
      text.path.pop();
    }
  }

  #isFree(): boolean {
    return (
      this.#free !== undefined && this.#text.path.length < 4 && this.#text.path.join("\0") === this.#free
    );
  }

  #count(counts: boolean): void {
    if (!counts) return;
    this.#counted += 1;
    if (this.#counted > this.#most) throw tooMany(this.#most);
  }
}
