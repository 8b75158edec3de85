import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, type Message } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { compileProto } from "../../../tests/support/compile-proto.ts";
import { threadMs } from "../../../tests/support/thread-time.ts";
import { createConstraints } from "./constraints.ts";
import { compileCounts } from "./counts.ts";

const { registry } = loadCatalog({
  descriptorSet: compileProto(
    "t/v1/counts.proto",
    `syntax = "proto3";
package t.v1;
import "buf/validate/validate.proto";
import "google/protobuf/struct.proto";
message Batch {
  repeated Item items = 1 [(buf.validate.field).repeated = {min_items: 1, max_items: 200}];
  map<string, string> labels = 2 [(buf.validate.field).map.max_pairs = 2];
  oneof one { Item single = 3; string text = 4; }
  map<int32, Item> by_number = 5;
  Batch next = 6;
  google.protobuf.Struct anything = 7;
  repeated string free = 8;
  repeated string ignored = 9 [(buf.validate.field) = {ignore: IGNORE_ALWAYS, repeated: {max_items: 1}}];
}
message Item {
  string id = 1 [(buf.validate.field).string.pattern = "^[a-z]+$"];
  repeated string roles = 2 [(buf.validate.field).repeated = {max_items: 2, items: {string: {min_len: 2}}}];
}
message Free { Free again = 1; string text = 2 [(buf.validate.field).string.min_len = 1]; }`,
  ),
});
const descOf = (name: string) => registry.getMessage(`t.v1.${name}`)!;
const batch = descOf("Batch");
const check = createConstraints(registry)(batch);
const item = { id: "a", roles: ["ab"] };
const made = (fields: object): Message => create(batch, { items: [item], ...fields });
const violations = (fields: object) =>
  check(made(fields), "json").map(({ field, description }) => `${field}: ${description}`);

describe("how many entries there may be", () => {
  test("nothing is said of what is within its limits", () =>
    assert.deepEqual(
      violations({ labels: { a: "1", b: "2" }, ignored: ["a", "b"], free: Array(1000).fill("") }),
      [],
    ));

  for (const [what, fields, field] of [
    ["a list", { items: Array(201).fill(item) }, "items"],
    ["a map", { labels: { a: "1", b: "2", c: "3" } }, "labels"],
    ["a list in a list", { items: [item, { ...item, roles: ["ab", "cd", "ef"] }] }, "items[1].roles"],
    [
      "a list in a oneof",
      { one: { case: "single", value: { ...item, roles: ["ab", "cd", "ef"] } } },
      "single.roles",
    ],
    ["a list in a map", { byNumber: { 7: { ...item, roles: ["ab", "cd", "ef"] } } }, "byNumber[7].roles"],
    ["what holds itself", { next: { items: [item], labels: { a: "1", b: "2", c: "3" } } }, "next.labels"],
  ] as const)
    test(`${what} that is too long is told as by who checks the rest`, () => {
      const { violations: found = [] } = createValidator({ registry }).validate(batch, made(fields)) as {
        violations?: readonly { message: string }[];
      };
      assert.deepEqual(violations(fields), [`${field}: ${found[0]?.message}`]);
    });

  test("what else is wrong is told where the counts are good", () =>
    assert.deepEqual(violations({ items: [{ id: "A", roles: ["a"] }] }), [
      "items[0].id: does not match regex pattern `^[a-z]+$`",
      "items[0].roles[0]: must be at least 2 characters",
    ]));

  test("keys of a Struct are nobody's lists", () => {
    const roles = ["a", "b", "c"];
    assert.deepEqual(violations({ anything: { roles, items: [{ roles }], fields: { labels: roles } } }), []);
  });

  test("nothing is compiled where no count is limited", () => {
    assert.equal(compileCounts(descOf("Free")), undefined);
    assert.notEqual(compileCounts(batch), undefined);
  });

  test("of very many that are too long some are told", () => {
    const roles = ["ab", "cd", "ef"];
    assert.equal(violations({ items: Array(150).fill({ ...item, roles }) }).length, 100);
  });

  test("a list of 99,000 is refused for the price of its length", () => {
    const message = made({ items: Array.from({ length: 99_000 }, () => ({})) });
    const started = threadMs();
    assert.equal(check(message, "json").length, 1);
    const ms = threadMs() - started;
    assert.ok(ms < 5, `${ms} ms`);
  });
});
