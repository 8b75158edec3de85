import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, test } from "node:test";
import { openBreachList } from "./breach-list.ts";

const folder = mkdtempSync(path.join(tmpdir(), "portico-breach-"));
after(() => rmSync(folder, { recursive: true, force: true }));

describe("a list of breached passwords", () => {
  for (const [count, end] of [
    [1, "\n"],
    [2, "\r\n"],
    [3, "\n"],
    [1000, "\r\n"],
  ] as const)
    test(`finds each of ${count}, and nothing else`, async () => {
      const passwords = Array.from({ length: count }, (_, index) => `password number ${index}`);
      const lines = passwords
        .map((password, index) => `${hash("sha1", password, "hex").toUpperCase()}:${index ** 3}`)
        .sort();
      const file = path.join(folder, `list-${count}`);
      writeFileSync(file, lines.join(end) + (count === 3 ? "" : end));
      const list = await openBreachList(file);
      for (const password of passwords) assert.equal(await list.has(password), true, password);
      for (let index = 0; index < 200; index += 1) assert.equal(await list.has(`another ${index}`), false);
      await list.close();
    });

  test("is refused when it is something else", async () => {
    const file = path.join(folder, "words");
    writeFileSync(file, "123456\npassword\n");
    await assert.rejects(openBreachList(file), /no list of SHA-1 hashes/);
    await assert.rejects(openBreachList(path.join(folder, "none")), /ENOENT/);
  });

  test("may be empty", async () => {
    const file = path.join(folder, "empty");
    writeFileSync(file, "");
    const list = await openBreachList(file);
    assert.equal(await list.has("x"), false);
    await list.close();
  });
});
