import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createFileRegistry, fromBinary, fromJson, type JsonObject } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { compileProto } from "../../tests/support/compile-proto.ts";
import { mayHoldSensitive, redactedJson } from "./redact.ts";

const proto = `syntax = "proto3";
package test.v1;
import "google/protobuf/any.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "portico/options/v1/options.proto";
message Secret {
  string text = 1 [(portico.options.v1.sensitive) = true];
  bytes data = 2 [(portico.options.v1.sensitive) = true];
  repeated string many = 3 [(portico.options.v1.sensitive) = true];
  map<string, string> pairs = 4 [(portico.options.v1.sensitive) = true];
  google.protobuf.StringValue wrapped = 5 [(portico.options.v1.sensitive) = true];
  Secret whole = 6 [(portico.options.v1.sensitive) = true];
  oneof one { string chosen = 7 [(portico.options.v1.sensitive) = true]; }
  string open = 8;
}
message Everything {
  Secret nested = 1;
  repeated Secret list = 2;
  map<string, Secret> map = 3;
  google.protobuf.Any any = 4;
  repeated google.protobuf.Any anys = 5;
  map<string, google.protobuf.Any> any_map = 6;
  google.protobuf.Struct struct = 7;
  google.protobuf.Timestamp time = 8;
  string text = 9;
  repeated int32 numbers = 10;
}
message Harmless { string text = 1; }
message Wrapped {
  google.protobuf.Any any = 1;
  repeated google.protobuf.Any anys = 2;
  map<string, google.protobuf.Any> map = 3;
  Wrapped inner = 4;
}`;
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, compileProto("test.proto", proto)));
const desc = registry.getMessage("test.v1.Everything")!;
const canary = "canary-4711";
const base64 = Buffer.from(canary).toString("base64");
const secret = {
  text: canary,
  data: base64,
  many: [canary],
  pairs: { [canary]: canary },
  wrapped: canary,
  whole: { text: canary, open: canary },
  chosen: canary,
  open: "shown",
};
const any = { "@type": "type.googleapis.com/test.v1.Secret", ...secret };

function written(json: JsonObject, mask?: string): string {
  const message = fromJson(desc, json, { registry });
  return JSON.stringify(redactedJson(desc, message, { registry, ...(mask === undefined ? {} : { mask }) }));
}

describe("what may be written down of a message", () => {
  const places: Readonly<Record<string, JsonObject>> = {
    "a nested message": { nested: secret },
    "a list": { list: [secret, secret] },
    // A key of that name would be taken for a field by who walks maps like messages.
    "a map": { map: { a: secret, open: secret, text: secret } },
    "an Any": { any },
    "an Any in an Any": { any: { "@type": "type.googleapis.com/google.protobuf.Any", value: any } },
    "a list of Any": { anys: [any] },
    "a map of Any": { anyMap: { text: any, value: any } },
    "an Any in a message in an Any": {
      any: { "@type": "type.googleapis.com/test.v1.Everything", nested: secret, any, map: { open: secret } },
    },
  };
  for (const [place, json] of Object.entries(places))
    test(`has no sensitive field of ${place}`, () => {
      for (const mask of [undefined, "***"]) {
        const text = written(json, mask);
        assert.ok(!text.includes(canary) && !text.includes(base64), text);
        assert.ok(text.includes("shown"), text);
        assert.equal(text.includes("***"), mask !== undefined);
      }
    });

  test("keeps the rest, in short", () => {
    const long = "x".repeat(300);
    assert.deepEqual(
      JSON.parse(
        written({
          text: long,
          time: "2026-01-02T03:04:05Z",
          numbers: Array.from({ length: 60 }, (_, at) => at),
          struct: { a: [{ b: long }] },
          any: { "@type": "type.googleapis.com/google.protobuf.Timestamp", value: "2026-01-02T03:04:05Z" },
        }),
      ),
      {
        text: `${"x".repeat(200)}… (300 characters)`,
        time: "2026-01-02T03:04:05Z",
        numbers: Array.from({ length: 50 }, (_, at) => at),
        struct: { a: [{ b: `${"x".repeat(200)}… (300 characters)` }] },
        any: { "@type": "type.googleapis.com/google.protobuf.Timestamp", value: "2026-01-02T03:04:05Z" },
      },
    );
  });
});

describe("what is not to be kept of messages", () => {
  const holds = (name: string, json: JsonObject): boolean => {
    const of = registry.getMessage(name)!;
    return mayHoldSensitive(of, () => fromJson(of, json, { registry }), registry);
  };
  const harmless = { "@type": "type.googleapis.com/test.v1.Harmless", text: "a" };
  const nested = { "@type": "type.googleapis.com/google.protobuf.Any", value: any };
  for (const [what, name, json, expected] of [
    ["a type with a marked field, set or not", "test.v1.Secret", {}, true],
    ["one that is deeper", "test.v1.Everything", {}, true],
    ["a type without one", "test.v1.Harmless", { text: "a" }, false],
    ["an Any that is empty", "test.v1.Wrapped", { any: {} }, false],
    ["one that holds nothing marked", "test.v1.Wrapped", { any: harmless, anys: [harmless] }, false],
    ["one that does", "test.v1.Wrapped", { any }, true],
    ["one in a list", "test.v1.Wrapped", { anys: [harmless, any] }, true],
    ["one in a map", "test.v1.Wrapped", { map: { a: harmless, b: any } }, true],
    ["one in another message", "test.v1.Wrapped", { inner: { inner: { any } } }, true],
    ["one in an Any", "test.v1.Wrapped", { any: nested }, true],
    ["a harmless one in an Any", "test.v1.Wrapped", { any: { ...nested, value: harmless } }, false],
  ] as const)
    test(what, () => assert.equal(holds(name, json as JsonObject), expected));

  test("a type that nobody knows", () => {
    const of = registry.getMessage("test.v1.Wrapped")!;
    const message = fromJson(of, { any: harmless }, { registry }) as unknown as { any: { typeUrl: string } };
    message.any.typeUrl = "type.googleapis.com/no.Such";
    assert.equal(
      mayHoldSensitive(of, () => message as never, registry),
      true,
    );
  });
});
