/** What the gateway's thread holds of a large file on its way in and out: at most one copy and 1 MiB. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { startPortico, type TestPortico } from "../support/portico.ts";

const mebibyte = 1024 * 1024;
const minSamples = 20;
const folder = mkdtempSync(path.join(tmpdir(), "portico-memory-"));
const file = path.join(folder, "large.bpmn");
let portico: TestPortico;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

before(async () => {
  const head =
    '<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" id="d"><process id="p"><documentation>';
  const tail = "</documentation></process></definitions>";
  writeFileSync(file, head + "a".repeat(10 * mebibyte - head.length - tail.length) + tail);
  portico = await startPortico({ databaseUrl: `sqlite:${path.join(folder, "portico.db")}` });
});
after(async () => {
  await portico.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** The client is a process of its own: its memory is not ours. Gives what it printed. */
function curl(...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      "curl",
      ["-sS", "--fail-with-body", ...args],
      { maxBuffer: mebibyte },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new Error(`${stdout}${stderr}`));
      },
    );
  });
}

/**
 * Most memory outside the heap that was alive at once while `work` ran, above what was before, in bytes. It runs again until there were more than
 * `minSamples` looks: a busy machine has time for few of them.
 */
async function peakOf(work: (round: number) => Promise<unknown>): Promise<{ peak: number; samples: number }> {
  let peak = 0;
  let samples = 0;
  for (let round = 0; samples <= minSamples; round += 1) {
    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    let done = false;
    const working = work(round).finally(() => {
      done = true;
    });
    while (!done) {
      // Twice: pieces of memory that the first one found are given back beside the program, at the latest when the next begins.
      collectGarbage();
      collectGarbage();
      peak = Math.max(peak, process.memoryUsage().arrayBuffers - before);
      samples += 1;
      await sleep(1);
    }
    await working;
  }
  return { peak, samples };
}

describe("a file of 10 MiB", () => {
  test("is held once while it comes in", async (t) => {
    const { peak, samples } = await peakOf((round) =>
      curl(
        "--limit-rate",
        "20M",
        "--data-binary",
        `@${file}`,
        "-H",
        "content-type: application/xml",
        `${portico.base}/api/v1/bpmn:upload?metadata.documentId=large-${round}`,
      ),
    );
    t.diagnostic(`peak ${(peak / mebibyte).toFixed(2)} MiB in ${samples} samples`);
    assert.ok(peak > 9 * mebibyte, "the file was seen");
    assert.ok(peak <= 11 * mebibyte, `${peak} bytes`);
  });

  test("goes out in parts", async (t) => {
    const { peak, samples } = await peakOf(() =>
      curl("--limit-rate", "30M", "-o", "/dev/null", `${portico.base}/api/v1/bpmn/large-0:download`),
    );
    t.diagnostic(`peak ${(peak / mebibyte).toFixed(2)} MiB in ${samples} samples`);
    assert.ok(peak <= 11 * mebibyte, `${peak} bytes`);
  });
});
