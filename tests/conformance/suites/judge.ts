/** What a suite found, beside what is known of it. */
import { readFileSync } from "node:fs";
import path from "node:path";
import type { Outcome, Suite } from "./suite.ts";

const folder = path.resolve(import.meta.dirname, "../known-failures");

/** Lines `case | reason`; `#` begins a comment. */
function knownFailures(suite: Suite): ReadonlyMap<string, string> {
  let text = "";
  try {
    text = readFileSync(path.join(folder, `${suite.name}.txt`), "utf8");
  } catch {
    return new Map();
  }
  const known = new Map<string, string>();
  for (const line of text.split("\n")) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [name = "", reason = ""] = line.split(" | ");
    if (reason.trim() === "") throw new Error(`known-failures/${suite.name}.txt: "${line}" has no reason`);
    known.set(name.trim(), reason.trim());
  }
  return known;
}

/** @returns what has to be looked at: new failures, and known ones that are over. Empty: all is as expected. */
export function judge(suite: Suite, outcome: Outcome): readonly string[] {
  const known = knownFailures(suite);
  const surprises = outcome.failures.filter((name) => !known.has(name));
  const healed =
    suite.sampled === true ? [] : [...known.keys()].filter((name) => !outcome.failures.includes(name));
  return [
    ...surprises.map((name) => `fails: ${name}`),
    ...healed.map((name) => `no longer fails, but is listed as known: ${name}`),
    ...(outcome.passed > 0 ? [] : ["nothing passed"]),
  ];
}
