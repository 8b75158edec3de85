/**
 * `npm run conformance [-- SUITE...]`: other people's conformance suites against our protocols.
 *
 * Each is fetched from its own registry when it runs. What it counted goes into RESULTS.md; a failure that the suite's known-failures file
 * does not explain, or a line there that no longer fails, ends in exit code 1. A suite whose toolchain is missing says so and is left out.
 */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { connect } from "./suites/connect.ts";
import { graphql } from "./suites/graphql.ts";
import { grpc } from "./suites/grpc.ts";
import { h2spec } from "./suites/h2spec.ts";
import { judge } from "./suites/judge.ts";
import { mcp } from "./suites/mcp.ts";
import { protobuf } from "./suites/protobuf.ts";
import { schemathesis } from "./suites/schemathesis.ts";
import type { Outcome, Suite } from "./suites/suite.ts";

const suites: readonly Suite[] = [connect, grpc, h2spec, graphql, mcp, protobuf, schemathesis];
const folder = import.meta.dirname;
const resultsFile = path.join(folder, "RESULTS.md");

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
  const problems = judge(suite, outcome);
  const good = problems.length === 0;
  for (const problem of problems) console.error(`  ${problem}`);
  console.log(`  ${outcome.passed} passed, ${outcome.failures.length} failed (${outcome.version})`);
  if (good) record(suite, outcome);
  else failed = true;
}
process.exit(failed ? 1 : 0);
