/**
 * Credentials that somebody put where none belong: a key pasted into a path, a token given as a name. Known by their form, they are taken out of what is
 * written down - traces, logs, audit - and of what errors tell.
 */

const forms: readonly (readonly [RegExp, string])[] = [
  // Ours: API keys, refresh tokens, tickets. What follows the prefix is the secret, whole or cut.
  [/ptk_(?:live|test)_\w*/gi, "ptk_…"],
  [/\b(prt|ptt)_[\w-]+/g, "$1_…"],
  // JSON Web Tokens and their like: base64url of `{"`, and what follows after dots. Cut ones have no dot any more.
  [/(?<![A-Za-z0-9_-])eyJ[\w-]{7,}(?:\.[\w-]*){0,4}/g, "eyJ…"],
];

/** Most texts have none, and need no second look. */
const suspicious = /(?:ptk|prt|ptt)_|eyJ|%[2-7]/i;

/** What is percent-encoded is looked at as well. A text that has none is as it was. */
export function withoutCredentials(text: string): string {
  if (!suspicious.test(text)) return text;
  const plain = cleaned(text);
  if (!plain.includes("%")) return plain;
  const decoded = unescaped(plain);
  const clean = cleaned(decoded);
  return clean === decoded ? plain : clean;
}

function cleaned(text: string): string {
  return forms.reduce((rest, [form, instead]) => rest.replace(form, instead), text);
}

function unescaped(path: string): string {
  // Piece by piece: one escape that is none must not hide the others.
  return path.replace(/(?:%[0-9a-f]{2})+/gi, (escapes) => {
    try {
      return decodeURIComponent(escapes);
    } catch {
      // No UTF-8: no letter of a credential either.
      return escapes;
    }
  });
}
