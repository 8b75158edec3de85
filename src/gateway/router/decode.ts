/**
 * Percent-decoding of path segments, by the two rules of google.api.http: a single segment is decoded wholly, segments of a
 * longer value all but the encoded slash.
 */

/** Undefined when the encoding is broken or is not UTF-8. */
export function decodeSegment(raw: string, keepSlash = false): string | undefined {
  if (!raw.includes("%")) return raw;
  try {
    if (!keepSlash) return decodeURIComponent(raw);
    return raw
      .split(/(%2[Ff])/)
      .map((part, index) => (index % 2 === 1 ? part : decodeURIComponent(part)))
      .join("");
  } catch {
    // decodeURIComponent throws for %ZZ, a lone % and invalid UTF-8 alike; the caller answers 400 for all of them.
    return undefined;
  }
}

const controlCharacter = /\p{Cc}/u;

/**
 * Whether a decoded segment is one that must not reach a service: "." and ".." (a proxy in front may resolve them and decide
 * about another path than we do), and control characters, NUL above all.
 */
export function hasBadSegment(segments: readonly string[]): boolean {
  for (const segment of segments) {
    if (segment === "." || segment === "..") return true;
    if (controlCharacter.test(segment)) return true;
  }
  return false;
}
