/** What `npm run monitoring` cannot see, because it asks about one process: dashboards and alerts of several workers. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

const deploy = path.resolve(import.meta.dirname, "../../deploy");

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
  }[];
}

function targets(): { readonly title: string; readonly expr: string; readonly legendFormat: string }[] {
  return readdirSync(path.join(deploy, "dashboards")).flatMap((file) => {
    const { panels } = JSON.parse(readFileSync(path.join(deploy, "dashboards", file), "utf8")) as Dashboard;
    return panels.flatMap(({ title, targets = [] }) => targets.map((target) => ({ title, ...target })));
  });
}

test("what is shown by process is shown by worker, under a name of its own", () => {
  const byProcess = targets().filter(
    ({ expr, legendFormat }) => legendFormat.includes("{{instance}}") && !expr.includes("workers_missing"),
  );
  assert.ok(byProcess.length > 10);
  for (const { title, expr, legendFormat } of byProcess) {
    assert.match(legendFormat, /\{\{instance\}\} \{\{worker\}\}/, title);
    const [, labels = "instance, worker"] = /\bby \(([^)]*)\)/.exec(expr) ?? [];
    assert.match(labels, /\binstance, worker\b/, title);
  }
});

test("workers that do not answer are on a dashboard and ring", () => {
  assert.ok(targets().some(({ expr }) => expr.includes("portico_workers_missing")));
  assert.match(
    readFileSync(path.join(deploy, "alerts/portico.yaml"), "utf8"),
    /alert: \S+\n\s+expr: \|\n.*portico_workers_missing/,
  );
});
