/** What is kept of an answer to be given again, and what is not. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { fromJson, type JsonObject } from "@bufbuild/protobuf";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { type CallStart, createUnaryCall } from "#rpc/call.ts";
import { Metadata } from "#rpc/metadata.ts";
import { BytesPayload, MessagePayload } from "#rpc/payload.ts";
import { localPrincipal } from "#rpc/principal.ts";
import type { Reply } from "#rpc/reply.ts";
import { systemClock } from "#std/clock.ts";
import { openStorage, type Storage } from "#storage/storage.ts";
import { compileProto } from "../../../tests/support/compile-proto.ts";
import { createIdempotencyStore, migrations } from "../policy.ts";
import { createIdempotency } from "./idempotency.ts";

const { registry, methods } = loadCatalog({
  descriptorSet: compileProto(
    "t/v1/any.proto",
    `syntax = "proto3";
package t.v1;
import "google/protobuf/any.proto";
import "portico/options/v1/options.proto";
message Request {}
message Answer { google.protobuf.Any any = 1; }
message Key { string key = 1 [(portico.options.v1.sensitive) = true]; }
message Note { string text = 1; }
service Things { rpc Make(Request) returns (Answer); }
`,
  ),
});
const method = methods.get("/t.v1.Things/Make")!;

describe("an answer with an Any", () => {
  let storage: Storage;
  let store: ReturnType<typeof createIdempotencyStore>;
  before(async () => {
    storage = await openStorage({ url: "memory:", migrations });
    store = createIdempotencyStore(storage, systemClock);
  });
  after(async () => {
    await store.close();
    await storage.close();
  });

  /** The reply of one call with a key; the service answers with this. */
  async function call(key: string, any: JsonObject): Promise<Reply> {
    const message = fromJson(method.output.desc, { any }, { registry });
    const handler = createIdempotency({ idempotency: store.store, registry })(
      () => ({ kind: "unary", response: new MessagePayload(method.output, message) }),
      method,
    );
    const head: CallStart = {
      ...{ method, id: key, protocol: "rest" as const, peer: { address: "127.0.0.1", port: 0 } },
      ...{ startedAtMs: 0, principal: localPrincipal, timeoutMs: undefined },
      metadata: new Metadata(() => [["idempotency-key", key]]),
    };
    return await handler(createUnaryCall(head, new BytesPayload(method.input, Buffer.alloc(0), "proto")));
  }

  test("is given again", async () => {
    const note = { "@type": "type.googleapis.com/t.v1.Note", text: "a" };
    await call("note", note);
    const again = await call("note", { ...note, text: "b" });
    assert.deepEqual(again.kind === "unary" && JSON.parse(again.response.text()), { any: note });
  });

  test("is not kept where there is a secret in it", async () => {
    const key = { "@type": "type.googleapis.com/t.v1.Key", key: "hunter2" };
    await call("key", key);
    await assert.rejects(call("key", key), { reason: "IDEMPOTENCY_ANSWER_LOST" });
  });
});
