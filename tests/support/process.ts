/** Portico as a process of its own, started as people start it. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import path from "node:path";
import { createInterface } from "node:readline";

const script = path.resolve(import.meta.dirname, "../../scripts/portico.js");

export interface Running {
  readonly child: ChildProcess;
  readonly base: string;
  readonly grpcPort: number;
  /** Lines on standard output so far. */
  readonly lines: readonly string[];
  /** Lines on standard error so far. */
  readonly said: readonly string[];
  /** Exit code; null after a signal. */
  readonly ended: Promise<number | null>;
}

export interface ServeOptions {
  readonly mode?: "development" | "production";
  /** What no flag may say, for the list of processes shows flags: a database's password. */
  readonly env?: Readonly<Record<string, string>>;
  /** How many files it may have open. Default: as many as we may. */
  readonly openFiles?: number;
}

/** Resolves when it serves. @throws Error when it ends before. */
export function serve(
  dataDir: string,
  more: readonly string[] = [],
  { mode = "development", env = {}, openFiles }: ServeOptions = {},
): Promise<Running> {
  const flags = [
    "--mode",
    mode,
    "--http-port",
    "0",
    "--grpc-port",
    "0",
    "--data-dir",
    dataDir,
    "--authentication",
    "off",
  ];
  const command = [process.execPath, script, "serve", ...flags, ...more];
  const [program = "", ...args] =
    openFiles === undefined ? command : ["sh", "-c", `ulimit -n ${openFiles}; exec "$0" "$@"`, ...command];
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  return new Promise((resolve, reject) => {
    let base = "";
    const said: string[] = [];
    child.once("close", (code) => reject(new Error(`ended with ${code}: ${said.join("\n")}`)));
    createInterface({ input: child.stderr }).on("line", (line) => {
      said.push(line);
      const [, scheme, port] = /REST\s+(https?):\/\/localhost:(\d+)/.exec(line) ?? [];
      if (port !== undefined) base = `${scheme}://127.0.0.1:${port}`;
      const grpc = /gRPC\s+[\d.]+:(\d+)/.exec(line)?.[1];
      if (grpc !== undefined) resolve({ child, base, grpcPort: Number(grpc), lines, said, ended });
    });
  });
}

/** Runs the command line to its end. */
export function portico(
  args: readonly string[],
  options: {
    readonly cwd: string;
    readonly env?: Record<string, string>;
    readonly input?: string;
    /** What it says to its person, as it says it. */
    readonly onMessage?: (text: string) => void;
  },
): Promise<{ code: number; text: string; stdout: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [script, ...args],
      { env: { ...process.env, ...options.env }, cwd: options.cwd },
      (error, stdout, stderr) =>
        resolve({ code: typeof error?.code === "number" ? error.code : 0, text: stdout + stderr, stdout }),
    );
    child.stderr?.on("data", (text) => options.onMessage?.(String(text)));
    child.stdin?.end(options.input ?? "");
  });
}
