/** What rings, and what does not: by made-up series in deploy/alerts/portico.test.yaml. `npm run monitoring` asks a real scrape besides. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

const alerts = path.resolve(import.meta.dirname, "../../deploy/alerts");
const rules = readFileSync(path.join(alerts, "portico.yaml"), "utf8");
const tests = readFileSync(path.join(alerts, "portico.test.yaml"), "utf8");

const declared = [...rules.matchAll(/- alert: (\S+)\n/g)].map(([, name]) => String(name));
const tried = [...tests.matchAll(/alertname: (\S+)\n +exp_alerts:( \[\])?\n/g)].map(([, name, still]) => ({
  ...{ name: String(name), rings: still === undefined },
}));

test("every alert is tried with series for which it rings, and with others for which it does not", () => {
  assert.ok(declared.length > 8);
  assert.equal(tests.match(/alertname:/g)?.length, tried.length);
  const of = (rings: boolean) => new Set(tried.filter((one) => one.rings === rings).map(({ name }) => name));
  assert.deepEqual([...of(true)].sort(), [...declared].sort());
  assert.deepEqual([...of(false)].sort(), [...declared].sort());
});

test("the objective is made of what is there before it can fail, without what is nobody's method", () => {
  const objective = [...rules.matchAll(/- record: (\S+)\n\s+expr: \|\n((?: {10}.*\n)+)/g)];
  assert.equal(objective.length, 8);
  for (const [, name, expression] of objective)
    assert.deepEqual(
      String(expression).match(/portico_\w+/g),
      ["portico_objective_failures_total", "portico_objective_calls_total"],
      name,
    );
});

test("promtool finds that they ring as they should, where it is here", (context) => {
  const ran = spawnSync("promtool", ["test", "rules", "portico.test.yaml"], {
    ...{ cwd: alerts, encoding: "utf8" },
  });
  if (ran.error !== undefined) return context.skip("there is no promtool: scripts/install-prometheus.sh");
  assert.equal(ran.status, 0, ran.stdout + ran.stderr);
  return undefined;
});
