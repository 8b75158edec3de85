/**
 * connectrpc's conformance suite, server mode: Connect, gRPC and gRPC-Web over HTTP/1.1, h2c and h2 with TLS and client certificates, both
 * codecs, gzip, message limits and half-duplex streams over HTTP/1 included.
 *
 * @see https://github.com/connectrpc/conformance
 */
import { execFileSync, spawnSync } from "node:child_process";
import path from "node:path";
import type { Suite } from "./suite.ts";
import { versionOf } from "./suite.ts";

const version = "v1.0.7";
const module_ = "connectrpc.com/conformance";
const folder = path.resolve(import.meta.dirname, "../connect");

/** Built into Go's own folder; fetched once. @returns the runner and the suite's protos. */
function install(): { readonly runner: string; readonly protos: string } {
  const env = { ...process.env, GOFLAGS: "-mod=mod" };
  execFileSync("go", ["install", `${module_}/cmd/connectconformance@${version}`], { env, stdio: "inherit" });
  const gopath = execFileSync("go", ["env", "GOPATH"], { encoding: "utf8" }).trim();
  return {
    runner: path.join(gopath, "bin/connectconformance"),
    protos: path.join(gopath, `pkg/mod/${module_}@${version}/proto`),
  };
}

export const connect: Suite = {
  name: "connect",
  title: "connectconformance",
  against: "Connect, gRPC, gRPC-Web",
  missing: () => (versionOf("go", "version") === undefined ? "it needs Go 1.24 or newer" : undefined),
  run: async () => {
    const { runner, protos } = install();
    const args = ["--conf", path.join(folder, "config.yaml"), "--mode", "server", "--parallel", "2"];
    const server = [process.execPath, path.join(folder, "server.ts"), protos];
    const ran = spawnSync(runner, [...args, "--", ...server], {
      encoding: "utf8",
      maxBuffer: 256 * 1024 * 1024,
      timeout: 600_000,
    });
    const output = ran.stdout + ran.stderr;
    const counted = /(\d+) passed, (\d+) failed/.exec(output);
    if (counted === null) throw new Error(`connectconformance counted nothing:\n${output.slice(-2000)}`);
    const failures = [...output.matchAll(/^FAILED: (.*?):?$/gm)].map((match) => String(match[1]));
    return { version, passed: Number(counted[1]), failures };
  },
};
