/** What the BPMN service promises on every engine. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { BPMNService } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import { createBpmn, migrations } from "#services/bpmn/bpmn.ts";
import type { BpmnTables } from "#services/bpmn/tables.ts";
import { openStorage } from "#storage/storage.ts";

const xml =
  '<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" id="d"><process id="p"/></definitions>';
const day = 24 * 3600 * 1000;

async function host(url: string, start = 1_790_000_000_000) {
  const time = { now: start };
  const storage = await openStorage({ url, migrations });
  const bpmn = createBpmn({
    storage,
    secret: new Uint8Array(32),
    clock: { now: () => time.now, monotonic: () => time.now },
  });
  const methods = bpmn.service.implementation as Record<string, (request: unknown, call: unknown) => unknown>;
  type Name = keyof typeof BPMNService.method;
  const as = (tenant: string) => async (name: Name, request: Record<string, unknown>) => {
    const call = {
      principal: { name: "users/a", tenant },
      canceledBy: undefined,
      onCancel: () => undefined,
      runBeforeCommit: async () => undefined,
      runAfterCommit: () => undefined,
    } as unknown as CallHead;
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
    await storage.close();
  };
  return { time, storage, bpmn, as, close };
}

const reasonOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error: unknown) => (error instanceof RpcError ? `${error.reason}: ${error.message}` : String(error)),
  );

export function bpmnSuite(fresh: () => Promise<string>): void {
  test("another tenant's document is answered exactly like one that does not exist, by every method that takes an id", async () => {
    const { as, close } = await host(await fresh());
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
    const { as, close } = await host(await fresh());
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
    const { as, time, close } = await host(await fresh());
    for (const id of ["a", "b"]) await as("one")("createBPMN", { documentId: id, document: { xml } });
    const { nextPageToken } = await as("one")("listBPMN", { pageSize: 1 });
    time.now += 3 * day - 1;
    assert.equal(
      (await as("one")("listBPMN", { pageSize: 1, pageToken: nextPageToken })).documents.length,
      1,
    );
    time.now += 2;
    assert.match(
      await reasonOf(as("one")("listBPMN", { pageSize: 1, pageToken: nextPageToken })),
      /^PAGE_TOKEN_INVALID/,
    );
    await close();
  });

  test("what was deleted 30 days ago is purged with its content, unless another document has the same", async () => {
    const { as, time, storage, bpmn, close } = await host(await fresh());
    const one = as("one");
    for (const id of ["a", "b"]) await one("createBPMN", { documentId: id, document: { xml } });
    await one("createBPMN", { documentId: "c", document: { xml: xml.replace('"p"', '"q"') } });
    const { db } = storage.tables<BpmnTables>();
    const contents = async (): Promise<number> =>
      (await db.selectFrom("bpmn_contents").select("digest").execute()).length;
    for (const id of ["a", "c"]) await one("deleteBPMN", { id });
    time.now += 30 * day - 1;
    assert.equal(await bpmn.purgeDeleted(), 0);
    time.now += 2;
    assert.equal(await bpmn.purgeDeleted(), 2);
    assert.match(await reasonOf(one("getBPMN", { id: "a" })), /^RESOURCE_NOT_FOUND/);
    assert.equal(await contents(), 1);
    assert.equal((await db.selectFrom("bpmn_revisions").select("revision").execute()).length, 1);
    await close();
  });

  test("lists are filtered by name, process and executable, ordered, counted and paged", async () => {
    const { as, close } = await host(await fresh());
    const one = as("one");
    const model = (process: string, executable: boolean, binding = "") =>
      `<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:z="http://camunda.org/schema/zeebe/1.0" id="d"><process id="${process}" isExecutable="${executable}">${binding === "" ? "" : `<serviceTask id="t"><extensionElements><z:taskDefinition type="${binding}"/></extensionElements></serviceTask>`}</process></definitions>`;
    const make = (id: string, displayName: string, xml: string, labels = {}) =>
      one("createBPMN", { documentId: id, document: { xml, displayName, labels } });
    await make("a", "Order", model("order", true, "rpc:shop.v1.Orders/Reserve"), { team: "red" });
    await make("b", "Order two", model("order", false));
    await make("c", "Invoice", model("invoice", true));
    await as("two")("createBPMN", {
      documentId: "x",
      document: { xml: model("order", true), displayName: "Order" },
    });
    const list = async (request: Record<string, unknown>) => {
      const answer = await one("listBPMN", request);
      return answer.documents.map(({ id }) => id).join("");
    };
    assert.equal(await list({ filter: "displayName = Order*" }), "ab");
    assert.equal(await list({ filter: "metadata.processes.id = order" }), "ab");
    assert.equal(await list({ filter: "metadata.processes.executable = true" }), "ac");
    assert.equal(await list({ filter: "metadata.taskBindings:Orders" }), "a");
    assert.equal(await list({ filter: "labels.team = red OR metadata.processes.id = invoice" }), "ac");
    assert.equal(await list({ filter: "nothing" }), "");
    assert.equal(await list({ orderBy: "displayName desc" }), "bac");
    const first = (await one("listBPMN", {
      filter: "metadata.processes.executable = true",
      orderBy: "display_name",
      pageSize: 1,
      includeTotalSize: true,
    })) as { documents: { id: string }[]; nextPageToken: string; totalSize?: number };
    assert.deepEqual([first.documents[0]?.id, first.totalSize], ["c", 2]);
    const query = {
      filter: "metadata.processes.executable = true",
      pageSize: 1,
      pageToken: first.nextPageToken,
    };
    assert.equal(await list({ ...query, orderBy: "display_name" }), "a");
    assert.match(await reasonOf(one("listBPMN", query)), /^PAGE_TOKEN_INVALID/);
    assert.match(
      await reasonOf(one("listBPMN", { filter: "dispalyName = a" })),
      /did you mean display_name\?/,
    );
    assert.match(await reasonOf(one("listBPMN", { orderBy: "labels" })), /^ORDER_INVALID/);
    // After a change of the content the old process is no longer found.
    await one("updateBPMN", { document: { id: "b", xml: model("other", true) } });
    assert.equal(await list({ filter: "metadata.processes.id = order" }), "a");
    assert.equal(await list({ filter: "metadata.processes.id = other" }), "b");
    await close();
  });

  test("of ten creations of one id at once, one succeeds", async () => {
    const { as, close } = await host(await fresh());
    const results = await Promise.all(
      Array.from({ length: 10 }, () =>
        reasonOf(as("one")("createBPMN", { documentId: "doc", document: { xml } })),
      ),
    );
    assert.equal(results.filter((reason) => reason === "none").length, 1);
    assert.equal(results.filter((reason) => reason.startsWith("RESOURCE_EXISTS")).length, 9);
    await close();
  });

  test("of ten changes with one etag at once, one succeeds and the others are told", async () => {
    const { as, close } = await host(await fresh());
    const one = as("one");
    const { etag } = (await one("createBPMN", { documentId: "doc", document: { xml } })) as unknown as {
      etag: string;
    };
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, at) =>
        reasonOf(one("updateBPMN", { document: { id: "doc", description: `${at}`, etag } })),
      ),
    );
    assert.equal(results.filter((reason) => reason === "none").length, 1);
    assert.equal(results.filter((reason) => reason.startsWith("ETAG_MISMATCH")).length, 9);
    await close();
  });
}
