/** What is kept of an answer to be given again, and what is not. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { fromJson, type JsonObject, type Message } from "@bufbuild/protobuf";
import { sql } from "kysely";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { type CallStart, createUnaryCall } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
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
  function call(key: string, any: JsonObject): Promise<Reply> {
    const message = fromJson(method.output.desc, { any }, { registry });
    return handle(key, () => ({ kind: "unary", response: new MessagePayload(method.output, message) }));
  }

  async function handle(key: string, answer: () => Reply): Promise<Reply> {
    const handler = createIdempotency({ idempotency: store.store, registry })(answer, method);
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

  test("an error is kept without the details that have a secret in them", async () => {
    const of = (name: string, fields: JsonObject): Message =>
      fromJson(registry.getMessage(name)!, fields, { registry });
    const secret = { "@type": "type.googleapis.com/t.v1.Key", key: "hunter2" };
    const details = [
      of("t.v1.Note", { text: "what to do" }),
      of("t.v1.Key", { key: "hunter2" }),
      of("t.v1.Answer", { any: secret }),
    ];
    const fails = (): never => {
      throw new RpcError("failed_precondition", { reason: "PLANNED", message: "no", details });
    };
    await assert.rejects(handle("failed", fails), { reason: "PLANNED" });
    await assert.rejects(handle("failed", fails), (error: RpcError) => {
      assert.deepEqual([error.code, error.reason, error.message], ["failed_precondition", "PLANNED", "no"]);
      assert.deepEqual(
        error.details.map(({ $typeName }) => $typeName),
        ["t.v1.Note"],
      );
      return true;
    });
    const { rows } = await sql<{ answer: Uint8Array | null }>`SELECT answer FROM policy_idempotency`.execute(
      storage.tables<object>().db,
    );
    assert.ok(rows.length > 0);
    for (const { answer } of rows)
      for (const text of [Buffer.from(answer ?? []).toString("utf8"), decoded(answer)])
        assert.ok(!text.includes("hunter2"), text);
  });
});

/** Details are base64 inside. */
function decoded(answer: Uint8Array | null): string {
  const text = Buffer.from(answer ?? []).toString("utf8");
  return [...text.matchAll(/"([A-Za-z0-9+/]{8,}=*)"/g)]
    .map(([, found = ""]) => Buffer.from(found, "base64").toString("latin1"))
    .join("\n");
}
