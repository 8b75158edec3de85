/**
 * connectrpc's conformance suite, server mode: Connect, gRPC and gRPC-Web over HTTP/1.1, h2c and h2 with TLS and client certificates, both
 * codecs, gzip and Brotli, message limits and half-duplex streams over HTTP/1 included.
 *
 * @see https://github.com/connectrpc/conformance
 */
import { execFileSync } from "node:child_process";
import path from "node:path";
import type { Suite } from "./suite.ts";
import { fetchTools, runProgram, toolsFolder } from "./suite.ts";

const version = "v1.0.7";
const folder = path.resolve(import.meta.dirname, "../connect");

/** The suite's own, which came with it. */
function protos(): string {
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/local/go/bin` };
  const cache = execFileSync("go", ["env", "GOMODCACHE"], { encoding: "utf8", env }).trim();
  return path.join(cache, `connectrpc.com/conformance@${version}/proto`);
}

export const connect: Suite = {
  name: "connect",
  title: "connectconformance",
  against: "Connect, gRPC, gRPC-Web",
  missing: () => fetchTools("connect"),
  run: async () => {
    const args = ["--conf", path.join(folder, "config.yaml"), "--mode", "server", "--parallel", "2"];
    const server = [process.execPath, path.join(folder, "server.ts"), protos()];
    const { output } = await runProgram(
      path.join(toolsFolder, "go/connectconformance"),
      [...args, "--", ...server],
      { timeoutMs: 600_000 },
    );
    const counted = /(\d+) passed, (\d+) failed/.exec(output);
    if (counted === null) throw new Error(`connectconformance counted nothing:\n${output.slice(-2000)}`);
    const failures = [...output.matchAll(/^FAILED: (.*?):?$/gm)].map((match) => String(match[1]));
    return { version, passed: Number(counted[1]), failures };
  },
};
