/**
 * One linear look at XML before any parser sees it: declarations that make parsers read files or grow, nesting, number of
 * elements, ids given twice. Comments, CDATA and processing instructions are skipped as such.
 */
import type { Finding } from "./finding.ts";

const maxDepth = 100;
const maxElements = 50_000;

/** The first reason to refuse, or undefined. */
export function scanXml(text: string): Finding | undefined {
  const ids = new Set<string>();
  let depth = 0;
  let elements = 0;
  // Depth of the `extensionElements` that is open: ids of vendors are theirs, such as those of form fields.
  let foreign = 0;
  // Where plain text began that was not looked at yet.
  let plain = 0;
  // The next "&" of the text: most documents have few.
  let ampersand = text.indexOf("&");
  for (let open = text.indexOf("<"); open !== -1; ) {
    if (ampersand !== -1 && ampersand < open) {
      const bad = undeclaredEntity(text, Math.max(plain, ampersand), open);
      if (bad !== -1) return entity(text, bad);
      ampersand = text.indexOf("&", open);
    }
    const skipped = skipSpecial(text, open);
    if (skipped === "doctype")
      return finding(text, open, {
        code: "bpmn/doctype",
        message: "a DOCTYPE is not allowed: entities can read files and grow without bound; remove it",
      });
    if (typeof skipped === "number") {
      plain = skipped;
      if (ampersand !== -1 && ampersand < skipped) ampersand = text.indexOf("&", skipped);
      open = text.indexOf("<", skipped);
      continue;
    }
    const close = tagEnd(text, open);
    if (text.charCodeAt(open + 1) === 47) {
      depth = Math.max(0, depth - 1);
      if (depth < foreign) foreign = 0;
    } else {
      elements += 1;
      if (elements > maxElements)
        return finding(text, open, {
          code: "bpmn/too-many-elements",
          message: `the document has more than ${maxElements} elements`,
          hint: "split the model",
        });
      const id = foreign > 0 ? undefined : idOf(text, open, close);
      if (id !== undefined && ids.has(id))
        return finding(text, open, {
          code: "bpmn/duplicate-id",
          message: `the id "${id.slice(0, 100)}" is given twice`,
          elementId: id,
        });
      if (id !== undefined) ids.add(id);
      if (text.charCodeAt(close - 1) !== 47) {
        depth += 1;
        if (foreign === 0 && isExtensionElements(text, open)) foreign = depth;
      }
      if (depth > maxDepth)
        return finding(text, open, {
          code: "bpmn/too-deep",
          message: `the document nests deeper than ${maxDepth} elements`,
        });
    }
    // Attributes may hold references as well: the tag counts as text.
    plain = open;
    open = text.indexOf("<", close);
  }
  const bad = ampersand === -1 ? -1 : undeclaredEntity(text, Math.max(plain, ampersand), text.length);
  return bad === -1 ? undefined : entity(text, bad);
}

function entity(text: string, offset: number): Finding {
  const name = /^&[^;\s<&]{0,50};?/.exec(text.slice(offset, offset + 60))?.[0] ?? "&";
  return finding(text, offset, {
    code: "bpmn/malformed",
    message: `"${name}" is not one of XML's own entities, and nothing declares it`,
    hint: 'write an ampersand as "&amp;"',
  });
}

/** Where a comment, CDATA section or instruction ends; "doctype" for a declaration; undefined for a tag. */
function skipSpecial(text: string, open: number): number | "doctype" | undefined {
  const next = text.charCodeAt(open + 1);
  if (next === 63) return endAfter(text, "?>", open);
  if (next !== 33) return undefined;
  if (text.startsWith("<!--", open)) return endAfter(text, "-->", open + 4);
  if (text.startsWith("<![CDATA[", open)) return endAfter(text, "]]>", open);
  return "doctype";
}

function endAfter(text: string, token: string, from: number): number {
  const found = text.indexOf(token, from);
  return found === -1 ? text.length : found + token.length;
}

/** The index of the ">" that ends a tag, quotes respected. */
function tagEnd(text: string, open: number): number {
  let quote = 0;
  for (let at = open + 1; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (quote !== 0) {
      if (code === quote) quote = 0;
    } else if (code === 34 || code === 39) quote = code;
    else if (code === 62) return at;
  }
  return text.length;
}

function isExtensionElements(text: string, open: number): boolean {
  return /^<(?:[^\s:<>/]+:)?extensionElements[\s>]/.test(text.slice(open, open + 100));
}

const attributes = /([^\s=]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;

/** The attribute `id` of a tag; text inside other attributes that looks like one is not. */
function idOf(text: string, open: number, close: number): string | undefined {
  for (const found of text.slice(open, Math.min(close, open + 4096)).matchAll(attributes)) {
    if (found[1] === "id") return found[2] ?? found[3];
  }
  return undefined;
}

/** Where an offset is, 1-based. */
export function positionOf(text: string, offset: number): { readonly line: number; readonly column: number } {
  let line = 1;
  let start = 0;
  for (let at = text.indexOf("\n"); at !== -1 && at < offset; at = text.indexOf("\n", at + 1)) {
    line += 1;
    start = at + 1;
  }
  return { line, column: offset - start + 1 };
}

const idAttribute = /\sid=(?:"([^"]*)"|'([^']*)')/g;

/** Where the elements with these ids begin, found in one pass; ids that the text does not have are left out. */
export function positionsOfIds(
  text: string,
  ids: ReadonlySet<string>,
): ReadonlyMap<string, { readonly line: number; readonly column: number }> {
  const found = new Map<string, { readonly line: number; readonly column: number }>();
  let line = 1;
  let lineStart = 0;
  for (const match of text.matchAll(idAttribute)) {
    const id = match[1] ?? match[2] ?? "";
    if (!ids.has(id) || found.has(id)) continue;
    const offset = text.lastIndexOf("<", match.index);
    for (
      let end = text.indexOf("\n", lineStart);
      end !== -1 && end < offset;
      end = text.indexOf("\n", lineStart)
    ) {
      line += 1;
      lineStart = end + 1;
    }
    found.set(id, { line, column: offset - lineStart + 1 });
  }
  return found;
}

/** The five entities of XML and numbered characters; any other would need a DOCTYPE. */
const knownEntity = /^&(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[\da-fA-F]{1,6});/;

/** The first reference to an entity that nothing declares. Comments and CDATA are not looked into. */
function undeclaredEntity(text: string, from: number, to: number): number {
  for (let at = text.indexOf("&", from); at !== -1 && at < to; at = text.indexOf("&", at + 1))
    if (!knownEntity.test(text.slice(at, at + 12))) return at;
  return -1;
}

function finding(
  text: string,
  offset: number,
  about: Pick<Finding, "code" | "message"> & Partial<Finding>,
): Finding {
  return { severity: "error", hint: "", elementId: "", ...positionOf(text, offset), ...about };
}
