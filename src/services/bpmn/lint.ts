/**
 * The profile `lint`: bpmnlint's recommended rules, which people should heed in every model. They come from a fixed list in
 * this program: nothing a document says loads a rule.
 */
import { createRequire } from "node:module";
import type { Element } from "./element.ts";
import type { Unplaced } from "./finding.ts";

interface Report {
  readonly id?: string;
  readonly message: string;
  readonly category: "error" | "warn" | "info" | "rule-error";
}

interface LinterPackage {
  readonly Linter: new (options: {
    readonly resolver: unknown;
    readonly config: unknown;
  }) => { lint(root: Element): Promise<Readonly<Record<string, readonly Report[]>>> };
}

// bpmnlint is CommonJS; loaded when the first document asks for it, in the worker alone.
const load = createRequire(import.meta.url);
let makeLinter: (() => InstanceType<LinterPackage["Linter"]>) | undefined;

function prepare(): () => InstanceType<LinterPackage["Linter"]> {
  const { Linter } = load("bpmnlint") as LinterPackage;
  const { rules } = load("bpmnlint/config/recommended.js") as {
    readonly rules: Readonly<Record<string, string>>;
  };
  const StaticResolver = load("bpmnlint/lib/resolver/static-resolver.js") as new (
    cache: Readonly<Record<string, unknown>>,
  ) => unknown;
  const cache = Object.fromEntries(
    Object.keys(rules).map((name) => [`rule:bpmnlint/${name}`, load(`bpmnlint/rules/${name}.js`) as unknown]),
  );
  const resolver = new StaticResolver(cache);
  // One a document: rules remember what they saw.
  return () => new Linter({ resolver, config: { rules } });
}

export async function lint(root: Element): Promise<Unplaced[]> {
  makeLinter ??= prepare();
  const reports = await makeLinter().lint(root);
  return Object.entries(reports).flatMap(([rule, found]) =>
    found.map(({ id, message, category }) => ({
      severity: category === "error" ? ("error" as const) : ("warning" as const),
      code: `lint/${rule}`,
      message: message.slice(0, 300),
      hint: "",
      elementId: id ?? "",
    })),
  );
}
