/**
 * The pages, and parts of pages, that are written by the program: what they say is declared once, in the sources.
 * `generate-docs.ts` writes them, `check-generated.ts` compares.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { Writable } from "node:stream";
import { runCli } from "#cli/cli.ts";
import { limitOptions, type Option, options } from "#config/config.ts";
import { codes, httpStatusOf } from "#rpc/code.ts";
import type { Reason } from "#rpc/reasons.ts";
import { layers } from "../tests/architecture/layers.ts";
import { reasonTables } from "./reason-tables.ts";

export const root = path.resolve(import.meta.dirname, "..");

/** Path below the root, and the whole content it should have. */
export type Documents = ReadonlyMap<string, string>;

export async function makeDocuments(): Promise<Documents> {
  return new Map([
    ["docs/reference/configuration.md", configuration()],
    ["docs/reference/errors.md", await errors()],
    ["docs/reference/cli.md", await commandLine()],
    ["ARCHITECTURE.md", withTable(readFileSync(path.join(root, "ARCHITECTURE.md"), "utf8"), layerTable())],
  ]);
}

const note = "<!-- Written by `npm run generate`; edit the declaration, not this page. -->";

function configuration(): string {
  const all: readonly Option[] = Object.values(options);
  const ofLimits = new Set<Option>(Object.values(limitOptions));
  const rows = all.filter((option) => !ofLimits.has(option));
  const sections = rows.map(
    (option) => `## \`${option.key}\`

${option.doc}

| | |
|---|---|
| variable | \`${option.env}\`${option.standardEnv === undefined ? "" : `, else \`${option.standardEnv}\``} |
| flag | \`${option.flag}\` |
| default | ${option.default.replaceAll("<", "&lt;")} |
| values | ${option.range} |
`,
  );
  return `# Configuration
${note}

Read once, at start: flags win over \`PORTICO_*\` variables, these over \`portico.config.ts\` in the working directory, that
over the defaults. Unknown keys, unknown variables and bad values are all reported together, and nothing starts.

\`\`\`ts
// portico.config.ts
export default {
  http: { port: 8080 },
  database: { url: "sqlite:./data/portico.db" },
};
\`\`\`

${sections.join("\n")}
## Limits

How much a client may take. The defaults are those of a process that faces the internet; what each guards is in its last column.
Each is a flag, too, spelled as its variable is: \`--http-max-header-bytes\`.

| key | variable | default | values | guards |
|---|---|---|---|---|
${[...ofLimits].map(limitRow).join("\n")}
`;
}

function limitRow({ key, env, default: fallback, range, doc }: Option): string {
  return `| \`${key}\` | \`${env}\` | ${fallback} | ${range} | ${doc} |`;
}

async function errors(): Promise<string> {
  const sections: string[] = [];
  for (const { owner, reasons } of await reasonTables()) {
    sections.push(`## ${owner}\n`);
    for (const [name, reason] of Object.entries(reasons).sort(([a], [b]) => (a < b ? -1 : 1)))
      sections.push(reasonSection(name, reason));
  }
  return `# Errors
${note}

Every error, in every protocol, is a \`google.rpc.Status\`: a code, a message for people, and details. The first detail is a
\`google.rpc.ErrorInfo\` with domain \`portico\` and one of the reasons below: switch on the reason, show the message.
A \`google.rpc.RequestInfo\` names the request id that the log has too; \`google.rpc.BadRequest\` names fields.
Reasons are never renamed and never change their meaning.

${sections.join("\n")}`;
}

function reasonSection(name: string, reason: Reason): string {
  const { number, label } = codes[reason.code];
  const http = httpStatusOf({ code: reason.code, reason: name });
  return `### \`${name}\`

${reason.meaning}. gRPC ${number} \`${label}\`, HTTP ${http}.
`;
}

async function commandLine(): Promise<string> {
  const pages: string[] = [];
  for (const argv of [
    ["--help"],
    ["serve", "--help"],
    ["routes", "--help"],
    ["routes", "explain", "--help"],
    ["call", "--help"],
    ["whoami", "--help"],
    ["keys", "--help"],
    ["keys", "create", "--help"],
    ["keys", "list", "--help"],
    ["keys", "rotate", "--help"],
    ["keys", "revoke", "--help"],
    ["keys", "dev", "--help"],
    ["users", "create", "--help"],
  ]) {
    pages.push(
      `## \`portico ${argv.slice(0, -1).join(" ")}\`\n\n\`\`\`text\n${await helpOf(argv)}\`\`\`\n`.replace(
        "portico `",
        "portico`",
      ),
    );
  }
  return `# Command line
${note}

In a checkout the program is \`node scripts/portico.js\`; installed it is \`portico\`. Exit codes: 0 done, 1 failed, 2 wrong usage or
configuration, 3 not allowed, 4 not found, 5 conflict, 6 nobody answers.

${pages.join("\n")}`;
}

async function helpOf(argv: readonly string[]): Promise<string> {
  let text = "";
  const out = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  await runCli({ argv, env: {}, cwd: root, out, err: out });
  return text;
}

function layerTable(): string {
  const rows = Object.entries(layers).map(([area, row]) => {
    const uses = row.uses.includes("*") ? "everything" : row.uses.join(", ") || "nothing";
    const name =
      area === "." ? "`main.ts`, `compose.ts`" : `\`${area}\`${row.library === true ? " (library)" : ""}`;
    return `| ${name} | ${uses} | ${row.why} |`;
  });
  return ["| area | may import | because |", "|---|---|---|", ...rows].join("\n");
}

/** Replaces what stands between the two markers. */
function withTable(page: string, table: string): string {
  return page.replace(
    /(<!-- layers -->\n)[\s\S]*?(<!-- \/layers -->)/,
    (_all, open: string, close: string) => `${open}${table}\n${close}`,
  );
}
