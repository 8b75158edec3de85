import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { BPMNService } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import { openStorage } from "#storage/storage.ts";
import { createBpmn, migrations } from "./bpmn.ts";

const xml =
  '<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" id="d"><process id="p"/></definitions>';
const day = 24 * 3600 * 1000;

function host(start = 1_790_000_000_000) {
  const time = { now: start };
  const storage = openStorage({ url: "memory:", migrations });
  const bpmn = createBpmn({
    storage,
    secret: new Uint8Array(32),
    clock: { now: () => time.now, monotonic: () => time.now },
  });
  const methods = bpmn.service.implementation as Record<string, (request: unknown, call: unknown) => unknown>;
  type Name = keyof typeof BPMNService.method;
  const as = (tenant: string) => async (name: Name, request: Record<string, unknown>) => {
    const call = { principal: { name: "users/a", tenant } } as CallHead;
    return (await methods[name]?.(
      create(
        BPMNService.method[name].input,
        request as MessageInitShape<typeof BPMNService.method.getBPMN.input>,
      ),
      call,
    )) as { documents: { id: string }[]; nextPageToken: string };
  };
  const close = async (): Promise<void> => {
    await bpmn.close();
    storage.close();
  };
  return { time, storage, bpmn, as, close };
}

const reasonOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error: unknown) => (error instanceof RpcError ? `${error.reason}: ${error.message}` : String(error)),
  );

test("another tenant's document is answered exactly like one that does not exist, by every method that takes an id", async () => {
  const { as, close } = host();
  await as("one")("createBPMN", { documentId: "doc", document: { xml } });
  const two = as("two");
  const calls: readonly (readonly [
    keyof typeof BPMNService.method,
    (id: string) => Record<string, unknown>,
  ])[] = [
    ["getBPMN", (id) => ({ id })],
    ["updateBPMN", (id) => ({ document: { id, description: "x" } })],
    ["deleteBPMN", (id) => ({ id })],
    ["undeleteBPMN", (id) => ({ id })],
    ["batchGetBPMN", (id) => ({ ids: [id] })],
    ["batchDeleteBPMN", (id) => ({ ids: [id] })],
    ["validateBPMN", (id) => ({ input: { case: "document", value: id } })],
    ["getBPMNRevision", (id) => ({ id, revision: "1" })],
    ["listBPMNRevisions", (id) => ({ id })],
    ["rollbackBPMN", (id) => ({ id, revision: "1" })],
  ];
  for (const [name, request] of calls) {
    const foreign = await reasonOf(two(name, request("doc")));
    assert.equal(foreign, (await reasonOf(two(name, request("non")))).replaceAll("non", "doc"), name);
    assert.match(foreign, /^RESOURCE_NOT_FOUND/, name);
  }
  assert.deepEqual((await two("listBPMN", { showDeleted: true })).documents, []);
  await two("createBPMN", { documentId: "doc", document: { xml } });
  assert.equal((await as("one")("listBPMN", {})).documents.length, 1);
  await close();
});

test("a page token of one tenant or query opens no other", async () => {
  const { as, close } = host();
  const one = as("one");
  for (const id of ["a", "b", "c"]) await one("createBPMN", { documentId: id, document: { xml } });
  const page = await one("listBPMN", { pageSize: 2 });
  assert.deepEqual(
    (await one("listBPMN", { pageSize: 2, pageToken: page.nextPageToken })).documents.map(({ id }) => id),
    ["c"],
  );
  assert.match(
    await reasonOf(as("two")("listBPMN", { pageToken: page.nextPageToken })),
    /^PAGE_TOKEN_INVALID/,
  );
  assert.match(
    await reasonOf(one("listBPMN", { pageToken: page.nextPageToken, showDeleted: true })),
    /^PAGE_TOKEN_INVALID/,
  );
  await close();
});

test("a page token is good for three days", async () => {
  const { as, time, close } = host();
  for (const id of ["a", "b"]) await as("one")("createBPMN", { documentId: id, document: { xml } });
  const { nextPageToken } = await as("one")("listBPMN", { pageSize: 1 });
  time.now += 3 * day - 1;
  assert.equal((await as("one")("listBPMN", { pageSize: 1, pageToken: nextPageToken })).documents.length, 1);
  time.now += 2;
  assert.match(
    await reasonOf(as("one")("listBPMN", { pageSize: 1, pageToken: nextPageToken })),
    /^PAGE_TOKEN_INVALID/,
  );
  await close();
});

test("what was deleted 30 days ago is purged with its content, unless another document has the same", async () => {
  const { as, time, storage, bpmn, close } = host();
  const one = as("one");
  for (const id of ["a", "b"]) await one("createBPMN", { documentId: id, document: { xml } });
  await one("createBPMN", { documentId: "c", document: { xml: xml.replace('"p"', '"q"') } });
  const contents = (): number => storage.all("SELECT * FROM bpmn_contents").length;
  for (const id of ["a", "c"]) await one("deleteBPMN", { id });
  time.now += 30 * day - 1;
  assert.equal(bpmn.purgeDeleted(), 0);
  time.now += 2;
  assert.equal(bpmn.purgeDeleted(), 2);
  assert.match(await reasonOf(one("getBPMN", { id: "a" })), /^RESOURCE_NOT_FOUND/);
  assert.equal(contents(), 1);
  assert.equal(storage.all("SELECT * FROM bpmn_revisions").length, 1);
  await close();
});
