import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { withoutCredentials } from "./credentials-in-text.ts";

const key = "ptk_live_0123456789_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ123456";
const token = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJl";

describe("text without credentials", () => {
  for (const [what, text, expected] of [
    ["a key", `users/${key}`, "users/ptk_…"],
    ["a key that was cut", key.slice(0, 30), "ptk_…"],
    ["a key in other letters", key.toUpperCase(), "ptk_…"],
    ["a token", `{"id":"${token}"}`, '{"id":"eyJ…"}'],
    ["a token that was cut before its first dot", token.slice(0, 20), "eyJ…"],
    ["a refresh token", `prt_${"0".repeat(26)}_${"a-b_".repeat(10)}abc`, "prt_…"],
    ["a ticket", `?ticket=ptt_${"a-b_".repeat(10)}abc&a=b`, "?ticket=ptt_…&a=b"],
    [
      "what only looks like one",
      "the keyJack opens scriptk_live doors",
      "the keyJack opens scriptk_live doors",
    ],
  ] as const)
    test(`has instead of ${what} its kind`, () => assert.equal(withoutCredentials(text), expected));

  test("knows escapes, and leaves what has none as it was", () => {
    assert.equal(withoutCredentials(`/api/v1/apiKeys/${key}:revoke`), "/api/v1/apiKeys/ptk_…:revoke");
    const escaped = key.replaceAll("_", "%5F").replace("p", "%70");
    assert.equal(withoutCredentials(`/api/v1/apiKeys/${escaped}`), "/api/v1/apiKeys/ptk_…");
    assert.equal(withoutCredentials(`/%ff/${escaped}`), "/%ff/ptk_…");
    assert.equal(withoutCredentials("/a%20b/%C3%A4"), "/a%20b/%C3%A4");
  });

  test("takes time by its length, whatever is in it", () => {
    const before = process.cpuUsage().user;
    for (const piece of ["eyJ", "ptk_", "ptk_live_", "%70", "a."]) {
      withoutCredentials(piece.repeat(50_000));
    }
    assert.ok(process.cpuUsage().user - before < 1_000_000);
  });
});
