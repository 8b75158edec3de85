/** Workers whose event loop is blocked for good: they are killed and replaced, and nobody waits for them. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { afterEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

const script = path.resolve(import.meta.dirname, "../support/hanging-worker.ts");
const withinMs = 15_000;
/** Nobody is found to hang while a test runs. */
const patient = { everyMs: 5000, unanswered: 6 };

class Parent {
  readonly child: ChildProcess;
  readonly said: string[] = [];
  readonly ended: Promise<number | null>;

  constructor(options: object) {
    this.child = spawn(process.execPath, [script], { stdio: ["pipe", "ignore", "pipe"] });
    this.child.stdin?.end(JSON.stringify(options));
    this.ended = new Promise((resolve) => this.child.once("exit", resolve));
    if (this.child.stderr !== null)
      createInterface({ input: this.child.stderr }).on("line", (line) => this.said.push(line));
  }

  get workers(): number[] {
    const { pid } = this.child;
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);
  }

  /** @returns the line. */
  async says(what: RegExp): Promise<string> {
    for (const until = performance.now() + withinMs; performance.now() < until; await sleep(20)) {
      const line = this.said.find((one) => what.test(one));
      if (line !== undefined) return line;
    }
    throw new Error(`nothing like ${what} in: ${this.said.join("\n")}`);
  }
}

describe("a worker that hangs", () => {
  let parent: Parent | undefined;
  afterEach(() => {
    const workers = parent?.child.exitCode === null ? parent.workers : [];
    parent?.child.kill("SIGKILL");
    for (const pid of workers) process.kill(pid, "SIGKILL");
  });

  async function hangOne(options: object): Promise<{ parent: Parent; hanging: number; other: number }> {
    parent = new Parent(options);
    await parent.says(/Workers {2}2/);
    const [hanging = 0, other = 0] = parent.workers;
    // Long enough for a first answer of both.
    await sleep(600);
    process.kill(hanging, "SIGUSR2");
    return { parent, hanging, other };
  }

  test("is told of, killed and replaced; the other goes on", async () => {
    const { parent, hanging, other } = await hangOne({
      pulse: { everyMs: 200, unanswered: 5 },
      drainWithinMs: 40_000,
    });
    await parent.says(new RegExp(`worker ${hanging} hangs: .* it is killed`));
    await parent.says(/worker \d+ serves/);
    const workers = parent.workers;
    assert.equal(workers.length, 2);
    assert.ok(workers.includes(other));
    assert.ok(!workers.includes(hanging));
    assert.equal(parent.said.filter((line) => line.includes("hangs")).length, 1);
  });

  test("does not hold up SIGHUP", async () => {
    const { parent, hanging, other } = await hangOne({ pulse: patient, drainWithinMs: 500 });
    parent.child.kill("SIGHUP");
    await parent.says(new RegExp(`worker ${hanging} did not end within 500 ms`));
    await parent.says(/all workers are new/);
    assert.ok(!parent.workers.includes(hanging) && !parent.workers.includes(other));
  });

  test("does not hold up SIGTERM", async () => {
    const { parent, hanging } = await hangOne({ pulse: patient, drainWithinMs: 500 });
    parent.child.kill("SIGTERM");
    assert.equal(await Promise.race([parent.ended, sleep(withinMs, "late", { ref: false })]), 0);
    assert.throws(() => process.kill(hanging, 0), { code: "ESRCH" });
  });
});
