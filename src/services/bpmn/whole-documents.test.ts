import assert from "node:assert/strict";
import { test } from "node:test";
import type { BPMNDocument } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import type { Tables } from "#storage/storage.ts";
import type { Summary } from "./analyze.ts";
import type { BpmnTables, DocumentColumns } from "./tables.ts";
import { WholeDocuments } from "./whole-documents.ts";

const call = { principal: { tenant: "default" } } as CallHead;

const summary: Summary = {
  ...{ processes: [], elementCount: 0, taskBindings: [] },
  ...{ exporter: "", exporterVersion: "", hasDiagram: false },
};

/** Documents that are all alike but for their ids, and what of them was read. */
function documents() {
  const loaded: string[] = [];
  let version = 1;
  const columns = (id: string): DocumentColumns => ({
    ...{ tenant: "default", id, uid: id, revision: 1, version, display_name: id, description: "" },
    ...{ labels: "{}", digest: id, size: 3, creator: "", editor: "" },
    summary: JSON.stringify(summary),
    ...{ created_at: 0, updated_at: 0, deleted_at: null },
  });
  const whole = new WholeDocuments({} as Tables<BpmnTables>, {
    stamp: (_tenant, id) => ({ stamp: `${String(id)}${version}` }),
    document: (_tenant, id) => {
      loaded.push(String(id));
      return columns(String(id));
    },
    chunk: () => ({ bytes: Buffer.from("<a>") }),
  });
  return {
    /** These reads answer at once. */
    get: (id: string) => whole.get(id, call) as BPMNDocument,
    /** What was read from the database since the last time. */
    loads: () => loaded.splice(0).join(),
    change: () => {
      version += 1;
    },
  };
}

test("a document that is asked for again is kept, and read again when it has changed", () => {
  const { get, loads, change } = documents();
  get("a");
  const kept = get("a");
  assert.equal(loads(), "a,a");
  assert.equal(get("a"), kept);
  assert.equal(loads(), "");
  change();
  const changed = get("a");
  assert.notEqual(changed, kept);
  assert.equal(get("a"), changed);
  assert.equal(loads(), "a");
});

test("who reads all there are leaves what others have open where it is", () => {
  const { get, loads } = documents();
  get("open");
  const kept = get("open");
  for (let round = 0; round < 3; round += 1) for (let at = 0; at < 2000; at += 1) get(`d${at}`);
  loads();
  assert.equal(get("open"), kept);
  assert.equal(loads(), "");
  // None of them is kept: the last is read, and once more.
  get("d1999");
  assert.equal(loads(), "d1999");
});

test("of those that are asked for again the last 512 are kept", () => {
  const { get, loads } = documents();
  for (let at = 0; at < 513; at += 1) for (const id of [`d${at}`, `d${at}`]) get(id);
  loads();
  for (const id of ["d512", "d1", "d0"]) get(id);
  assert.equal(loads(), "d0");
});
