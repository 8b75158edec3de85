/** Starts and stops the servers of a comparison: Portico or a peer, one process each. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

export interface ServerProcess {
  readonly httpPort: number;
  readonly grpcPort: number;
  /** Milliseconds from spawn to the line that says it listens. */
  readonly startMs: number;
  /** The development key; empty where authentication is off, and of peers. */
  readonly key: string;
  /** Resident memory now, in bytes (Linux). */
  residentBytes(): number;
  /** What the process has taken of a core so far, in milliseconds (Linux; steps of 10). */
  cpuMs(): number;
  stop(): Promise<void>;
}

const root = path.resolve(import.meta.dirname, "..");

/** A peer prints `ready PORT` when it listens, and behind that a credential where it wants one. */
export async function startPeer(name: string, env: Record<string, string>): Promise<ServerProcess> {
  const started = performance.now();
  const child = spawn(process.execPath, [path.join(root, "bench/peers", `${name}.ts`)], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [, said, key = ""] = await lineMatching(child, child.stdout, /^ready (\d+)(?: (\S+))?$/);
  const port = Number(said);
  return { ...serverOf(child, port, port, performance.now() - started, () => {}), key };
}

export interface PorticoOptions {
  readonly databaseUrl?: string;
  /** `warn` writes no access lines. */
  readonly logLevel?: string;
  /** Default off: who calls is a row of its own. */
  readonly authentication?: "on" | "off";
  readonly nodeArguments?: readonly string[];
  /** More of `serve`. */
  readonly flags?: readonly string[];
}

/** Portico as people run it, on free ports, in a data folder of its own. */
export async function startPortico(options: PorticoOptions = {}): Promise<ServerProcess> {
  const dataDir = mkdtempSync(path.join(tmpdir(), "portico-bench-"));
  const started = performance.now();
  const flags = ["--mode", "development", "--http-port", "0", "--grpc-port", "0", "--data-dir", dataDir];
  const child = spawn(
    process.execPath,
    [
      ...(options.nodeArguments ?? []),
      path.join(root, "scripts/portico.js"),
      "serve",
      ...flags,
      "--log-level",
      options.logLevel ?? "warn",
      "--authentication",
      options.authentication ?? "off",
      ...limitFlags(options.flags ?? []),
      ...(options.flags ?? []),
    ],
    {
      ...{ stdio: ["ignore", "ignore", "pipe"], cwd: dataDir },
      // A password among the flags would be refused: they are seen in the list of processes.
      env: {
        ...process.env,
        ...(options.databaseUrl === undefined ? {} : { PORTICO_DATABASE_URL: options.databaseUrl }),
      },
    },
  );
  const lines = createInterface({ input: child.stderr });
  const ports = { http: 0, grpc: 0 };
  await new Promise<void>((resolve, reject) => {
    const said: string[] = [];
    child.once("exit", () => reject(new Error(`portico ended: ${said.join("\n")}`)));
    lines.on("line", (line) => {
      said.push(line);
      const rest = /REST\s+http:\/\/[^:]+:(\d+)/.exec(line);
      const grpc = /gRPC\s+\S+:(\d+)/.exec(line);
      if (rest !== null) ports.http = Number(rest[1]);
      if (grpc !== null) ports.grpc = Number(grpc[1]);
      if (ports.http !== 0 && ports.grpc !== 0) resolve();
    });
  });
  const startMs = performance.now() - started;
  const keyFile = path.join(dataDir, "dev-key");
  const key = existsSync(keyFile) ? readFileSync(keyFile, "utf8").trim() : "";
  const server = serverOf(child, ports.http, ports.grpc, startMs, () =>
    rmSync(dataDir, { recursive: true, force: true }),
  );
  return { ...server, key };
}

/** Limits that nobody reaches, unless something else is asked for: their cost is to be seen, not their effect. */
function limitFlags(given: readonly string[]): string[] {
  return ["--rate-limit", "--tenant-rate-limit"].flatMap((flag) =>
    given.includes(flag) ? [] : [flag, "1000000/s"],
  );
}

/** What Linux counts of a process's time, in milliseconds: whole ticks of 10. */
export function cpuMsOf(pid: number | undefined): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

export interface Measured {
  readonly perSecond: number;
  /** What the server's process took of a core for one answer, in microseconds: a busy machine changes it least. */
  readonly micros: number;
}

/** One load on one server. */
export async function measured(
  server: ServerProcess,
  run: () => Promise<{ readonly perSecond: number; readonly answers: number }>,
): Promise<Measured> {
  const before = server.cpuMs();
  const { perSecond, answers } = await run();
  return { perSecond, micros: ((server.cpuMs() - before) * 1000) / answers };
}

function serverOf(
  child: ChildProcess,
  httpPort: number,
  grpcPort: number,
  startMs: number,
  clean: () => void,
): ServerProcess {
  return {
    httpPort,
    grpcPort,
    startMs,
    key: "",
    residentBytes: () => {
      const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
      return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024;
    },
    cpuMs: () => cpuMsOf(child.pid),
    stop: async () => {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
      await gone;
      clearTimeout(timer);
      clean();
    },
  };
}

function lineMatching(
  child: ChildProcess,
  stream: NodeJS.ReadableStream,
  pattern: RegExp,
): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the peer ended with code ${code} before it was ready`)));
    createInterface({ input: stream }).on("line", (line) => {
      const match = pattern.exec(line);
      if (match !== null) resolve(match);
    });
  });
}
