import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, type Message } from "@bufbuild/protobuf";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import type { Call } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import { anonymous, type Principal } from "#rpc/principal.ts";
import type { Reply } from "#rpc/reply.ts";
import { compileProto } from "../../../tests/support/compile-proto.ts";
import { threadMs } from "../../../tests/support/thread-time.ts";
import { loadRules } from "../policy.ts";
import { createAuthorize, type MethodRule } from "./authorize.ts";

const catalog = loadCatalog({
  descriptorSet: compileProto(
    "t/v1/orders.proto",
    `syntax = "proto3";
package t.v1;
message Order { string id = 1; string owner = 2; int32 amount = 3; repeated string tags = 4; Order parent = 5; }
service Orders { rpc Change(Order) returns (Order); rpc Watch(stream Order) returns (Order); }
`,
  ),
});
const rules = await loadRules(catalog.registry);
const change = catalog.methods.get("/t.v1.Orders/Change")!;
const ana: Principal = {
  name: "users/ana",
  tenant: "acme",
  scopes: new Set(["orders:write"]),
  credential: "sessions/1",
};
const reply = { kind: "unary" } as Reply;

function outcome(
  rule: MethodRule | undefined,
  principal: Principal,
  fields: Record<string, unknown> = {},
): string {
  const handler = createAuthorize({ ruleOf: () => rule, rules })(() => reply, change);
  const message: Message = create(change.input.desc, fields);
  try {
    const call = { kind: "unary", principal, request: { message: () => message } } as unknown as Call;
    return handler(call) === reply ? "allowed" : "?";
  } catch (error) {
    assert.ok(error instanceof RpcError, String(error));
    return error.reason;
  }
}
const scoped = (rule: string): MethodRule => ({ public: false, scopes: ["orders:write"], rule });

describe("authorization", () => {
  for (const [name, rule, principal, fields, expected] of [
    ["what nobody decided is for administrators", undefined, ana, {}, "SCOPE_MISSING"],
    ["and they may", undefined, { ...ana, scopes: new Set(["*"]) }, {}, "allowed"],
    ["nobody is asked to show who they are", undefined, anonymous, {}, "CREDENTIAL_MISSING"],
    ["public is for nobody too", { public: true, scopes: [] }, anonymous, {}, "allowed"],
    ["a scope", { public: false, scopes: ["orders:write"] }, ana, {}, "allowed"],
    ["one of several scopes", { public: false, scopes: ["x:y", "orders:write"] }, ana, {}, "allowed"],
    [
      "a scope of the whole area",
      { public: false, scopes: ["orders:read"] },
      { ...ana, scopes: new Set(["orders:*"]) },
      {},
      "allowed",
    ],
    [
      "another area",
      { public: false, scopes: ["orders:read"] },
      { ...ana, scopes: new Set(["order:*"]) },
      {},
      "SCOPE_MISSING",
    ],
    ["self, for me", { public: false, scopes: ["self"] }, ana, { id: "me" }, "allowed"],
    ["self, for nobody in particular", { public: false, scopes: ["self"] }, ana, {}, "allowed"],
    ["self, by id", { public: false, scopes: ["self"] }, ana, { id: "ana" }, "allowed"],
    ["self, by name", { public: false, scopes: ["self"] }, ana, { id: "users/ana" }, "allowed"],
    ["self, for somebody else", { public: false, scopes: ["self"] }, ana, { id: "bob" }, "SCOPE_MISSING"],
    ["self, for nobody", { public: false, scopes: ["self"] }, anonymous, { id: "me" }, "CREDENTIAL_MISSING"],
  ] as const)
    test(name, () => assert.equal(outcome(rule, principal, fields), expected));
});

describe("rules", () => {
  for (const [rule, fields, expected] of [
    ["true", {}, "allowed"],
    ["false", {}, "RULE_DENIED"],
    ["request.owner == principal.name", { owner: "users/ana" }, "allowed"],
    ["request.owner == principal.name", { owner: "users/bob" }, "RULE_DENIED"],
    ["request.amount < 100 || principal.tenant == 'bank'", { amount: 99 }, "allowed"],
    ["request.amount < 100 || principal.tenant == 'bank'", { amount: 100 }, "RULE_DENIED"],
    ["'urgent' in request.tags && 'orders:write' in principal.scopes", { tags: ["urgent"] }, "allowed"],
    ["principal.credential.startsWith('sessions/')", {}, "allowed"],
    ["has(request.parent) && request.parent.id != ''", { parent: { id: "1" } }, "allowed"],
    ["request.amount", { amount: 1 }, "RULE_DENIED"],
    ["'yes'", {}, "RULE_DENIED"],
    ["null", {}, "RULE_DENIED"],
    ["1 / request.amount > 0", { amount: 0 }, "RULE_DENIED"],
    ["request.nothing == ''", {}, "RULE_DENIED"],
    ["unknown.thing", {}, "RULE_DENIED"],
    ["principal.nothing == ''", {}, "RULE_DENIED"],
    ["request.tags[7] == ''", {}, "RULE_DENIED"],
  ] as const)
    test(`${rule} with ${JSON.stringify(fields)}: ${expected}`, () =>
      assert.equal(outcome(scoped(rule), ana, fields), expected));

  test("come after scopes, and hold for administrators too", () => {
    assert.equal(outcome(scoped("true"), { ...ana, scopes: new Set() }), "SCOPE_MISSING");
    assert.equal(outcome(scoped("false"), { ...ana, scopes: new Set(["*"]) }), "RULE_DENIED");
  });
  test("that are no expressions are refused at load, with the method", () => {
    assert.throws(
      () => outcome(scoped("request.("), ana),
      /t\.v1\.Orders\/Change: the rule "request\.\(" is no CEL expression/,
    );
    const watch = catalog.methods.get("/t.v1.Orders/Watch")!;
    assert.throws(
      () => createAuthorize({ ruleOf: () => scoped("true"), rules })(() => reply, watch),
      /Orders\/Watch: a rule needs one request/,
    );
  });
  test("cost little", (t) => {
    const handler = createAuthorize({
      ruleOf: () => scoped("request.owner == principal.name"),
      rules,
    })(() => reply, change);
    const message = create(change.input.desc, { owner: "users/ana" } as Record<string, unknown>);
    const call = { kind: "unary", principal: ana, request: { message: () => message } } as unknown as Call;
    for (let round = 0; round < 2000; round += 1) void handler(call);
    const start = threadMs();
    for (let round = 0; round < 10_000; round += 1) void handler(call);
    const each = (threadMs() - start) / 10;
    t.diagnostic(`${each.toFixed(1)} µs a call`);
    assert.ok(each < 200, `${each} µs`);
  });
});
