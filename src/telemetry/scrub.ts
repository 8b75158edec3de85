/** Credentials in texts that are not ours: a library's error may quote what it was given. */

const forms: readonly (readonly [RegExp, string])[] = [
  // What JSON.parse quotes of its input.
  [/"[\s\S]*"(\.\.\.)? is not valid JSON/g, '"…" is not valid JSON'],
  [/ptk_(live|test)_[A-Za-z0-9_]+/g, "ptk_…"],
  [/eyJ[\w-]+\.[\w-]+(\.[\w-]*)?/g, "eyJ…"],
  [/\b(Bearer|Basic|DPoP)\s+[^\s"',;]+/gi, "$1 …"],
  [/:\/\/[^/\s@]+@/g, "://…@"],
  [
    /((?:password|passwd|secret|token|api[_-]?key|ticket|code|cookie)["']?\s*[=:]\s*["']?)[^\s"'&,;)}]+/gi,
    "$1…",
  ],
];
const maxCharacters = 4000;

export function scrubbed(text: string): string {
  return forms.reduce((rest, [form, instead]) => rest.replace(form, instead), text.slice(0, maxCharacters));
}
