/** What the binary codec does beyond protobuf-es; protobuf's own runner is in tests/conformance. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { createCodec } from "#gateway/codec/codec.ts";
import { echoDescriptors } from "../support/echo.ts";

const { registry } = loadCatalog({ descriptorSet: echoDescriptors() });
const desc = registry.getMessage("test.v1.Everything")!;

test("fields that the contract does not know yet come out as they went in", () => {
  const type = createCodec(registry).typeOf(desc);
  // Field 30000, a varint; and field 30001, two bytes.
  const unknown = Buffer.from([0x80, 0xd3, 0x0e, 0x07, 0x8a, 0xd3, 0x0e, 0x02, 0x61, 0x62]);
  assert.deepEqual(Buffer.from(type.encode(type.decode(unknown, "proto"), "proto")), unknown);
});

test("JSON leaves out what holds its default where the codec is told to", () => {
  const write = (defaults: "write" | "omit"): unknown => {
    const implicit = registry.getMessage("test.v1.ImplicitFields")!;
    const type = createCodec(registry, { defaults }).typeOf(implicit);
    return JSON.parse(Buffer.from(type.encode(type.decode(new Uint8Array(0), "proto"), "json")).toString());
  };
  assert.deepEqual(write("omit"), {});
  assert.notDeepEqual(write("write"), {});
});
