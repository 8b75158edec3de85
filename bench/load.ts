/** Puts load on one server and counts right answers per second. Bounded in time; loopback only. */
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:http2";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface Load {
  /** Right answers per second. */
  readonly perSecond: number;
  /** Right answers in all. */
  readonly answers: number;
  /** Milliseconds; undefined where the tool does not say. */
  readonly p99Ms: number | undefined;
}

export const tools = {
  rest: has("wrk") ? "wrk" : "autocannon",
  grpc: has("h2load") ? "h2load" : "bench/load.ts",
} as const;

function has(tool: string): boolean {
  try {
    execFileSync("which", [tool], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

export interface RestLoad {
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON to POST; absent: GET. */
  readonly body?: string;
  /** At once. Default 32. */
  readonly connections?: number;
  /** GETs of `path` followed by 0, 1, 2 … in turn. */
  readonly rotate?: { readonly path: string; readonly count: number };
}

/** From one thread. */
export async function loadRest(url: string, seconds: number, options: RestLoad = {}): Promise<Load> {
  if (tools.rest === "autocannon") return loadWithAutocannon(url, seconds, options);
  const folder = mkdtempSync(path.join(tmpdir(), "portico-wrk-"));
  try {
    const script = path.join(folder, "post.lua");
    const { body, rotate } = options;
    if (rotate !== undefined)
      writeFileSync(
        script,
        `local n = 0\nrequest = function()\n  n = (n + 1) % ${rotate.count}\n  return wrk.format("GET", "${rotate.path}" .. n)\nend\n`,
      );
    if (body !== undefined) {
      writeFileSync(
        script,
        `wrk.method="POST"\nwrk.body=${JSON.stringify(body)}\nwrk.headers["Content-Type"]="application/json"\n`,
      );
    }
    const { stdout } = await run("wrk", [
      "-t1",
      `-c${options.connections ?? 32}`,
      `-d${seconds}s`,
      "--latency",
      ...(body === undefined && rotate === undefined ? [] : ["-s", script]),
      ...headerFlags(options.headers, ": "),
      url,
    ]);
    const wrong = /Non-2xx or 3xx responses: (\d+)/.exec(stdout);
    const broken = /Socket errors: (.*)/.exec(stdout);
    if (wrong !== null || broken !== null)
      throw new Error(`wrong answers from ${url}: ${wrong?.[0] ?? ""} ${broken?.[0] ?? ""}`);
    return {
      perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]),
      answers: Number(/(\d+) requests in/.exec(stdout)?.[1]),
      p99Ms: toMs(/99%\s+(\S+)/.exec(stdout)?.[1]),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function headerFlags(headers: RestLoad["headers"] = {}, between: string): string[] {
  return Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}${between}${value}`]);
}

async function loadWithAutocannon(url: string, seconds: number, options: RestLoad): Promise<Load> {
  // autocannon cannot count through paths: it asks for one of them.
  if (options.rotate !== undefined) return loadWithAutocannon(`${url}${options.rotate.path}0`, seconds, {});
  const flags = [
    "-c",
    String(options.connections ?? 32),
    "-d",
    String(seconds),
    "-j",
    "-n",
    ...headerFlags(options.headers, "="),
    ...(options.body === undefined
      ? []
      : ["-m", "POST", "-H", "content-type=application/json", "-b", options.body]),
  ];
  const { stdout } = await run("autocannon", [...flags, url], { maxBuffer: 1 << 24 });
  const result = JSON.parse(stdout) as {
    requests: { average: number; total: number };
    non2xx: number;
    errors: number;
    latency: { p99: number };
  };
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`wrong answers from ${url}: ${result.non2xx} not 2xx, ${result.errors} errors`);
  return {
    perSecond: result.requests.average,
    answers: result.requests.total,
    p99Ms: result.latency.p99,
  };
}

export interface GrpcLoad {
  readonly path: string;
  readonly message: Uint8Array;
  /** Default `application/grpc`. */
  readonly contentType?: string;
  /** Sent with every call. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** 8 connections with 16 streams each. */
export async function loadGrpc(port: number, load: GrpcLoad, seconds: number): Promise<Load> {
  const { path: grpcPath, message } = load;
  if (tools.grpc !== "h2load") return loadWithNode(port, load, seconds);
  const folder = mkdtempSync(path.join(tmpdir(), "portico-h2load-"));
  try {
    const file = path.join(folder, "frame.bin");
    writeFileSync(file, frame(message));
    const { stdout } = await run("h2load", [
      ...["-c8", "-m16", "-t1", `-D${seconds}`, "-d", file],
      ...["-H", `content-type: ${load.contentType ?? "application/grpc"}`, "-H", "te: trailers"],
      ...headerFlags(load.headers, ": "),
      `http://127.0.0.1:${port}${grpcPath}`,
    ]);
    const status = /status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx/.exec(stdout);
    if (status === null || Number(status[3]) + Number(status[4]) > 0)
      throw new Error(`wrong answers on port ${port}: ${status?.[0] ?? stdout}`);
    const perSecond = Number(/finished in [^,]+, ([\d.]+) req\/s/.exec(stdout)?.[1]);
    return { perSecond, answers: Number(status[1]), p99Ms: undefined };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function frame(message: Uint8Array): Buffer {
  const bytes = Buffer.alloc(5 + message.length);
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, 5);
  return bytes;
}

/** Where h2load is missing: costs more than most servers, so its ratios are smaller than the truth. */
async function loadWithNode(port: number, load: GrpcLoad, seconds: number): Promise<Load> {
  const body = frame(load.message);
  const until = performance.now() + seconds * 1000;
  let right = 0;
  const sessions = Array.from({ length: 8 }, () => connect(`http://127.0.0.1:${port}`));
  const one = (session: (typeof sessions)[number]): Promise<void> =>
    new Promise((resolve, reject) => {
      const stream = session.request({
        ...load.headers,
        ":method": "POST",
        ":path": load.path,
        "content-type": load.contentType ?? "application/grpc",
        te: "trailers",
      });
      stream.on("trailers", (trailers) => {
        if (trailers["grpc-status"] !== "0")
          reject(new Error(`grpc-status ${String(trailers["grpc-status"])}`));
      });
      stream.on("error", reject).on("close", resolve).resume();
      stream.end(body);
    });
  const lane = async (session: (typeof sessions)[number]): Promise<void> => {
    while (performance.now() < until) {
      await one(session);
      right += 1;
    }
  };
  await Promise.all(sessions.flatMap((session) => Array.from({ length: 16 }, () => lane(session))));
  for (const session of sessions) session.close();
  return { perSecond: right / seconds, answers: right, p99Ms: undefined };
}

/** wrk writes 812.00us, 1.20ms or 1.02s. */
function toMs(text: string | undefined): number | undefined {
  const match = /^([\d.]+)(us|ms|s)$/.exec(text ?? "");
  if (match === null) return undefined;
  return Number(match[1]) * ({ us: 0.001, ms: 1, s: 1000 }[match[2] as "us" | "ms" | "s"] ?? 1);
}
