/** Credentials in texts that are not ours: a library's error may quote what it was given. */
import { withoutCredentials } from "#rpc/credentials-in-text.ts";

const forms: readonly (readonly [RegExp, string])[] = [
  // What JSON.parse quotes of its input.
  [/"[\s\S]*"(\.\.\.)? is not valid JSON/g, '"…" is not valid JSON'],
  [/\b(Bearer|Basic|DPoP)\s+[^\s"',;]+/gi, "$1 …"],
  [/:\/\/[^/\s@]+@/g, "://…@"],
  [
    /((?:password|passwd|secret|token|api[_-]?key|ticket|code|cookie)["']?\s*[=:]\s*["']?)[^\s"'&,;)}]+/gi,
    "$1…",
  ],
];
const maxCharacters = 4000;

export function scrubbed(text: string): string {
  const short = withoutCredentials(text.slice(0, maxCharacters));
  return forms.reduce((rest, [form, instead]) => rest.replace(form, instead), short);
}
