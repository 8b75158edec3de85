/** Inputs that are kept: good ones to begin from, and each that once was a finding. One a line: texts as JSON, bytes in hexadecimal. */
import { readFileSync } from "node:fs";
import path from "node:path";
import type { Target } from "./targets.ts";

/** As the target's inputs take them: texts, or bytes in hexadecimal. */
export function corpusOf({ name, kind }: Target): readonly string[] {
  const file = path.join(import.meta.dirname, "corpus", `${name}.txt`);
  const lines = readFileSync(file, "utf8").split("\n").filter(Boolean);
  return kind === "bytes" ? lines : lines.map((line) => JSON.parse(line) as string);
}

export function inputOf({ kind }: Target, kept: string): string | Buffer {
  return kind === "bytes" ? Buffer.from(kept, "hex") : kept;
}

export function lineOf(input: string | Buffer): string {
  return typeof input === "string" ? JSON.stringify(input) : input.toString("hex");
}
