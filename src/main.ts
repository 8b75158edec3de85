#!/usr/bin/env node
/** The program: command line in, exit code out. The only file that ends the process. */
import "#std/no-proto.ts";
import { runCli } from "#cli/cli.ts";

process.exitCode = await runCli({
  argv: process.argv.slice(2),
  env: process.env,
  cwd: process.cwd(),
  out: process.stdout,
  err: process.stderr,
});
// Idle sockets of HTTP clients would hold the process for their keep-alive time.
if (process.exitCode !== undefined) process.exit();
