import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { LineWriter } from "./line-writer.ts";

const folder = fs.mkdtempSync(path.join(tmpdir(), "portico-lines-"));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

/** A pipe with both ends in this process. Reading never waits. */
function pipe(context: TestContext): { readonly fd: number; read(): string } {
  const file = path.join(folder, `pipe-${Math.random()}`);
  execFileSync("mkfifo", [file]);
  const from = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  const fd = fs.openSync(file, "w");
  context.after(() => {
    fs.closeSync(from);
    fs.closeSync(fd);
  });
  const room = Buffer.alloc(1024 * 1024);
  return {
    fd,
    read: () => {
      let text = "";
      try {
        for (let bytes = fs.readSync(from, room); bytes > 0; bytes = fs.readSync(from, room))
          text += room.toString("utf8", 0, bytes);
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, "EAGAIN");
      }
      return text;
    },
  };
}

const line = (number: number): string => `${String(number).padStart(99, "0")}\n`;
const lines = (count: number): string => Array.from({ length: count }, (_, number) => line(number)).join("");

/** Reads until there is as much, or for two seconds. */
async function readAll(from: { read(): string }, length: number): Promise<string> {
  let text = from.read();
  for (let tries = 0; tries < 400 && text.length < length; tries += 1) {
    await sleep(5);
    text += from.read();
  }
  return text;
}

describe("lines to a pipe", () => {
  test("that nobody reads hold up nothing; who reads later finds all of them", async (context) => {
    const ends = pipe(context);
    const writer = new LineWriter({ to: ends.fd });
    const since = performance.now();
    // Ten times what the system keeps for a pipe.
    for (let number = 0; number < 6500; number += 1) writer.write(line(number));
    assert.ok(performance.now() - since < 500);
    assert.equal(await readAll(ends, 650_000), lines(6500));
    assert.equal(writer.dropped, 0);
    await writer.end(100);
  });

  test("beyond the bound are counted, and told of where they are missing", async (context) => {
    const ends = pipe(context);
    const told: number[] = [];
    const writer: LineWriter = new LineWriter({
      ...{ to: ends.fd, mostWaiting: 100_000 },
      onResumed: (dropped) => {
        told.push(dropped);
        writer.write("here\n");
      },
    });
    for (let number = 0; number < 6500; number += 1) writer.write(line(number));
    const { dropped } = writer;
    assert.ok(dropped > 4000 && dropped < 6000, `${dropped}`);
    const text = await readAll(ends, (6500 - dropped) * 100 + 5);
    writer.write("after\n");
    assert.equal(text + (await readAll(ends, 6)), `${lines(6500 - dropped)}here\nafter\n`);
    assert.deepEqual(told, [dropped]);
    assert.equal(writer.dropped, dropped);
    await writer.end(100);
  });

  test("are written whole, so that those of several processes do not mix", async (context) => {
    const ends = pipe(context);
    const [one, other] = [new LineWriter({ to: ends.fd }), new LineWriter({ to: ends.fd })];
    for (let number = 0; number < 1000; number += 1) {
      one.write(`${"a".repeat(500)}\n`);
      other.write(`${"b".repeat(700)}\n`);
    }
    const text = await readAll(ends, 1000 * 501 + 1000 * 701);
    assert.deepEqual(new Set(text.trimEnd().split("\n")), new Set(["a".repeat(500), "b".repeat(700)]));
    await Promise.all([one.end(100), other.end(100)]);
  });

  test("are all there after the end where somebody reads; where nobody does the end comes in time", async (context) => {
    const ends = pipe(context);
    const writer = new LineWriter({ to: ends.fd });
    for (let number = 0; number < 3000; number += 1) writer.write(line(number));
    const ended = writer.end(5000);
    assert.equal(await readAll(ends, 300_000), lines(3000));
    await ended;
    const unread = new LineWriter({ to: ends.fd });
    for (let number = 0; number < 3000; number += 1) unread.write(line(number));
    const since = performance.now();
    await unread.end(100);
    assert.ok(performance.now() - since < 1000);
    unread.write("late\n");
    assert.equal(unread.dropped, 1);
  });

  test("of more bytes than characters arrive as they were", async (context) => {
    const ends = pipe(context);
    const writer = new LineWriter({ to: ends.fd });
    const text = "ü€😀".repeat(300);
    for (let number = 0; number < 100; number += 1) writer.write(`${text}\n`);
    const expected = `${text}\n`.repeat(100);
    assert.equal(await readAll(ends, expected.length), expected);
    await writer.end(100);
  });
});

describe("lines to a file", () => {
  test("are appended to what is there, in their order", async () => {
    const file = path.join(folder, "log");
    fs.writeFileSync(file, "before\n");
    const writer = new LineWriter({ to: file });
    for (let number = 0; number < 5000; number += 1) writer.write(line(number));
    await writer.end(5000);
    assert.equal(fs.readFileSync(file, "utf8"), `before\n${lines(5000)}`);
  });

  test("come by themselves after a moment, without an fsync, and no timer is left", async (context) => {
    const sync = context.mock.method(fs, "fsyncSync");
    const file = path.join(folder, "few");
    const writer = new LineWriter({ to: file });
    const timers = (): number => process.getActiveResourcesInfo().filter((one) => one === "Timeout").length;
    const before = timers();
    writer.write("one\n");
    for (let tries = 0; tries < 200 && fs.statSync(file).size === 0; tries += 1) await sleep(10);
    assert.equal(fs.readFileSync(file, "utf8"), "one\n");
    assert.equal(timers(), before);
    assert.equal(sync.mock.callCount(), 0);
    await writer.end(1000);
  });
});

test("a disk that is full costs lines, not the process", async () => {
  const writer = new LineWriter({ to: "/dev/full", mostWaiting: 10_000 });
  for (let number = 0; number < 500; number += 1) writer.write(line(number));
  assert.ok(writer.dropped > 300);
  await writer.end(20);
});

for (const [how, leave] of [
  ["exits", "process.exit(3)"],
  ["ends by an error", "throw new Error('on purpose')"],
] as const)
  for (const to of ["file", "pipe"])
    test(`a process that ${how} leaves nothing unwritten to a ${to}`, async () => {
      const file = path.join(folder, `exit-${to}-${leave.length}`);
      const out = to === "file" ? fs.openSync(file, "w") : "pipe";
      const source = `
        import { LineWriter } from ${JSON.stringify(path.resolve(import.meta.dirname, "line-writer.ts"))};
        const writer = new LineWriter({ to: 1 });
        for (let number = 0; number < 2000; number += 1) writer.write(String(number).padStart(99, "0") + "\\n");
        ${leave};`;
      const child = spawn(process.execPath, ["--input-type=module", "--eval", source], {
        stdio: ["ignore", out, "ignore"],
      });
      let text = "";
      child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      await once(child, "close");
      assert.equal(to === "file" ? fs.readFileSync(file, "utf8") : text, lines(2000));
    });
