/**
 * The Model Context Protocol's conformance suite, its server scenarios for both revisions, against a contract that has the tools it uses.
 *
 * @see https://github.com/modelcontextprotocol/conformance
 */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { startTools } from "../mcp/server.ts";
import type { Suite } from "./suite.ts";

const require = createRequire(import.meta.url);
const folder = path.dirname(require.resolve("@modelcontextprotocol/conformance/package.json"));
const { version } = JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8")) as {
  version: string;
};

/** What each revision asks of servers; of the newest, exactly what it was released with. */
const revisions = [
  { name: "2025-11-25", flags: ["--suite", "all", "--spec-version", "2025-11-25"] },
  { name: "2026-07-28", flags: ["--requirements", "2026-07-28"] },
] as const;

/** @returns what it printed: it ends with 1 where a scenario fails. */
function runSuite(url: string, flags: readonly string[]): Promise<string> {
  const cwd = mkdtempSync(path.join(tmpdir(), "portico-mcp-"));
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [path.join(folder, "dist/index.js"), "server", "--url", url, ...flags],
      { cwd, timeout: 120_000, maxBuffer: 64 * 1024 * 1024 },
      (error, stdout) => {
        rmSync(cwd, { recursive: true, force: true });
        if (error?.killed === true) reject(new Error("the suite did not end in time"));
        else resolve(stdout);
      },
    );
  });
}

export const mcp: Suite = {
  name: "mcp",
  title: "modelcontextprotocol/conformance",
  against: "MCP, 2025-11-25 and 2026-07-28",
  missing: () => undefined,
  run: async () => {
    const failures: string[] = [];
    let passed = 0;
    const server = await startTools();
    try {
      for (const { name, flags } of revisions) {
        const output = await runSuite(server.url, flags);
        const summary = output.slice(output.indexOf("=== SUMMARY ==="));
        const [scored = "", unscored = ""] = summary.split(/^Not scored .*$/m);
        for (const [, scenario = "", good, bad] of scored.matchAll(
          /^\S+ ([\w-]+): (\d+) passed, (\d+) failed/gm,
        )) {
          // Extensions and what is still pending are run, but are not part of the revision.
          if (unscored.includes(` ${scenario} (`)) continue;
          passed += Number(good);
          if (Number(bad) > 0) failures.push(`${name} ${scenario}`);
        }
      }
    } finally {
      await server.close();
    }
    return { version, passed, failures };
  },
};
