/** What a conformance suite has to bring to be run and counted. */
import { execFileSync } from "node:child_process";

export interface Suite {
  /** On the command line, and of its known-failures file. */
  readonly name: string;
  readonly title: string;
  /** What of ours it is held against. */
  readonly against: string;
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

/** First line of what a program prints; undefined: it is not there. */
export function versionOf(program: string, ...args: readonly string[]): string | undefined {
  try {
    return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return undefined;
  }
}
