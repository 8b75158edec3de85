import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { compileProto } from "../../../tests/support/compile-proto.ts";
import { CatalogError, loadCatalog } from "./catalog.ts";
import type { SelectedPolicy } from "./shape.ts";

const descriptorSet = compileProto(
  "shop/v1/orders.proto",
  `syntax = "proto3";
package shop.v1;
import "portico/options/v1/options.proto";
message M {}
service Orders { rpc Get(M) returns (M); rpc Cancel(M) returns (M); }
service OrdersAdmin { rpc Purge(M) returns (M); }
service Ours { rpc Do(M) returns (M) { option (portico.options.v1.policy) = {scopes: "ours:do" rate_cost: 3}; } }
`,
);

const rulesOf = (policies: readonly SelectedPolicy[]) => {
  const catalog = loadCatalog({ descriptorSet, policies, policyRequired: ["shop.v1.Ours"] });
  return Object.fromEntries(
    [...catalog.methods.values()]
      .filter(({ service }) => service.startsWith("shop."))
      .map((method) => {
        const { access, rateCost, audited } = catalog.optionsOf(method);
        return [
          method.name.slice("shop.v1.".length),
          [access?.public, access?.scopes.join(), rateCost, audited],
        ];
      }),
  );
};
const problemsOf = (policies: readonly SelectedPolicy[]): string => {
  try {
    rulesOf(policies);
    return "";
  } catch (error) {
    assert.ok(error instanceof CatalogError, String(error));
    return error.message;
  }
};

describe("policies by selector", () => {
  test("without one, what the contract does not say is nobody's but an administrator's", () => {
    const nobody = [undefined, undefined, 1, false];
    assert.deepEqual(rulesOf([]), {
      "Orders/Get": nobody,
      "Orders/Cancel": nobody,
      "OrdersAdmin/Purge": nobody,
      "Ours/Do": [false, "ours:do", 3, false],
    });
  });

  test("the most specific wins, in whatever order they stand; a service is no beginning of another's name", () => {
    assert.deepEqual(
      rulesOf([
        { selector: "*", scopes: ["any:any"] },
        { selector: "shop.v1.Orders.Cancel", scopes: ["orders:cancel"], rateCost: 5, audit: true },
        { selector: "shop.v1.Orders.*", public: true },
        { selector: "shop.*", scopes: ["shop:all"] },
      ]),
      {
        "Orders/Get": [true, "", 1, false],
        "Orders/Cancel": [false, "orders:cancel", 5, true],
        "OrdersAdmin/Purge": [false, "shop:all", 1, false],
        "Ours/Do": [false, "ours:do", 3, false],
      },
    );
  });

  test("selectors that mean nothing, twice the same, or what is in the contract are told together", () => {
    const message = problemsOf([
      { selector: "shop.v1.Order.*" },
      { selector: "shop.v1.Ours.Do" },
      { selector: "shop.*" },
      { selector: "shop.*" },
    ]);
    assert.match(message, /"shop\.v1\.Order\.\*" fits no method; did you mean shop\.v1\.Orders\.\*\?/);
    assert.match(message, /"shop\.v1\.Ours\.Do" is for methods whose contract has one/);
    assert.match(message, /"shop\.\*" is given twice/);
  });
});
