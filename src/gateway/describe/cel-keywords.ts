/** What JSON Schema can say of the rules that the contract writes in CEL about one string: the shapes below, and nothing of any other. */

type Keywords = Readonly<Record<string, unknown>>;

const matches = /^this\.matches\('([^']*)'\)$/;
const startsWith = /^this\.startsWith\('([^']*)'\)$/;
const differs = /^this != '([^']*)'$/;
const orEmpty = "this == '' || ";

/**
 * @param expression such as `this == '' || this.matches('^[a-z]+$') && this != 'me'`.
 * @returns keywords that refuse nothing which the rule accepts; none where a part is in no known shape.
 */
export function keywordsOfRule(expression: string): Keywords {
  const optional = expression.startsWith(orEmpty);
  const parts = (optional ? expression.slice(orEmpty.length) : expression).split(" && ");
  return Object.assign({}, ...parts.map((part) => ofPart(part.trim(), optional)));
}

function ofPart(part: string, optional: boolean): Keywords {
  const pattern = matches.exec(part)?.[1];
  if (pattern !== undefined) return { pattern: orNothing(toEcmaScript(pattern), optional) };
  const prefix = startsWith.exec(part)?.[1];
  if (prefix !== undefined)
    return { pattern: orNothing(`^${prefix.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}`, optional) };
  const other = differs.exec(part)?.[1];
  if (other === "") return { minLength: 1 };
  return other === undefined ? {} : { not: { const: other } };
}

const orNothing = (pattern: string, optional: boolean): string => (optional ? `^$|${pattern}` : pattern);

/** RE2's named classes inside brackets, of which the contract uses one. */
const toEcmaScript = (pattern: string): string => pattern.replaceAll("[:space:]", "\\s");
