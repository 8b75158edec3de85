/**
 * From flags, environment and file to one frozen configuration, or to every problem at once.
 *
 * Precedence: flag, environment, file, default. A key nobody knows is a problem with the nearest known one named.
 */
import { existsSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { nearest } from "#std/nearest.ts";
import type { Option } from "./option.ts";
import { type Given, type OptionName, options } from "./options.ts";

/** Raw values by option name, with where each came from for the messages. */
interface Source {
  readonly name: string;
  readonly value: unknown;
}

export interface Sources {
  /** Raw flag values by option name, as the command line parser gives them. */
  readonly flags: Readonly<Partial<Record<OptionName, string>>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Path of the configuration file; undefined: `portico.config.ts` (or `.js`) in `cwd`, where it exists. */
  readonly file?: string | undefined;
  readonly cwd: string;
}

/** Variables of the client commands, which may stand in the environment of a server too. */
const ofClients: ReadonlySet<string> = new Set(["PORTICO_API_KEY"]);

const names = Object.keys(options) as OptionName[];
const optionOf = (name: OptionName): Option => options[name];

/** Values that parsed, and what was wrong with the others. Never throws. */
export async function gather(sources: Sources): Promise<{ given: Given; problems: string[] }> {
  const problems: string[] = [];
  const raw = new Map<OptionName, Source>();
  await readFile(sources, raw, problems);
  readEnvironment(sources.env, raw, problems);
  for (const name of names) {
    const value = sources.flags[name];
    if (value === undefined) continue;
    raw.set(name, { name: optionOf(name).flag, value });
    if (name === "databaseUrl" && hasPassword(value))
      problems.push(
        `${optionOf(name).flag}: holds a password, which every user of this machine sees in the list of processes; give it as ${optionOf(name).env}, or in the configuration file`,
      );
  }
  const given: Record<string, unknown> = {};
  for (const [name, source] of raw) {
    const parsed = optionOf(name).schema.safeParse(source.value);
    if (parsed.success) given[name] = parsed.data;
    else
      problems.push(
        `${source.name}: ${firstIssue(parsed.error.issues[0])}; it is ${shown(name, source.value)}`,
      );
  }
  return { given: given as Given, problems };
}

/** Characters of a value that are repeated to whoever gave it. */
const mostShown = 100;
/** A URL may hold a password, headers a token, and what was meant to be JSON anything: those are named, not shown. */
const hidden: ReadonlySet<OptionName> = new Set([
  ...([
    "trustedIssuers",
    "databaseUrl",
    "otlpEndpoint",
    "otlpHeaders",
    "otlpMetricsEndpoint",
    "otlpMetricsHeaders",
  ] as const),
]);

function shown(name: OptionName, value: unknown): string {
  if (hidden.has(name)) return "something else";
  const text = JSON.stringify(value) ?? String(value);
  return text.length > mostShown ? `${text.slice(0, mostShown)}…` : text;
}

function hasPassword(url: string): boolean {
  return URL.canParse(url) && (new URL(url).password !== "" || new URL(url).searchParams.has("password"));
}

function readEnvironment(env: Sources["env"], raw: Map<OptionName, Source>, problems: string[]): void {
  readStandards(env, raw);
  const byVariable = new Map(names.map((name) => [optionOf(name).env, name]));
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith("PORTICO_") || value === undefined || ofClients.has(variable)) continue;
    const name = byVariable.get(variable);
    if (name !== undefined) raw.set(name, { name: variable, value });
    else
      problems.push(`${variable}: no such variable; did you mean ${nearest(variable, byVariable.keys())}?`);
  }
}

/** Variables of OpenTelemetry that mean the same as ours. Empty means unset there, as its specification has it. */
function readStandards(env: Sources["env"], raw: Map<OptionName, Source>): void {
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === "true") return;
  for (const name of names) {
    const { standardEnv } = optionOf(name);
    const value = standardEnv === undefined ? undefined : env[standardEnv];
    if (standardEnv !== undefined && value !== undefined && value !== "")
      raw.set(name, { name: standardEnv, value });
  }
  const [, always] = /^(?:parentbased_)?always_(on|off)$/.exec(env.OTEL_TRACES_SAMPLER ?? "") ?? [];
  if (always !== undefined)
    raw.set("traceRatio", { name: "OTEL_TRACES_SAMPLER", value: always === "on" ? 1 : 0 });
  // A list; who is to be asked instead is nobody that is pushed to.
  const exporters = (env.OTEL_METRICS_EXPORTER ?? "").split(",").map((one) => one.trim());
  if (exporters[0] !== "")
    raw.set("otlpMetrics", {
      ...{ name: "OTEL_METRICS_EXPORTER", value: exporters.includes("otlp") ? "on" : "off" },
    });
}

async function readFile(sources: Sources, raw: Map<OptionName, Source>, problems: string[]): Promise<void> {
  const file = findFile(sources);
  if (file === undefined) return;
  const label = path.relative(sources.cwd, file) || file;
  if (!existsSync(file)) {
    problems.push(`--config: there is no file ${label}`);
    return;
  }
  const content = await importFile(file, label, problems);
  if (content === undefined) return;
  const byKey = new Map(names.map((name) => [optionOf(name).key, name]));
  for (const [key, value] of flatten(content, "", byKey)) {
    const name = byKey.get(key);
    if (name !== undefined) raw.set(name, { name: `${label}: ${key}`, value });
    else problems.push(`${label}: ${key}: no such key; did you mean ${nearest(key, byKey.keys())}?`);
  }
}

function findFile(sources: Sources): string | undefined {
  if (sources.file !== undefined) return path.resolve(sources.cwd, sources.file);
  return ["portico.config.ts", "portico.config.js"]
    .map((name) => path.join(sources.cwd, name))
    .find((file) => existsSync(file));
}

async function importFile(file: string, label: string, problems: string[]): Promise<object | undefined> {
  try {
    const module: { default?: unknown } = await import(pathToFileURL(file).href);
    const given = module.default;
    // Without any export the file is CommonJS to Node, and its default export is an empty object that nobody wrote.
    const nothing = "module.exports" in module && Object.keys(given ?? {}).length === 0;
    if (typeof given === "object" && given !== null && !nothing) return given;
    problems.push(`${label}: must export the configuration as its default export: export default { … }`);
  } catch (error) {
    problems.push(`${label}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return undefined;
}

/** `{ http: { port: 1 } }` as `["http.port", 1]`; stops at keys that are options themselves. */
function* flatten(
  value: object,
  prefix: string,
  known: ReadonlyMap<string, unknown>,
): Generator<[string, unknown]> {
  for (const [key, inner] of Object.entries(value)) {
    const dotted = prefix + key;
    const open = typeof inner === "object" && inner !== null && !Array.isArray(inner) && !known.has(dotted);
    if (open) yield* flatten(inner, `${dotted}.`, known);
    else if (inner !== undefined) yield [dotted, inner];
  }
}

/** What is wrong, and where inside where the value has an inside. */
function firstIssue(
  issue: { readonly message: string; readonly path: readonly PropertyKey[] } | undefined,
): string {
  if (issue === undefined) return "is not valid";
  const place = issue.path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`))
    .join("");
  return place === "" ? issue.message : `${place.replace(/^\./, "")}: ${issue.message}`;
}
