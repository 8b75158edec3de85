/** Fails when something generated is not what `npm run generate` would write now; changes nothing. */
import { execFileSync } from "node:child_process";
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { makeDocuments, root } from "./documents.ts";

const stale: string[] = [];
const aside = mkdtempSync(path.join(tmpdir(), "portico-generated-"));
try {
  execFileSync("buf", ["generate", "--output", aside], { cwd: root, stdio: "inherit" });
  execFileSync("buf", ["build", "--output", path.join(aside, "src/gen/contract.binpb")], {
    cwd: root,
    stdio: "inherit",
  });
  const made = globSync("src/gen/**/*.{ts,binpb}", { cwd: aside });
  const present = globSync("src/gen/**/*.{ts,binpb}", { cwd: root });
  for (const file of new Set([...made, ...present])) compare(file, readOrEmpty(path.join(aside, file)));
} finally {
  rmSync(aside, { recursive: true, force: true });
}
for (const [file, content] of await makeDocuments()) compare(file, Buffer.from(content));

if (stale.length > 0) {
  console.error(
    `not up to date, run "npm run generate" and commit:\n${stale.map((file) => `  ${file}`).join("\n")}`,
  );
  process.exitCode = 1;
}

function compare(file: string, expected: Buffer): void {
  if (!readOrEmpty(path.join(root, file)).equals(expected)) stale.push(file);
}

function readOrEmpty(file: string): Buffer {
  return existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
}
