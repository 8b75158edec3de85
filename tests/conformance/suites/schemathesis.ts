/**
 * schemathesis against `/openapi.json` of a whole Portico, as an administrator: 5,000 examples and more, with every check it has.
 *
 * A failure is named by the check and by what our answer says (reason and field), not by the operation that met it: which operations meet
 * one depends on chance, what a schema cannot say does not.
 *
 * @see https://schemathesis.readthedocs.io
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { startPortico } from "../../support/portico.ts";
import type { Suite } from "./suite.ts";
import { fetchTools, runProgram, toolsFolder } from "./suite.ts";

const leastExamples = 5000;
/** More than enough for that, over all operations. */
const examplesPerOperation = 40;
const program = path.join(toolsFolder, "python/bin/schemathesis");

/** One line of its report; there are other kinds. */
interface Line {
  readonly ScenarioFinished?: {
    readonly recorder: {
      readonly label: string;
      readonly checks: Readonly<Record<string, readonly Check[]>>;
      readonly interactions: Readonly<Record<string, Interaction>>;
    };
  };
}
interface Check {
  readonly name: string;
  readonly status: string;
  readonly failure_info?: { readonly failure: { readonly title: string; readonly message: string } };
}
type Content = { readonly $base64: string } | string | null;
interface Interaction {
  readonly request: { readonly method: string; readonly uri: string; readonly body?: Content };
  readonly response?: { readonly status_code: number; readonly content?: Content };
}
interface ErrorBody {
  readonly details?: readonly {
    readonly reason?: string;
    readonly metadata?: Readonly<Record<string, string>>;
  }[];
}

const textOf = (content: Content | undefined): string =>
  typeof content === "string" ? content : Buffer.from(content?.$base64 ?? "", "base64").toString();

/** The kinds of violation that were accepted: a case may have several. */
function accepted(message: string): string {
  const kinds = [...message.matchAll(/violates ([^\n]*)/g)].map(([, what = ""]) =>
    what.includes("became null") ? "null" : [...what.matchAll(/`(\w+)`/g)].map(([, word]) => word).join(" "),
  );
  if (/incorrect type/i.test(message)) kinds.push("type");
  if (message.includes("Missing request body")) kinds.push("no body");
  return [...new Set(kinds)].sort().join(", ");
}

/** Reason and field of an error of ours; the status where there is none. */
function told({ response }: Interaction): string {
  if (response === undefined) return "no answer";
  const text = textOf(response.content);
  let body: ErrorBody = {};
  try {
    body = JSON.parse(text) as ErrorBody;
  } catch {
    // Not JSON: the status says enough.
  }
  const [info] = body.details ?? [];
  if (info?.reason === undefined) return String(response.status_code);
  // The field that is unknown is the client's invention.
  if (info.reason === "FIELD_UNKNOWN") return info.reason;
  const field = info.metadata?.field?.replaceAll(/\[[^\]]*\]/g, "[]");
  return field === undefined ? info.reason : `${info.reason} ${field}`;
}

interface Report {
  readonly examples: number;
  readonly passed: number;
  readonly failures: ReadonlyMap<string, string>;
}

/** @returns failures by name, each with one example of it. */
function readReport(file: string): Report {
  const failures = new Map<string, string>();
  let examples = 0;
  let passed = 0;
  for (const text of readFileSync(file, "utf8").split("\n")) {
    if (!text.startsWith('{"ScenarioFinished"')) continue;
    const { recorder } = (JSON.parse(text) as Line).ScenarioFinished ?? {};
    for (const [id, interaction] of Object.entries(recorder?.interactions ?? {})) {
      examples += 1;
      const failed = (recorder?.checks[id] ?? []).filter(({ status }) => status === "failure");
      if (failed.length === 0) passed += 1;
      for (const { name, failure_info } of failed) {
        const { title = "", message = "" } = failure_info?.failure ?? {};
        const { method, uri, body } = interaction.request;
        const what = name === "negative_data_rejection" ? accepted(message) : told(interaction);
        failures.set(
          `${name} ${what}`,
          [recorder?.label, title, message, method, uri, textOf(body)]
            .map((part = "") => part.replaceAll(/\s+/g, " ").slice(0, 300))
            .join(" | "),
        );
      }
    }
  }
  return { examples, passed, failures };
}

export const schemathesis: Suite = {
  name: "schemathesis",
  title: "schemathesis --checks all",
  against: "REST, by /openapi.json",
  sampled: true,
  missing: () => fetchTools("schemathesis"),
  run: async () => {
    const portico = await startPortico({ authentication: "on", rateLimit: "off" });
    const folder = mkdtempSync(path.join(tmpdir(), "portico-schemathesis-"));
    const report = path.join(folder, "report.ndjson");
    try {
      const { output } = await runProgram(
        program,
        [
          ...["--config-file", path.resolve(import.meta.dirname, "../schemathesis.toml"), "--no-color"],
          ...["run", `${portico.base}/openapi.json`, "-u", portico.base, "--checks", "all"],
          ...["-H", `X-API-Key: ${portico.key}`, "--continue-on-failure", "--no-shrink"],
          ...["--max-examples", String(examplesPerOperation), "--seed", "1", "--request-timeout", "10"],
          ...["--generation-database", "none", "--report", "ndjson", "--report-ndjson-path", report],
        ],
        { timeoutMs: 900_000, cwd: folder },
      );
      const { examples, passed, failures } = readReport(report);
      if (examples < leastExamples)
        throw new Error(`schemathesis made ${examples} examples only:\n${output.slice(-2000)}`);
      for (const [name, example] of failures) console.log(`  ${name}: ${example}`);
      const version = /version (\S+)/.exec(
        (await runProgram(program, ["--version"], { timeoutMs: 60_000 })).output,
      );
      return { version: version?.[1] ?? "", passed, failures: [...failures.keys()] };
    } finally {
      await portico.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
