/** The jobs of the worker thread, and their answers. Everything here is copied or transferred between threads. */
import { analyze, type Invalid, type Outcome, readModel } from "./analyze.ts";
import { type Diff, diffModels } from "./diff.ts";
import { checkExecutable } from "./executable.ts";
import type { Finding } from "./finding.ts";
import { lint } from "./lint.ts";
import type { Profile } from "./profiles.ts";

export type Job =
  | { readonly kind: "analyze"; readonly xml: Uint8Array }
  | { readonly kind: "validate"; readonly xml: Uint8Array; readonly profiles: readonly Profile[] }
  | { readonly kind: "diff"; readonly xml: Uint8Array; readonly target: Uint8Array };

export interface Answers {
  readonly analyze: Outcome;
  /** Findings of all profiles; empty: nothing to say. */
  readonly validate: readonly Finding[];
  readonly diff:
    | { readonly kind: "ok"; readonly diff: Diff }
    | (Invalid & { readonly side: "base" | "target" });
}

export async function runJob(job: Job): Promise<Answers[Job["kind"]]> {
  switch (job.kind) {
    case "analyze":
      return await analyze(job.xml);
    case "validate":
      return await validate(job.xml, job.profiles);
    case "diff":
      return await diff(job.xml, job.target);
  }
}

async function validate(xml: Uint8Array, asked: readonly Profile[]): Promise<readonly Finding[]> {
  const model = await readModel(xml);
  if (model.kind === "invalid") return model.findings;
  return [
    ...(asked.includes("lint") ? await lint(model.root, model.text) : []),
    ...(asked.includes("executable") ? checkExecutable(model.root, model.text) : []),
  ];
}

async function diff(base: Uint8Array, target: Uint8Array): Promise<Answers["diff"]> {
  const before = await readModel(base);
  if (before.kind === "invalid") return { ...before, side: "base" };
  const after = await readModel(target);
  if (after.kind === "invalid") return { ...after, side: "target" };
  return { kind: "ok", diff: diffModels(before.root, after.root) };
}
