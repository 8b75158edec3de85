/**
 * The development key in the data folder: for its owner's eyes, so that the first request needs nothing but `curl`. Beside it stands the
 * header that carries it, which `curl -H @FILE` reads: a key among the arguments would be in the list of processes.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

export const developmentKeyName = "dev-key";

/** Undefined: there is none yet. */
export function readDevelopmentKey(dataDir: string): string | undefined {
  return readText(path.join(dataDir, developmentKeyName));
}

/** Holds the key alone. Gives the file's path. */
export function writeDevelopmentKey(dataDir: string, key: string): string {
  const file = path.join(dataDir, developmentKeyName);
  mkdirSync(dataDir, { recursive: true });
  for (const [name, text] of [
    [file, key],
    [developmentHeaderOf(file), `X-API-Key: ${key}`],
  ] as const)
    if (readText(name) !== text) writeFileSync(name, `${text}\n`, { mode: 0o600 });
  return file;
}

/** @param keyFile path of the file that holds the key alone. */
export function developmentHeaderOf(keyFile: string): string {
  return `${keyFile}.header`;
}

function readText(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, "utf8").trim() : undefined;
}
