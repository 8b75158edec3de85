/**
 * Messages as JSON Schema documents that need no others: what a message refers to is in `$defs`.
 *
 * @see https://json-schema.org/draft/2020-12/schema
 */
import type { DescMessage } from "@bufbuild/protobuf";
import type { Catalog } from "#gateway/catalog/catalog.ts";
import { type Schema, Schemas } from "./schemas.ts";

/** @param id absolute, or relative to where the document is. */
export function describeMessage(catalog: Catalog, desc: DescMessage, id?: string): Schema {
  const schemas = new Schemas(catalog, "#/$defs/");
  const reference = schemas.ofMessage(desc);
  const { [desc.typeName]: own, ...others } = schemas.all();
  // Types with a JSON form of their own are that form.
  const root = own ?? reference;
  const text = JSON.stringify({ root, others });
  const recursive = text.includes(`"#/$defs/${desc.typeName}"`);
  const defs = { ...others, ...(recursive && own !== undefined ? { [desc.typeName]: own } : {}) };
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    ...(id === undefined ? {} : { $id: id }),
    title: desc.typeName,
    ...root,
    ...(Object.keys(defs).length === 0 ? {} : { $defs: defs }),
  };
}

/** Every message that the methods take or give, and every message in those; by full name, sorted. */
export function messagesOf(catalog: Catalog): ReadonlyMap<string, DescMessage> {
  const found = new Map<string, DescMessage>();
  const visit = (desc: DescMessage): void => {
    if (found.has(desc.typeName)) return;
    found.set(desc.typeName, desc);
    for (const field of desc.fields) if (field.message !== undefined) visit(field.message);
  };
  for (const { input, output } of catalog.methods.values()) {
    visit(input.desc);
    visit(output.desc);
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}
