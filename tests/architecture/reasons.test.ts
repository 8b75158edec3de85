/** Every error reason is in docs/reference/errors.md, and the page has no reason that the program does not know. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { Reasons } from "#rpc/reasons.ts";
import { files, read, root, src } from "./source-files.ts";

const owners = files.filter((file) => path.posix.basename(file) === "reasons.ts");
const tables = await Promise.all(
  owners.map(async (file) => {
    const module: { reasons: Reasons } = await import(pathToFileURL(path.join(src, file)).href);
    return { file, reasons: module.reasons };
  }),
);
const declared = new Map(
  tables.flatMap(({ file, reasons }) => Object.keys(reasons).map((name) => [name, file] as const)),
);
const page = readFileSync(path.join(root, "docs/reference/errors.md"), "utf8");
const documented = new Set([...page.matchAll(/^### `([A-Z][A-Z0-9_]*)`/gm)].map((found) => String(found[1])));

describe("error reasons", () => {
  test("each is declared once, in upper snake case of at most 63 characters", () => {
    const all = tables.flatMap(({ reasons }) => Object.keys(reasons));
    assert.equal(new Set(all).size, all.length, "a reason is declared twice");
    for (const name of all) assert.match(name, /^[A-Z][A-Z0-9_]{0,62}$/);
  });

  test("each declared one is documented", () => {
    const missing = [...declared.keys()].filter((name) => !documented.has(name));
    assert.deepEqual(missing, [], "add them to docs/reference/errors.md");
  });

  test("each documented one is declared", () => {
    const unknown = [...documented].filter((name) => !declared.has(name));
    assert.deepEqual(unknown, [], "no reasons.ts declares them");
  });

  test("each one that the sources use is declared", () => {
    for (const file of files) {
      if (file.startsWith("gen/") || owners.includes(file)) continue;
      for (const [, name] of read(file).matchAll(/\breason: "([A-Z][A-Z0-9_]*)"/g)) {
        assert.ok(declared.has(String(name)), `${file} uses ${name}, which no reasons.ts declares`);
      }
    }
  });

  test("each declared one is used by the sources", () => {
    const text = files
      .filter((file) => !file.startsWith("gen/") && !owners.includes(file) && file !== "rpc/code.ts")
      .map(read)
      .join("\n");
    const unused = [...declared.keys()].filter((name) => !text.includes(`"${name}"`));
    assert.deepEqual(unused, [], "delete them, or use them");
  });
});
