import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, bpmnXml, reasonOf, startPortico, type TestPortico } from "../support/portico.ts";

let portico: TestPortico;
before(async () => {
  portico = await startPortico();
});
after(() => portico.stop());

const create = (id: string, document: object = {}) =>
  ask(portico.base, "POST", `/api/v1/bpmn?documentId=${id}`, { body: { xml: bpmnXml(), ...document } });

describe("documents over REST", () => {
  test("a created document is read back with its XML, metadata and etag", async () => {
    const created = await create("first", { displayName: "First", labels: { team: "a" } });
    assert.equal(created.status, 201, created.text);
    const read = await ask(portico.base, "GET", "/api/v1/bpmn/first");
    assert.equal(read.json.xml, bpmnXml());
    assert.deepEqual(read.json.metadata.processes, [{ id: "p", displayName: "Order", executable: true }]);
    assert.equal(read.json.metadata.elementCount, 3);
    assert.equal(read.headers.get("etag"), `"${read.json.etag}"`);
    assert.equal((await ask(portico.base, "GET", "/api/v1/bpmn/first?view=BASIC")).json.xml, "");
  });

  test("what was read may be sent back; only a changed field changes, and a stale etag is refused", async () => {
    const created = await create("patch");
    const same = await ask(portico.base, "PATCH", "/api/v1/bpmn/patch", { body: created.json });
    assert.equal(same.status, 200, same.text);
    assert.equal(same.json.latestRevision, "bpmn/patch/revisions/1");
    const stale = await ask(portico.base, "PATCH", "/api/v1/bpmn/patch", {
      body: { displayName: "x", etag: created.json.etag },
    });
    assert.equal(stale.status, 409);
    assert.equal(reasonOf(stale), "ETAG_MISMATCH");
    const byHeader = await ask(portico.base, "PATCH", "/api/v1/bpmn/patch", {
      body: { displayName: "x" },
      headers: { "if-match": `"${created.json.etag}"` },
    });
    assert.equal(byHeader.status, 412);
    const cleared = await ask(portico.base, "PATCH", "/api/v1/bpmn/patch", {
      body: { description: null, labels: { a: "b" } },
      headers: { "if-match": `"${same.json.etag}"` },
    });
    assert.deepEqual(cleared.json.labels, { a: "b" });
    assert.equal(
      (await ask(portico.base, "PATCH", "/api/v1/bpmn/patch", { body: { id: "other" } })).status,
      400,
    );
  });

  test("a changed XML makes a revision, and rollback brings the old content back as a new one", async () => {
    await create("revised");
    const changed = await ask(portico.base, "PATCH", "/api/v1/bpmn/revised?comment=second", {
      body: { xml: bpmnXml("p", "Changed") },
    });
    assert.equal(changed.json.latestRevision, "bpmn/revised/revisions/2");
    const list = await ask(portico.base, "GET", "/api/v1/bpmn/revised/revisions?pageSize=1");
    assert.deepEqual(
      [list.json.revisions[0].name, list.json.revisions[0].comment, list.json.revisions[0].alternateIds],
      ["bpmn/revised/revisions/2", "second", ["latest"]],
    );
    const rest = await ask(
      portico.base,
      "GET",
      `/api/v1/bpmn/revised/revisions?pageSize=1&pageToken=${list.json.nextPageToken}`,
    );
    assert.equal(rest.json.revisions[0].name, "bpmn/revised/revisions/1");
    assert.equal(rest.json.nextPageToken, "");
    const old = await ask(portico.base, "GET", "/api/v1/bpmn/revised/revisions/1");
    assert.equal(old.json.snapshot.xml, bpmnXml());
    const back = await ask(portico.base, "POST", "/api/v1/bpmn/revised/revisions/1:rollback");
    assert.equal(back.json.name, "bpmn/revised/revisions/3");
    assert.equal((await ask(portico.base, "GET", "/api/v1/bpmn/revised")).json.xml, bpmnXml());
  });

  test("a deleted document is hidden from lists, refuses writes, and comes back", async () => {
    await create("gone");
    assert.ok((await ask(portico.base, "DELETE", "/api/v1/bpmn/gone")).json.deleteTime);
    assert.equal((await ask(portico.base, "DELETE", "/api/v1/bpmn/gone")).status, 404);
    const ids = async (query: string) =>
      (await ask(portico.base, "GET", `/api/v1/bpmn${query}`)).json.documents.map(
        (one: { id: string }) => one.id,
      );
    assert.equal((await ids("")).includes("gone"), false);
    assert.equal((await ids("?showDeleted=true")).includes("gone"), true);
    assert.equal(
      (await ask(portico.base, "PATCH", "/api/v1/bpmn/gone", { body: { displayName: "x" } })).status,
      409,
    );
    assert.equal((await ask(portico.base, "POST", "/api/v1/bpmn/gone:undelete")).status, 200);
    assert.equal(
      reasonOf(await ask(portico.base, "POST", "/api/v1/bpmn/gone:undelete")),
      "STATE_TRANSITION_INVALID",
    );
  });

  test("a file goes up and comes down byte for byte, whole and in part", async () => {
    const file = Buffer.from(`${bpmnXml("up")}<!-- ${"ä".repeat(200_000)} -->\n`);
    const up = await ask(
      portico.base,
      "POST",
      "/api/v1/bpmn:upload?metadata.documentId=file&metadata.filename=a.bpmn",
      { body: file, headers: { "content-type": "application/xml" } },
    );
    assert.equal(up.status, 200, up.text);
    const down = await fetch(`${portico.base}/api/v1/bpmn/file:download`);
    assert.deepEqual(Buffer.from(await down.arrayBuffer()), file);
    assert.match(down.headers.get("content-disposition") ?? "", /filename="file.bpmn"/);
    const part = await fetch(`${portico.base}/api/v1/bpmn/file:download`, {
      headers: { range: "bytes=262140-262150" },
    });
    assert.equal(part.status, 206);
    assert.equal(part.headers.get("content-range"), `bytes 262140-262150/${file.length}`);
    assert.deepEqual(Buffer.from(await part.arrayBuffer()), file.subarray(262_140, 262_151));
    const behind = await ask(portico.base, "GET", "/api/v1/bpmn/file:download", {
      headers: { range: "bytes=99999999-" },
    });
    assert.deepEqual([behind.status, behind.headers.get("content-range")], [416, `bytes */${file.length}`]);
    const wrong = await ask(portico.base, "POST", "/api/v1/bpmn:upload?metadata.digest=sha256:00", {
      body: file,
      headers: { "content-type": "application/xml" },
    });
    assert.equal(reasonOf(wrong), "DIGEST_MISMATCH");
  });

  test("a file over 10 MiB is refused", async () => {
    const body = Buffer.alloc(10 * 1024 * 1024 + 1, 32);
    const answer = await ask(portico.base, "POST", "/api/v1/bpmn:upload", {
      body,
      headers: { "content-type": "application/xml" },
    });
    assert.deepEqual([answer.status, reasonOf(answer)], [413, "PAYLOAD_TOO_LARGE"]);
  });

  test("batches are all or nothing and name the item that failed", async () => {
    const request = (documentId: string, xml = bpmnXml()) => ({ documentId, document: { xml } });
    const made = await ask(portico.base, "POST", "/api/v1/bpmn:batchCreate", {
      body: { requests: [request("ba"), request("bb")] },
    });
    assert.deepEqual(
      made.json.documents.map((one: { id: string }) => one.id),
      ["ba", "bb"],
    );
    assert.equal(made.json.documents[1].diagnostics[0].code, "bpmn/duplicate-content");
    const failed = await ask(portico.base, "POST", "/api/v1/bpmn:batchCreate", {
      body: { requests: [request("bc"), request("ba")] },
    });
    assert.equal(failed.status, 409);
    assert.match(failed.json.message, /^requests\[1\]/);
    assert.equal((await ask(portico.base, "GET", "/api/v1/bpmn/bc")).status, 404);
    const read = await ask(portico.base, "GET", "/api/v1/bpmn:batchGet?ids=bb&ids=ba");
    assert.deepEqual(
      read.json.documents.map((one: { id: string }) => one.id),
      ["bb", "ba"],
    );
    assert.equal(
      (await ask(portico.base, "POST", "/api/v1/bpmn:batchDelete", { body: { ids: ["ba", "none"] } })).status,
      404,
    );
    assert.equal((await ask(portico.base, "GET", "/api/v1/bpmn/ba")).json.deleteTime, undefined);
    assert.equal(
      (await ask(portico.base, "POST", "/api/v1/bpmn:batchDelete", { body: { ids: ["ba", "bb"] } })).status,
      204,
    );
  });

  test("validation tells what is wrong without storing anything", async () => {
    const bad = await ask(portico.base, "POST", "/api/v1/bpmn:validate", {
      body: { xml: bpmnXml().replace('targetRef="e"', 'targetRef="nowhere"') },
    });
    assert.equal(bad.json.valid, false);
    assert.match(bad.json.diagnostics[0].message, /nowhere/);
    assert.equal(
      (await ask(portico.base, "POST", "/api/v1/bpmn:validate", { body: { xml: bpmnXml() } })).json.valid,
      true,
    );
  });

  test("the short prefixes reach methods of their plane only", async () => {
    assert.equal((await ask(portico.base, "GET", "/design/bpmn/first")).status, 200);
    assert.equal((await ask(portico.base, "GET", "/api/v1/design/bpmn/first")).status, 200);
    assert.equal((await ask(portico.base, "GET", "/runtime/bpmn/first")).status, 404);
  });

  test("fifty writers with one etag: exactly one wins", async () => {
    const { json } = await create("race");
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_unused, index) =>
        ask(portico.base, "PATCH", "/api/v1/bpmn/race", {
          body: { displayName: `n${index}`, etag: json.etag },
        }),
      ),
    );
    assert.equal(answers.filter((answer) => answer.status === 200).length, 1);
    assert.equal(answers.filter((answer) => answer.status === 409).length, 49);
  });

  test("If-None-Match answers 304 without a body", async () => {
    const read = await ask(portico.base, "GET", "/api/v1/bpmn/first");
    const again = await ask(portico.base, "GET", "/api/v1/bpmn/first", {
      headers: { "if-none-match": read.headers.get("etag") ?? "" },
    });
    assert.deepEqual([again.status, again.text], [304, ""]);
  });
});

/** What is sent | status, reason; the rest is in tests/faults/bad-inputs.test.ts. */
const xml = (inner: string): string => JSON.stringify({ xml: inner });
const json = { "content-type": "application/json" };
const refusals: readonly {
  readonly what: string;
  readonly send: readonly [string, string, (string | undefined)?, Record<string, string>?];
  readonly status: number;
  readonly reason?: string;
}[] = [
  {
    what: "a JSON body over 1 MiB",
    send: ["POST", "/api/v1/bpmn", `"${"a".repeat(1024 * 1024)}"`, json],
    status: 413,
    reason: "PAYLOAD_TOO_LARGE",
  },
  {
    what: "an unknown query parameter",
    send: ["GET", "/api/v1/bpmn?pageSiz=1"],
    status: 400,
    reason: "FIELD_UNKNOWN",
  },
  {
    what: "a parameter given twice",
    send: ["GET", "/api/v1/bpmn?pageSize=1&page_size=2"],
    status: 400,
    reason: "FIELD_REPEATED",
  },
  {
    what: "a parameter that the path binds",
    send: ["GET", "/api/v1/bpmn/a?id=b"],
    status: 400,
    reason: "FIELD_REPEATED",
  },
  {
    what: "a number that is none",
    send: ["GET", "/api/v1/bpmn?pageSize=1.5"],
    status: 400,
    reason: "FIELD_INVALID",
  },
  {
    what: "a number over 32 bits",
    send: ["GET", "/api/v1/bpmn?pageSize=2147483648"],
    status: 400,
    reason: "FIELD_INVALID",
  },
  {
    what: "an unknown enum name",
    send: ["GET", "/api/v1/bpmn?view=HUGE"],
    status: 400,
    reason: "FIELD_INVALID",
  },
  {
    what: "a missing document",
    send: ["GET", "/api/v1/bpmn/none"],
    status: 404,
    reason: "RESOURCE_NOT_FOUND",
  },
  {
    what: "a malformed id on a read",
    send: ["GET", "/api/v1/bpmn/UPPER%20case"],
    status: 404,
    reason: "RESOURCE_NOT_FOUND",
  },
  {
    what: "a malformed id on a create",
    send: ["POST", "/api/v1/bpmn?documentId=Bad!", xml(bpmnXml()), json],
    status: 400,
    reason: "FIELD_INVALID",
  },
  {
    what: "a body on GET by method name",
    send: ["POST", "/portico.bpmn.v1.BPMNService/GetBPMN?id=a", "{}", json],
    status: 400,
    reason: "FIELD_UNKNOWN",
  },
  {
    what: "a stream of requests that is no array",
    send: ["POST", "/portico.bpmn.v1.BPMNService/UploadBPMN", "{}", json],
    status: 400,
    reason: "MESSAGE_MALFORMED",
  },
];

describe("bad input over REST", () => {
  for (const { what, send, status, reason } of refusals) {
    test(`${what} is refused with ${status} ${reason ?? ""}`, async () => {
      const [method, target, body, headers] = send;
      const answer = await ask(portico.base, method, target, {
        ...(body === undefined ? {} : { body }),
        ...(headers === undefined ? {} : { headers }),
      });
      assert.equal(answer.status, status, answer.text.slice(0, 300));
      if (reason !== undefined) assert.equal(reasonOf(answer), reason);
      assert.match(answer.headers.get("x-request-id") ?? "", /^req-/);
    });
  }

  test("every error names a field as JSON does, whoever finds it", async () => {
    for (const [query, field] of [
      ["pageSize=-1", "pageSize"],
      ["pageToken=abc.def", "pageToken"],
      ["orderBy=labels", "orderBy"],
      ["orderBy=id,id", "orderBy"],
    ] as const) {
      const { status, json } = await ask(portico.base, "GET", `/api/v1/bpmn?${query}`);
      assert.equal(status, 400);
      assert.match(json.message, new RegExp(`^${field}: `));
      assert.equal(json.details[0].metadata.field, field);
    }
  });

  test("an id that was left out is not found, and its field is named", async () => {
    const empty = (collection: string, field: string, resource = `${collection}/`) =>
      `${field}: is empty, and there is no ${resource} without; give that of the one that is meant, as the list of ${collection} has it`;
    assert.ok((await create("left-out")).status < 300);
    for (const [method, body, message] of [
      ["portico.bpmn.v1.BPMNService/GetBPMN", {}, empty("bpmn", "id")],
      ["portico.bpmn.v1.BPMNService/DeleteBPMN", {}, empty("bpmn", "id")],
      [
        "portico.bpmn.v1.BPMNService/GetBPMNRevision",
        { id: "left-out" },
        empty("revisions", "revision", "bpmn/left-out/revisions/"),
      ],
      ["portico.users.v1.RoleService/GetRole", {}, empty("roles", "id")],
      ["portico.bpmn.v1.BPMNService/GetBPMN", { id: "none" }, "there is no bpmn/none"],
    ] as const) {
      const { status, json } = await ask(portico.base, "POST", `/${method}`, { body });
      assert.deepEqual([status, json.message], [404, message], method);
      assert.equal(json.details[0].metadata.field, /^(\w+): is empty/.exec(message)?.[1]);
    }
  });

  test("a problem document is sent to those who ask for one", async () => {
    const answer = await ask(portico.base, "GET", "/api/v1/bpmn/none", {
      headers: { accept: "application/problem+json" },
    });
    assert.equal(answer.headers.get("content-type"), "application/problem+json; charset=utf-8");
    assert.deepEqual([answer.json.status, answer.json.title], [404, "RESOURCE_NOT_FOUND"]);
  });

  test("the client's own request id comes back, unless it is malformed", async () => {
    const own = await ask(portico.base, "GET", "/api/v1/bpmn", { headers: { "x-request-id": "abc-1" } });
    assert.equal(own.headers.get("x-request-id"), "abc-1");
    const bad = await ask(portico.base, "GET", "/api/v1/bpmn", { headers: { "x-request-id": "a b" } });
    assert.match(bad.headers.get("x-request-id") ?? "", /^req-/);
  });
});
