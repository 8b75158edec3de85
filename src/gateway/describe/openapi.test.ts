import assert from "node:assert/strict";
import { test } from "node:test";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { compileProto } from "../../../tests/support/compile-proto.ts";
import { describeOpenApi } from "./describe.ts";

const text = `syntax = "proto3";
package t.v1;
import "google/api/annotations.proto";
import "google/rpc/status.proto";
import "portico/options/v1/options.proto";
message Item { string id = 1; }
service S {
  rpc Old(Item) returns (Item) {
    option deprecated = true;
    option (google.api.http) = {get: "/v1/old"};
    option (portico.options.v1.deprecation) = {
      since: "2026-05-04" sunset: "2026-12-31" link: "https://example.org/old"
    };
  }
  rpc Older(Item) returns (Item) {
    option deprecated = true;
    option (google.api.http) = {get: "/v1/older"};
  }
  rpc Send(stream Item) returns (Item) {
    option (google.api.http) = {post: "/v1/send" body: "*"};
  }
}
`;

test("deprecated methods and streams of requests are described", () => {
  const catalog = loadCatalog({ descriptorSet: compileProto("t/v1/items.proto", text) });
  const { paths } = describeOpenApi(catalog, {
    ...{ serverUrl: "http://localhost", version: "1", authentication: false },
  });
  const old = paths["/v1/old"]?.get;
  assert.equal(old?.deprecated, true);
  const ok = old?.responses["200"] as { headers: object };
  assert.deepEqual(Object.keys(ok.headers), ["X-Request-Id", "Deprecation", "Sunset", "Link"]);
  const older = paths["/v1/older"]?.get;
  assert.equal(older?.deprecated, true);
  const plain = older?.responses["200"] as { headers: object };
  assert.deepEqual(Object.keys(plain.headers), ["X-Request-Id"]);
  assert.deepEqual(Object.keys(paths["/v1/send"]?.post?.requestBody?.content ?? {}), [
    "application/x-ndjson",
    "application/json",
  ]);
});
