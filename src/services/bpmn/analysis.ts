/** The jobs of the worker thread, and their answers. Everything here is copied or transferred between threads. */
import { analyze, type Invalid, type Outcome, readModel } from "./analyze.ts";
import { type Diff, diffModels } from "./diff.ts";
import { checkExecutable } from "./executable.ts";
import type { Finding } from "./finding.ts";
import { lint } from "./lint.ts";
import type { Profile } from "./profiles.ts";
import { positionsOfIds } from "./scan-xml.ts";

export type Job =
  | { readonly kind: "analyze"; readonly xml: Uint8Array }
  | { readonly kind: "validate"; readonly xml: Uint8Array; readonly profiles: readonly Profile[] }
  | { readonly kind: "diff"; readonly xml: Uint8Array; readonly target: Uint8Array };

export interface Answers {
  readonly analyze: Outcome;
  /** Findings of all profiles, errors first; none: nothing to say. */
  readonly validate: { readonly findings: readonly Finding[]; readonly truncated: boolean };
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

/** More are counted and left out: the first thousand are work enough. */
const maxFindings = 1000;

async function validate(xml: Uint8Array, asked: readonly Profile[]): Promise<Answers["validate"]> {
  const model = await readModel(xml);
  if (model.kind === "invalid") return { findings: model.findings, truncated: false };
  const all = [
    ...(asked.includes("lint") ? await lint(model.root) : []),
    ...(asked.includes("executable") ? checkExecutable(model.root) : []),
  ];
  const errorsFirst = [
    ...all.filter((finding) => finding.severity === "error"),
    ...all.filter((finding) => finding.severity !== "error"),
  ];
  const kept = errorsFirst.slice(0, maxFindings);
  const positions = positionsOfIds(model.text, new Set(kept.map((finding) => finding.elementId)));
  const findings = kept.map((finding) => ({
    ...finding,
    ...(positions.get(finding.elementId) ?? { line: 0, column: 0 }),
  }));
  return { findings, truncated: all.length > maxFindings };
}

async function diff(base: Uint8Array, target: Uint8Array): Promise<Answers["diff"]> {
  const before = await readModel(base);
  if (before.kind === "invalid") return { ...before, side: "base" };
  const after = await readModel(target);
  if (after.kind === "invalid") return { ...after, side: "target" };
  return { kind: "ok", diff: diffModels(before.root, after.root) };
}
