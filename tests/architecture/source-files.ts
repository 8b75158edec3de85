/** The sources of src/ and what each imports, for the tests that hold the architecture. */
import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { layers } from "./layers.ts";

export const root = path.resolve(import.meta.dirname, "../..");
export const src = path.join(root, "src");

const rows = Object.keys(layers).sort((a, b) => b.length - a.length);

/** The area a file belongs to: the longest row that is a folder above it. */
export function areaOf(file: string): string {
  return rows.find((row) => file.startsWith(`${row}/`)) ?? ".";
}

/** Paths below src/, tests apart. */
export const files: readonly string[] = globSync("**/*.ts", { cwd: src })
  .filter((file) => !file.endsWith(".test.ts") && !file.endsWith(".contract.ts"))
  .sort();

export interface Import {
  readonly specifier: string;
  /** `import type …`: gone when the program runs. */
  readonly typeOnly: boolean;
}

/** Static imports, re-exports, `import("…")` and `getBuiltinModule("…")` of a file, in source order; comments do not count. */
export function importsOf(file: string): readonly Import[] {
  const text = read(file).replace(/\/\*[\s\S]*?\*\//g, "");
  const statics = [
    ...text.matchAll(/^\s*(?:import|export)\s+(?:([\w*{}\s,]+?)\s+from\s+)?["']([^"']+)["'];/gm),
  ].map((found) => ({
    specifier: String(found[2]),
    typeOnly: /^type\b/.test(String(found[1])),
  }));
  const dynamics = [...text.matchAll(/\b(?:import|getBuiltinModule)\(\s*["']([^"']+)["']/g)].map((found) => ({
    specifier: String(found[1]),
    typeOnly: false,
  }));
  return [...statics, ...dynamics];
}

/** The file under src/ that a specifier points at, or undefined for packages and node: modules. */
export function targetOf(file: string, specifier: string): string | undefined {
  if (specifier.startsWith("#")) return specifier.slice(1);
  if (specifier.startsWith(".")) return path.posix.join(path.posix.dirname(file), specifier);
  return undefined;
}

export function read(file: string): string {
  return readFileSync(path.join(src, file), "utf8");
}

/** The file named like its folder. */
export function isDoor(file: string): boolean {
  return path.posix.basename(path.posix.dirname(file)) === path.posix.basename(file, ".ts");
}
