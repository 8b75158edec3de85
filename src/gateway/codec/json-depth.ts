/** Nesting of JSON text, looked at before JSON.parse: that builds what is too deep before anybody can say so (a million brackets take 45 MB). */
import { RpcError } from "#rpc/error.ts";

const [quote, backslash, openBracket, closeBracket, openBrace, closeBrace] = [
  34, 92, 91, 93, 123, 125,
] as const;

/**
 * What is no JSON is left for the parser to refuse.
 * @throws RpcError `invalid_argument` MESSAGE_MALFORMED.
 */
export function checkJsonDepth(text: Uint8Array, maxDepth = 64): void {
  // Each level takes a bracket: most frames are too short to be looked at.
  if (text.length <= maxDepth) return;
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text[at];
    if (code === quote) at = closingQuote(text, at);
    else if (code === openBracket || code === openBrace) {
      depth += 1;
      if (depth > maxDepth)
        throw new RpcError("invalid_argument", {
          reason: "MESSAGE_MALFORMED",
          message: `the JSON nests deeper than ${maxDepth} levels`,
        });
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
