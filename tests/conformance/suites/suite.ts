/** What a conformance suite has to bring to be run and counted. */
import { execFile, spawnSync } from "node:child_process";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "../../..");
/** Where install.sh puts what it fetches. */
export const toolsFolder = path.join(root, "node_modules/.cache/conformance");

export interface Suite {
  /** On the command line, and of its known-failures file. */
  readonly name: string;
  readonly title: string;
  /** What of ours it is held against. */
  readonly against: string;
  /** Its cases are drawn by chance: a known failure need not turn up every time. */
  readonly sampled?: true;
  /** What it lacks to run here; undefined: nothing. */
  missing(): string | undefined;
  run(): Promise<Outcome>;
}

export interface Outcome {
  /** Of the suite. */
  readonly version: string;
  readonly passed: number;
  /** Names of the failed cases. */
  readonly failures: readonly string[];
}

/** Fetches what a suite needs. @returns why it cannot be had here; undefined: it is in `toolsFolder`. */
export function fetchTools(suite: string): string | undefined {
  const script = path.join(import.meta.dirname, "../install.sh");
  const ran = spawnSync(script, [suite], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  return ran.status === 0 ? undefined : ran.stdout.trim() || `${script} failed`;
}

export interface Ran {
  /** Null: a signal ended it. */
  readonly code: number | null;
  readonly output: string;
}

/**
 * Runs a program to its end, whatever it ends with.
 *
 * @throws Error if it has not ended after `timeoutMs`.
 */
export function runProgram(
  program: string,
  args: readonly string[],
  options: { readonly timeoutMs: number; readonly cwd?: string; readonly env?: NodeJS.ProcessEnv },
): Promise<Ran> {
  const { timeoutMs, cwd = root, env = process.env } = options;
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      args,
      { cwd, env, timeout: timeoutMs, maxBuffer: 256 * 1024 * 1024 },
      (error, stdout, stderr) => {
        const output = stdout + stderr;
        if (error?.killed === true)
          reject(new Error(`${program} did not end in ${timeoutMs} ms:\n${output.slice(-2000)}`));
        else resolve({ code: child.exitCode, output });
      },
    );
  });
}
