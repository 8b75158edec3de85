import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { create, type Message } from "@bufbuild/protobuf";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import type { Call } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import type { Payload } from "#rpc/payload.ts";
import type { Reply } from "#rpc/reply.ts";
import { compileProto } from "../../../tests/support/compile-proto.ts";
import { constraintsOf, createValidate, isConstrained } from "../policy.ts";

const load = (text: string) =>
  loadCatalog({
    descriptorSet: compileProto(
      "t/v1/shop.proto",
      `syntax = "proto3";
package t.v1;
import "buf/validate/validate.proto";
${text}`,
    ),
  });
const catalog = load(`
message Order {
  string order_id = 1 [(buf.validate.field).string.pattern = "^[a-z]+$"];
  repeated Line line_items = 2 [(buf.validate.field).repeated.min_items = 1];
  map<string, int32> stock_by_place = 3 [(buf.validate.field).map.values.int32.gt = 0];
  oneof payment { option (buf.validate.oneof).required = true; string card_number = 4; bool in_cash = 5; }
  string from_date = 6;
  string to_date = 7;
  option (buf.validate.message).cel = {id: "dates" message: "from_date must not be after to_date" expression: "this.from_date <= this.to_date"};
}
message Line { string sku_code = 1 [(buf.validate.field).string.len = 4]; Line bundled_with = 2; }
message Free { string anything = 1; }
service Shop {
  rpc Place(Order) returns (Free);
  rpc Ask(Free) returns (Free);
  rpc Fill(stream Line) returns (Free);
}`);
const { registry } = catalog;
const reply = { kind: "unary" } as Reply;
const methodOf = (name: string) => catalog.methods.get(`/t.v1.Shop/${name}`)!;
const place = methodOf("Place");
const good = {
  orderId: "abc",
  lineItems: [{ skuCode: "aaaa" }],
  payment: { case: "inCash", value: true },
  fromDate: "1",
  toDate: "2",
};

async function violations(
  fields: Record<string, unknown>,
  protocol: "rest" | "grpc" = "rest",
): Promise<string[]> {
  const handler = createValidate({ registry })(() => reply, place);
  const message: Message = create(place.input.desc, fields);
  const call = { kind: "unary", protocol, request: { message: () => message } } as unknown as Call;
  try {
    assert.equal(await handler(call), reply);
    return [];
  } catch (error) {
    assert.ok(error instanceof RpcError, String(error));
    assert.equal(error.code, "invalid_argument");
    assert.equal(error.reason, "FIELD_INVALID");
    const [detail] = error.details as unknown as { fieldViolations: { field: string }[] }[];
    return detail?.fieldViolations.map(({ field }) => field) ?? [];
  }
}

describe("what the contract does not allow", () => {
  test("nothing is said of a good request", async () => assert.deepEqual(await violations(good), []));

  const bad = {
    ...good,
    orderId: "A1",
    lineItems: [{ skuCode: "aaaa" }, { skuCode: "a", bundledWith: { skuCode: "bb" } }],
    stockByPlace: { here: 0 },
    payment: { case: undefined },
    fromDate: "3",
  };
  test("all is said at once, as JSON spells it", async () =>
    assert.deepEqual((await violations(bad)).sort(), [
      "",
      "lineItems[1].bundledWith.skuCode",
      "lineItems[1].skuCode",
      "orderId",
      "payment",
      'stockByPlace["here"]',
    ]));
  test("and to callers of gRPC as the contract does", async () =>
    assert.deepEqual((await violations(bad, "grpc")).sort(), [
      "",
      "line_items[1].bundled_with.sku_code",
      "line_items[1].sku_code",
      "order_id",
      "payment",
      'stock_by_place["here"]',
    ]));
  test("at most a hundred are told", async () => {
    const lineItems = Array.from({ length: 1000 }, () => ({}));
    assert.equal((await violations({ ...good, lineItems })).length, 100);
  });

  test("a method without constraints pays nothing", () => {
    const next = () => reply;
    assert.equal(createValidate({ registry })(next, methodOf("Ask")), next);
  });

  test("each message of a stream is looked at as it is pulled", async () => {
    const fill = methodOf("Fill");
    let pulled = 0;
    async function* requests(): AsyncGenerator<Payload> {
      for (const skuCode of ["aaaa", "bbbb", "c", "dddd"]) {
        pulled += 1;
        yield { message: () => create(fill.input.desc, { skuCode }) } as unknown as Payload;
      }
    }
    const call = { kind: "stream", protocol: "rest", requests: requests() } as unknown as Call;
    let seen = 0;
    const handler = createValidate({ registry })(async (checked) => {
      assert.equal(checked.kind, "stream");
      for await (const _ of (checked as { requests: AsyncIterable<Payload> }).requests) seen += 1;
      return reply;
    }, fill);
    await assert.rejects(async () => await handler(call), /skuCode: /);
    assert.deepEqual([pulled, seen], [3, 2]);
  });

  test("a constraint that makes no sense is an error that names its message", async () => {
    const broken = load(`
message Order { int32 amount = 1 [(buf.validate.field).cel = {id: "x" expression: "this.nothing("}]; }
service Shop { rpc Place(Order) returns (Order); }`);
    const compile = await constraintsOf(broken.registry)();
    const { desc } = broken.methods.get("/t.v1.Shop/Place")!.input;
    assert.throws(() => compile(desc), /t\.v1\.Order: /);
  });

  test("every constraint of our own contract makes sense", async () => {
    const own = loadCatalog({
      descriptorSet: readFileSync(new URL("../../gen/contract.binpb", import.meta.url)),
    });
    const compile = await constraintsOf(own.registry)();
    const constrained = [...own.methods.values()]
      .map(({ input }) => input.desc)
      .filter((desc) => isConstrained(desc));
    assert.ok(constrained.length > 20);
    for (const desc of constrained) compile(desc);
  });
});
