import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { prettyJson, readPretty } from "./pretty.ts";

test("laid out as everybody else does, for any JSON", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8 }), (value) => {
      const text = JSON.stringify(value);
      assert.equal(prettyJson(text), `${JSON.stringify(JSON.parse(text), null, 2)}\n`);
    }),
  );
});

test("numbers keep every digit, keys their order, and text what is in it", () => {
  assert.equal(
    prettyJson('{"2":9007199254740993,"1":-0,"t":"a\\"{[:,]}\\\\"}'),
    '{\n  "2": 9007199254740993,\n  "1": -0,\n  "t": "a\\"{[:,]}\\\\"\n}\n',
  );
});

test("text that is no JSON comes to an end", () => {
  for (const text of ["", '"', '"\\', "[[[", "}}}", '{"a'.repeat(10_000)])
    assert.ok(prettyJson(text).length > 0);
});

test("the parameter is taken out, and no other", () => {
  for (const [query, pretty, rest] of [
    ["$prettyPrint", true, ""],
    ["$prettyPrint=", true, ""],
    ["a=1&$prettyPrint=true&b=2", true, "a=1&b=2"],
    ["%24prettyPrint=false&b=2", false, "b=2"],
    ["a=$prettyPrint", false, "a=$prettyPrint"],
    ["$prettyPrints=true", false, "$prettyPrints=true"],
    ["prettyPrint=true", false, "prettyPrint=true"],
  ] as const)
    assert.deepEqual(readPretty(query), { pretty, query: rest }, query);
});
