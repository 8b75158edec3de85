/**
 * What JSON.parse does not look at. It builds what is too deep before anybody can say so (a million brackets take 45 MB), and of bytes that
 * are no UTF-8 it sees other letters than were sent. Of a key that is given twice it keeps the last.
 */
import { isUtf8 } from "node:buffer";
import { RpcError } from "#rpc/error.ts";
import { checkKeys, type FreeObject, type KeyLimits } from "./json-keys.ts";

const [quote, backslash, openBracket, closeBracket, openBrace, closeBrace] = [
  34, 92, 91, 93, 123, 125,
] as const;

/** The option's default. */
export const defaultMaxJsonDepth = 64;

export interface JsonCheck extends KeyLimits {
  /** Levels of arrays and objects. Default 64. */
  readonly maxDepth?: number | undefined;
}

/**
 * What is no JSON is left for the parser to refuse.
 * @returns see `checkKeys`.
 * @throws RpcError `invalid_argument` MESSAGE_MALFORMED, FIELD_REPEATED, FIELD_INVALID, `resource_exhausted` TOO_MANY_ELEMENTS.
 */
export function checkJson(text: Uint8Array, limits: JsonCheck = {}): FreeObject | undefined {
  const { maxDepth = defaultMaxJsonDepth } = limits;
  if (!isUtf8(text)) throw malformed("the JSON is not UTF-8");
  // Each level takes a bracket: most frames are too short to be looked at.
  if (text.length > maxDepth) checkDepth(text, maxDepth);
  return checkKeys(text, limits);
}

function checkDepth(text: Uint8Array, maxDepth: number): void {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text[at];
    if (code === quote) at = closingQuote(text, at);
    else if (code === openBracket || code === openBrace) {
      depth += 1;
      if (depth > maxDepth) throw malformed(`the JSON nests deeper than ${maxDepth} levels`);
    } else if (code === closeBracket || code === closeBrace) depth -= 1;
  }
}

/** Backslashes before a quote are counted: an odd number escapes it. */
function closingQuote(text: Uint8Array, open: number): number {
  for (let end = text.indexOf(quote, open + 1); end !== -1; end = text.indexOf(quote, end + 1)) {
    let before = end - 1;
    while (text[before] === backslash) before -= 1;
    if ((end - before) % 2 === 1) return end;
  }
  return text.length;
}

function malformed(message: string): RpcError {
  return new RpcError("invalid_argument", { reason: "MESSAGE_MALFORMED", message });
}
