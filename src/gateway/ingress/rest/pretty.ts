/**
 * `?$prettyPrint`: JSON for people, with line breaks and two spaces. No field can have that name, so no contract is in its way.
 *
 * @see https://cloud.google.com/apis/docs/system-parameters
 */
import { fieldError } from "#gateway/codec/field-error.ts";

const parameter = /(^|&)(?:\$|%24)prettyPrint(?:=([^&]*))?(?=&|$)/;

export interface PrettyQuery {
  readonly pretty: boolean;
  /** Without the parameter. */
  readonly query: string;
}

/** @throws RpcError FIELD_INVALID for a value that is neither true nor false. */
export function readPretty(query: string): PrettyQuery {
  const match = parameter.exec(query);
  if (match === null) return { pretty: false, query };
  const value = match[2] ?? "true";
  if (value !== "true" && value !== "false" && value !== "")
    throw fieldError("FIELD_INVALID", "$prettyPrint", "must be true or false");
  const rest = query.replace(parameter, "").replace(/^&/, "");
  // A second one stays, and is refused as a parameter that is unknown.
  return { pretty: value !== "false", query: rest };
}

/** JSON without white space between its tokens, laid out. Works on the text: numbers keep every digit, keys their order. */
export function prettyJson(json: string): string {
  let out = "";
  let depth = 0;
  let from = 0;
  for (let at = 0; at < json.length; at += 1) {
    switch (json[at] ?? "") {
      case '"':
        at = endOfString(json, at);
        break;
      case "{":
      case "[": {
        const closes = json[at + 1];
        if (closes === "}" || closes === "]") {
          at += 1;
          break;
        }
        depth += 1;
        out += json.slice(from, at + 1) + lineAt(depth);
        from = at + 1;
        break;
      }
      case "}":
      case "]":
        depth -= 1;
        out += json.slice(from, at) + lineAt(depth);
        from = at;
        break;
      case ",":
        out += json.slice(from, at + 1) + lineAt(depth);
        from = at + 1;
        break;
      case ":":
        out += `${json.slice(from, at)}: `;
        from = at + 1;
        break;
    }
  }
  return `${out}${json.slice(from)}\n`;
}

/** Deeper than this is not set in any further: what is nested a hundred times would grow a hundredfold. */
const maxIndent = 20;

function lineAt(depth: number): string {
  return `\n${"  ".repeat(Math.max(0, Math.min(depth, maxIndent)))}`;
}

/** Of the quote that ends the string which begins at `start`. */
function endOfString(json: string, start: number): number {
  let at = start + 1;
  while (at < json.length && json[at] !== '"') at += json[at] === "\\" ? 2 : 1;
  return at;
}
