import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isInBlocks, parseBlock } from "./networks.ts";

describe("networks", () => {
  for (const text of ["10.0.0.0/8", "10.1.2.3", "2001:db8::/32", "::1", "0.0.0.0/0"])
    test(`${text} is a block`, () => assert.ok(parseBlock(text) !== undefined));
  for (const text of [
    "",
    "10.0.0.0/33",
    "::/129",
    "10.0.0.0/8/8",
    "10.0.0",
    "host",
    "10.0.0.0/-1",
    "10.0.0.0/",
    "1.2.3.4/x",
  ])
    test(`"${text}" is none`, () => assert.equal(parseBlock(text), undefined));
  test("addresses are in blocks of their own family, mapped ones too", () => {
    const blocks = ["10.0.0.0/8", "2001:db8::/32", "nonsense"];
    for (const [address, expected] of [
      ["10.255.0.1", true],
      ["11.0.0.1", false],
      ["::ffff:10.0.0.1", true],
      ["2001:db8:1::1", true],
      ["2001:db9::1", false],
      ["", false],
    ] as const)
      assert.equal(isInBlocks(address, blocks), expected, address);
  });
});
