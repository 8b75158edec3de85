/**
 * `npm run fuzz -- --seconds 60` or `-- --inputs 1000000`, for all targets together; `--target NAME` for one; `--seed N` to do it again.
 * A finding is printed as a line for the corpus, where it stays once it is mended.
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { fuzz } from "./fuzz.ts";
import { targets } from "./targets.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string" },
    inputs: { type: "string" },
    target: { type: "string" },
    seed: { type: "string", default: String(randomInt(2 ** 31)) },
  },
});
const chosen = targets.filter(({ name }) => values.target === undefined || name === values.target);
if (chosen.length === 0)
  throw new Error(`there is no such target; there are ${targets.map(({ name }) => name).join(", ")}`);
const seed = Number(values.seed);
const all = values.inputs === undefined ? Number.POSITIVE_INFINITY : Number(values.inputs);
const seconds = values.seconds === undefined ? Number.POSITIVE_INFINITY : Number(values.seconds);
const perTarget = Number.isFinite(all) ? Math.ceil(all / chosen.length) : 1_000_000_000;
// Timers hold at most 2^31 - 1 milliseconds.
const withinMs = Number.isFinite(seconds) ? (seconds * 1000) / chosen.length : 2 ** 31 - 1;

console.log(`seed ${seed}`);
let total = 0;
for (const target of chosen) {
  const { inputs, ms, slowestMs, finding } = await fuzz(target, { inputs: perTarget, withinMs, seed });
  total += inputs;
  const rate = Math.round(inputs / (ms / 1000));
  console.log(`${target.name.padEnd(14)} ${inputs} inputs, ${rate}/s, slowest ${slowestMs.toFixed(1)} ms`);
  if (finding === undefined) continue;
  process.exitCode = 1;
  console.log(`  FOUND ${finding.error}\n  add to tests/fuzz/corpus/${target.name}.txt: ${finding.line}`);
}
console.log(`${total} inputs in all`);
