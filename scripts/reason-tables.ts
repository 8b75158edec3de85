/** Every area's table of error reasons, found by file name. */
import { globSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { Reasons } from "#rpc/reasons.ts";

export interface ReasonTable {
  /** Folder below src/, such as `storage`. */
  readonly owner: string;
  readonly reasons: Reasons;
}

const src = path.resolve(import.meta.dirname, "../src");

export async function reasonTables(): Promise<ReasonTable[]> {
  const files = globSync("**/reasons.ts", { cwd: src }).sort();
  return Promise.all(
    files.map(async (file) => {
      const module: { reasons: Reasons } = await import(pathToFileURL(path.join(src, file)).href);
      return { owner: path.posix.dirname(file), reasons: module.reasons };
    }),
  );
}
