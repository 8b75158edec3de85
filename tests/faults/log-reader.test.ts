/** Whoever reads the log may stop reading: that costs the log, and nobody's call. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createRegistry } from "@bufbuild/protobuf";
import { RpcError } from "#rpc/error.ts";
import { systemClock as clock } from "#std/clock.ts";
import { createTelemetry } from "#telemetry/telemetry.ts";
import { ask } from "../support/portico.ts";
import { serve } from "../support/process.ts";
import { Metrics } from "../support/prometheus-text.ts";

async function started(context: TestContext) {
  const folder = mkdtempSync(path.join(tmpdir(), "portico-log-reader-"));
  const running = await serve(folder, ["--database-url", "memory:", "--rate-limit", "off"]);
  context.after(() => {
    running.child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });
  const calls = async (count: number, target: string): Promise<void> => {
    for (let made = 0; made < count; made += 10)
      await Promise.all(
        Array.from({ length: 10 }, async () => {
          const answer = await fetch(running.base + target, { signal: AbortSignal.timeout(5000) });
          await answer.arrayBuffer();
        }),
      );
  };
  return { running, calls };
}

const accessLines = (lines: readonly string[]): number =>
  lines.filter((line) => (JSON.parse(line) as { msg: string }).msg === "call").length;

test("a log that nobody reads stops no call, and the reader finds every line later", async (context) => {
  const { running, calls } = await started(context);
  running.child.stdout?.pause();
  await calls(1500, "/api/v1/bpmn/none");
  assert.equal((await ask(running.base, "GET", "/livez")).status, 200);
  assert.ok(running.lines.length < 1400, "the pipe held everything");
  running.child.stdout?.resume();
  running.child.kill("SIGTERM");
  assert.equal(await running.ended, 0);
  assert.equal(accessLines(running.lines), 1500);
});

test("what is too much to be kept is counted, and said where it is missing", async (context) => {
  const folder = mkdtempSync(path.join(tmpdir(), "portico-log-reader-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const logFile = path.join(folder, "log");
  execFileSync("mkfifo", [logFile]);
  const reader = openSync(logFile, constants.O_RDONLY | constants.O_NONBLOCK);
  const telemetry = await createTelemetry({
    ...{ logLevel: "info", logFile, clock, registry: createRegistry() },
  });
  const refuse = (id: string): void =>
    telemetry.refused({
      ...{ id, protocol: "rest", method: undefined, peer: { address: "192.0.2.1", port: 1 } },
      ...{ error: new RpcError("not_found", { reason: "ROUTE_NOT_FOUND", message: "no" }) },
      ...{ startedAtMs: clock.monotonic(), bytesIn: 0, bytesOut: 0 },
    });
  for (let made = 0; made < 5000; made += 1) refuse("x".repeat(1000));
  const dropped = new Metrics(telemetry.renderMetrics()).value("portico_log_lines_dropped_total", {}) ?? 0;
  assert.ok(dropped > 500 && dropped < 4500, `${dropped}`);
  let text = "";
  const room = Buffer.alloc(1024 * 1024);
  const read = (): void => {
    try {
      for (let bytes = readSync(reader, room); bytes > 0; bytes = readSync(reader, room))
        text += room.toString("latin1", 0, bytes);
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, "EAGAIN");
    }
  };
  for (let tries = 0; tries < 1000 && !text.includes("lines of the log were dropped"); tries += 1) {
    read();
    await sleep(5);
  }
  refuse("after");
  const ended = telemetry.close();
  read();
  await ended;
  read();
  closeSync(reader);
  const lines = text.trimEnd().split("\n");
  assert.equal(lines.length, 5000 - dropped + 2);
  const [said, after] = lines.slice(-2).map((line) => JSON.parse(line));
  assert.deepEqual([said.level, said.dropped, after.requestId], [40, dropped, "after"]);
});
