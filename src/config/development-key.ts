/** The development key in the data folder: for its owner's eyes, so that the first request needs nothing but `cat`. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

export const developmentKeyName = "dev-key";

/** Undefined: there is none yet. */
export function readDevelopmentKey(dataDir: string): string | undefined {
  const file = path.join(dataDir, developmentKeyName);
  return existsSync(file) ? readFileSync(file, "utf8").trim() : undefined;
}

/** Holds the key alone. Gives the file's path. */
export function writeDevelopmentKey(dataDir: string, key: string): string {
  const file = path.join(dataDir, developmentKeyName);
  mkdirSync(dataDir, { recursive: true });
  if (readDevelopmentKey(dataDir) !== key) writeFileSync(file, `${key}\n`, { mode: 0o600 });
  return file;
}
