/** Writes the pages of documents.ts; part of `npm run generate`. */
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { makeDocuments, root } from "./documents.ts";

for (const [file, content] of await makeDocuments()) {
  const target = path.join(root, file);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, content);
}
