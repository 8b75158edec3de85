#!/usr/bin/env node
/**
 * The program: command line in, exit code out. The only file that ends the process.
 *
 * V8's young generation does not grow while the sources are loaded, which makes much garbage and little that lives: what was grown for that
 * is never given back (resident memory, idle: 140 MB; so it is 108). `serve` lets it grow once it serves. A flag works from where it is set,
 * so the sources are imported behind it.
 */
import "#std/no-proto.ts";
import { setFlagsFromString } from "node:v8";

setFlagsFromString("--semi-space-growth-factor=1");
const { runCli } = await import("#cli/cli.ts");
process.exitCode = await runCli({
  argv: process.argv.slice(2),
  env: process.env,
  cwd: process.cwd(),
  out: process.stdout,
  err: process.stderr,
});
// Idle sockets of HTTP clients would hold the process for their keep-alive time.
if (process.exitCode !== undefined) process.exit();
