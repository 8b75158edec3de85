/** `portico routes`: the route table of the contract; `portico routes explain`: why a request goes where it goes. */
import { Command } from "commander";
import type { AccessRule, Catalog, HttpRoute } from "#gateway/catalog/catalog.ts";
import type { Method } from "#rpc/method.ts";
import { loadContract } from "./contract.ts";
import type { ExitCode, Terminal } from "./terminal.ts";

export function routesCommand(terminal: Terminal, finish: (code: ExitCode) => void): Command {
  const routes = new Command("routes")
    .description("print every method with its kind and its HTTP bindings")
    .option("--json", "as JSON, one object a method")
    .option("--public", "only methods that need no credential")
    .option("--by-scope", "by the scopes that let callers in, with the methods that each opens")
    .action((given: { json?: boolean; public?: boolean; byScope?: boolean }) => {
      const all = rowsOf(loadContract());
      const rows = given.public === true ? all.filter((row) => row.access.public) : all;
      const print = given.byScope === true ? byScope : given.json === true ? toLines : toTable;
      terminal.out.write(print(rows));
    });
  routes
    .command("explain <METHOD> <PATH>")
    .description(
      "say which method answers an HTTP request, or why none does; for example: explain GET /api/v1/bpmn/order",
    )
    .action((httpMethod: string, path: string) => {
      finish(explain(loadContract(), httpMethod.toUpperCase(), path, terminal));
    });
  return routes;
}

interface Row {
  readonly method: string;
  readonly kind: Method["kind"];
  readonly bindings: readonly string[];
  readonly access: AccessRule;
}

function rowsOf(catalog: Catalog): Row[] {
  return [...catalog.methods.values()].map((method) => {
    const bound = catalog.routes
      .filter((route) => route.method === method)
      .map((route) => `${route.httpMethod} ${route.template}`);
    const access = catalog.optionsOf(method).access ?? { public: false, scopes: [], rule: "" };
    return { method: method.name, kind: method.kind, bindings: [...bound, `POST ${method.path}`], access };
  });
}

function toLines(rows: readonly Row[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
}

function toTable(rows: readonly Row[]): string {
  const cells = rows.flatMap((row) =>
    row.bindings.map((binding, index) => (index === 0 ? [row.method, row.kind, binding] : ["", "", binding])),
  );
  const table = [["METHOD", "KIND", "BINDINGS"], ...cells];
  const widths = [0, 1].map((column) => Math.max(...table.map((line) => line[column]?.length ?? 0)));
  return table
    .map(
      (line) =>
        `${(line[0] ?? "").padEnd(widths[0] ?? 0)}  ${(line[1] ?? "").padEnd(widths[1] ?? 0)}  ${line[2]}\n`,
    )
    .join("");
}

/** What nobody decided is for administrators, whose scope is "*". */
function byScope(rows: readonly Row[]): string {
  const opened = new Map<string, string[]>();
  for (const { method, access } of rows) {
    const scopes = access.public ? ["(public)"] : access.scopes.length === 0 ? ["*"] : access.scopes;
    for (const scope of scopes) opened.set(scope, [...(opened.get(scope) ?? []), method]);
  }
  return [...opened]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([scope, methods]) => `${scope}\n${methods.map((method) => `  ${method}\n`).join("")}`)
    .join("");
}

function explain(catalog: Catalog, httpMethod: string, target: string, terminal: Terminal): ExitCode {
  const path = target.split("?", 1)[0] ?? target;
  const match = catalog.match(httpMethod, path);
  switch (match.kind) {
    case "found":
      terminal.out.write(found(match.target, match.variables));
      return 0;
    case "method_not_allowed":
      terminal.out.write(
        `405: the path exists, but not with ${httpMethod}; it allows ${match.allow.join(", ")}\n`,
      );
      return 4;
    case "bad_path":
      terminal.out.write(`400: ${match.message}\n`);
      return 2;
    case "not_found":
      terminal.out.write(`404: no binding matches ${path} (portico routes lists them)\n`);
      return 4;
  }
}

function found(route: HttpRoute, variables: readonly string[]): string {
  const lines = [
    `${route.method.name} (${route.method.kind})`,
    `  binding   ${route.httpMethod} ${route.template}`,
  ];
  route.variables.forEach((variable, index) => {
    lines.push(`  ${variable.text.padEnd(9)} ${JSON.stringify(variables[index] ?? "")} from the path`);
  });
  const body =
    route.body.kind === "field"
      ? `field ${route.body.field.name}`
      : route.body.kind === "whole"
        ? "the whole message"
        : "none";
  lines.push(
    `  body      ${body}`,
    `  query     ${route.query === undefined ? "no parameters" : "every other field"}`,
  );
  return `${lines.join("\n")}\n`;
}
