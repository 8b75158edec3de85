/** Every area that is entered by a door has one, and the door says what the area does. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { layers } from "./layers.ts";
import { files, read } from "./source-files.ts";

const areas = Object.entries(layers).filter(([name, row]) => name !== "." && row.library !== true);

describe("doors", () => {
  for (const [area] of areas) {
    test(`${area} has a door that begins with a doc comment of 3 to 12 lines`, () => {
      const door = `${area}/${area.split("/").at(-1)}.ts`;
      assert.ok(files.includes(door), `${door} is missing`);
      const comment = /^\/\*\*\n([\s\S]*?)\*\//.exec(read(door))?.[1];
      assert.ok(comment !== undefined, `${door} must begin with /**`);
      const lines = comment.split("\n").filter((line) => /\w/.test(line)).length;
      assert.ok(lines >= 3 && lines <= 12, `${door}: the comment has ${lines} lines of text`);
    });
  }

  test("every source file begins by saying what it is", () => {
    const silent = files.filter((file) => !file.startsWith("gen/") && !/^(#!.*\n)?\/\*\*/.test(read(file)));
    assert.deepEqual(silent, []);
  });
});
