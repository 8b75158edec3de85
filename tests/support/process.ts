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
  /** Exit code; null after a signal. */
  readonly ended: Promise<number | null>;
}

export interface ServeOptions {
  readonly mode?: "development" | "production";
  /** What no flag may say, for the list of processes shows flags: a database's password. */
  readonly env?: Readonly<Record<string, string>>;
  /** How many files it may open. Default: as many as this process. */
  readonly files?: number;
}

/** Resolves when it serves. @throws Error when it ends before. */
export function serve(
  dataDir: string,
  more: readonly string[] = [],
  { mode = "development", env = {}, files }: ServeOptions = {},
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
  const program = [process.execPath, script, "serve", ...flags, ...more] as const;
  const [command, ...args] =
    files === undefined
      ? program
      : (["sh", "-c", `ulimit -n ${files} && exec "$0" "$@"`, ...program] as const);
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  return new Promise((resolve, reject) => {
    let port = "";
    const said: string[] = [];
    child.once("close", (code) => reject(new Error(`ended with ${code}: ${said.join("\n")}`)));
    createInterface({ input: child.stderr }).on("line", (line) => {
      said.push(line);
      port = /REST\s+http:\/\/localhost:(\d+)/.exec(line)?.[1] ?? port;
      const grpc = /gRPC\s+[\d.]+:(\d+)/.exec(line)?.[1];
      if (grpc !== undefined)
        resolve({ child, base: `http://127.0.0.1:${port}`, grpcPort: Number(grpc), lines, ended });
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
