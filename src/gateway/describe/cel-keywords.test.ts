import assert from "node:assert/strict";
import { test } from "node:test";
import { keywordsOfRule } from "./cel-keywords.ts";

const rows: readonly (readonly [rule: string, keywords: unknown])[] = [
  ["this.matches('^[a-z]+$')", { pattern: "^[a-z]+$" }],
  ["this == '' || this.matches('^[a-z]+$')", { pattern: "^$|^[a-z]+$" }],
  [
    "this == '' || this.matches('^[a-z]+$') && this != 'me'",
    { pattern: "^$|^[a-z]+$", not: { const: "me" } },
  ],
  ["this.matches('^[^@[:space:]]+@')", { pattern: "^[^@\\s]+@" }],
  ["this.startsWith('roles/')", { pattern: "^roles/" }],
  ["this.startsWith('a.b')", { pattern: "^a\\.b" }],
  ["this != ''", { minLength: 1 }],
  ["this != 'me'", { not: { const: "me" } }],
  ["this.size() > 3", {}],
  ["this.matches('^a') || this.matches('^b')", {}],
];
for (const [rule, keywords] of rows)
  test(`${rule} in JSON Schema`, () => assert.deepEqual(keywordsOfRule(rule), keywords));
