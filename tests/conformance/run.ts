/**
 * `npm run conformance [-- SUITE...]`: other people's conformance suites against our protocols.
 *
 * Each is fetched from its own registry when it runs. What it counted goes into RESULTS.md; a failure that the suite's known-failures file
 * does not explain, or a line there that no longer fails, ends in exit code 1. A suite whose toolchain is missing says so and is left out.
 */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { connect } from "./suites/connect.ts";
import type { Outcome, Suite } from "./suites/suite.ts";

const suites: readonly Suite[] = [connect];
const folder = import.meta.dirname;
const resultsFile = path.join(folder, "RESULTS.md");

/** Lines `case: reason`; `#` begins a comment. */
function knownFailures(suite: Suite): ReadonlyMap<string, string> {
  let text = "";
  try {
    text = readFileSync(path.join(folder, "known-failures", `${suite.name}.txt`), "utf8");
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

function judge(suite: Suite, outcome: Outcome): boolean {
  const known = knownFailures(suite);
  const surprises = outcome.failures.filter((name) => !known.has(name));
  const healed = [...known.keys()].filter((name) => !outcome.failures.includes(name));
  for (const name of surprises) console.error(`  fails: ${name}`);
  for (const name of healed) console.error(`  no longer fails, but is listed as known: ${name}`);
  return surprises.length === 0 && healed.length === 0 && outcome.passed > 0;
}

/** One row a suite; the rows of suites that did not run stay as they are. */
function record(suite: Suite, outcome: Outcome): void {
  const text = readFileSync(resultsFile, "utf8");
  const row = `| ${suite.title} | ${outcome.version} | ${suite.against} | ${outcome.passed} | ${outcome.failures.length} |`;
  const before = text.split("\n").findIndex((line) => line.startsWith(`| ${suite.title} |`));
  const lines = text.trimEnd().split("\n");
  if (before === -1) lines.push(row);
  else lines[before] = row;
  writeFileSync(resultsFile, `${lines.join("\n")}\n`);
}

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !suites.some((suite) => suite.name === name));
if (unknown.length > 0) {
  console.error(
    `there is no suite ${unknown.join(", ")}; there are: ${suites.map(({ name }) => name).join(", ")}`,
  );
  process.exit(2);
}
let failed = false;
for (const suite of suites) {
  if (asked.length > 0 && !asked.includes(suite.name)) continue;
  const missing = suite.missing();
  if (missing !== undefined) {
    console.log(`${suite.title}: not run, ${missing}`);
    continue;
  }
  console.log(`${suite.title} …`);
  const outcome = await suite.run();
  const good = judge(suite, outcome);
  console.log(`  ${outcome.passed} passed, ${outcome.failures.length} failed (${outcome.version})`);
  if (good) record(suite, outcome);
  else failed = true;
}
process.exit(failed ? 1 : 0);
