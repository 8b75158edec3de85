/** What a descriptor set says of its source: read when it is asked for, and served as it is. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  type SourceCodeInfo,
  SourceCodeInfoSchema,
} from "@bufbuild/protobuf/wkt";
import { compileProto } from "../../../tests/support/compile-proto.ts";
import { CatalogError, loadCatalog } from "./catalog.ts";

describe("source info", () => {
  const text = `syntax = "proto3";
package t.v1;
message Item { string id = 1; }
// Things.
service S {
  // Reads it.
  rpc A(Item) returns (Item);
}
`;
  const whole = compileProto("t/v1/items.proto", text);

  test("is not read before somebody asks for a comment, and then with a clear error", () => {
    const catalog = loadCatalog({ descriptorSet: withSource(whole, Buffer.from([0x0a, 0x7f])) });
    const service = catalog.services.find(({ typeName }) => typeName === "t.v1.S")!;
    assert.equal(service.file.proto.sourceCodeInfo, undefined);
    assert.throws(
      () => catalog.commentOf(service),
      (error) =>
        error instanceof CatalogError &&
        /t\/v1\/items\.proto: its source info cannot be read: .*; build the set again/.test(error.message),
    );
  });

  test("is one where it lies in pieces", () => {
    const { location } = sourceOf(whole);
    const pieces = [location.slice(0, 8), location.slice(8)].map((some) =>
      toBinary(SourceCodeInfoSchema, create(SourceCodeInfoSchema, { location: some })),
    );
    const catalog = loadCatalog({ descriptorSet: withSource(whole, ...pieces) });
    const service = catalog.services.find(({ typeName }) => typeName === "t.v1.S")!;
    assert.equal(catalog.commentOf(service), "Things.");
    assert.equal(catalog.commentOf(service.methods[0]!), "Reads it.");
  });

  test("is there in the bytes that reflection serves", () => {
    const catalog = loadCatalog({ descriptorSet: whole });
    assert.deepEqual(
      [...catalog.files.values()].map(({ bytes }) => fromBinary(FileDescriptorProtoSchema, bytes)),
      fromBinary(FileDescriptorSetSchema, whole).file,
    );
  });
});

function sourceOf(set: Uint8Array): SourceCodeInfo {
  const mine = fromBinary(FileDescriptorSetSchema, set).file.find(({ name }) => name === "t/v1/items.proto");
  return mine!.sourceCodeInfo!;
}

/** The file of the test alone has other source info, in as many pieces as are given. */
function withSource(set: Uint8Array, ...pieces: readonly Uint8Array[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const file of fromBinary(FileDescriptorSetSchema, set).file) {
    const isMine = file.name === "t/v1/items.proto";
    if (isMine) delete file.sourceCodeInfo;
    const bytes = new BinaryWriter().raw(toBinary(FileDescriptorProtoSchema, file));
    for (const piece of isMine ? pieces : [])
      bytes.tag(FileDescriptorProtoSchema.field.sourceCodeInfo.number, WireType.LengthDelimited).bytes(piece);
    writer.tag(FileDescriptorSetSchema.field.file.number, WireType.LengthDelimited).bytes(bytes.finish());
  }
  return writer.finish();
}
