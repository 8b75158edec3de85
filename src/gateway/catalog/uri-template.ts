/**
 * Addresses of resources: a URI with variables, `portico://bpmn/{id}`, at most one between two slashes.
 *
 * Level 1 of RFC 6570, read in both directions: values are percent-encoded, and what stands for a variable ends at the next slash.
 *
 * @see https://www.rfc-editor.org/rfc/rfc6570#section-1.2
 */

export interface UriTemplate {
  readonly text: string;
  readonly variables: readonly string[];
  /** What two templates that match the same addresses have in common. */
  readonly shape: string;
  /** @returns undefined where the address is none of these. */
  match(uri: string): Readonly<Record<string, string>> | undefined;
  expand(values: Readonly<Record<string, string>>): string;
}

/** Longer addresses match nothing. */
const maxUriCharacters = 2048;
const variable = /\{([a-z][a-z0-9_]*)\}/g;

/** @returns the problem as a text where it is none. */
export function parseUriTemplate(text: string): UriTemplate | string {
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^\s?#]+$/.test(text)) return `"${text}" is not scheme://path without a query`;
  const literal = text.replaceAll(variable, "");
  if (/[{}]/.test(literal)) return `"${text}": a variable is {field}, a field of the request`;
  const variables = [...text.matchAll(variable)].map(([, name = ""]) => name);
  if (new Set(variables).size < variables.length) return `"${text}" has a variable twice`;
  if (text.split("/").some((segment) => (segment.match(variable) ?? []).length > 1))
    return `"${text}" has two variables between the same slashes: they could not be told apart`;
  const parts = text.split(variable).filter((_, index) => index % 2 === 0);
  const form = new RegExp(`^${parts.map((part) => RegExp.escape(part)).join("([^/?#]+)")}$`);
  return {
    text,
    variables,
    shape: text.replaceAll(variable, "{}"),
    match: (uri: string) => {
      const found = uri.length > maxUriCharacters ? null : form.exec(uri);
      if (found === null) return undefined;
      try {
        return Object.fromEntries(
          variables.map((name, index) => [name, decodeURIComponent(found[index + 1] ?? "")]),
        );
      } catch {
        // A percent sign that escapes nothing: no address of ours.
        return undefined;
      }
    },
    expand: (values) =>
      text.replaceAll(variable, (_, name: string) => encodeURIComponent(values[name] ?? "")),
  };
}
