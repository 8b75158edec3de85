/** What answers have beside a body, from a whole Portico: places and links that lead somewhere, as its public address says. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, bpmnXml, startPortico, type TestPortico } from "../support/portico.ts";

describe("REST's answers", () => {
  let portico: TestPortico;
  before(async () => {
    portico = await startPortico();
  });
  after(() => portico.stop());
  const make = (id: string, query = "") =>
    ask(portico.base, "POST", `/api/v1/bpmn?documentId=${id}${query}`, { body: { xml: bpmnXml(id) } });

  test("what was made is read at its Location", async () => {
    const made = await make("placed");
    assert.equal(made.status, 201, made.text);
    const location = made.headers.get("location") ?? "";
    assert.equal(location, `http://localhost:${portico.httpPort}/api/v1/bpmn/placed`);
    const read = await ask(portico.base, "GET", new URL(location).pathname);
    assert.equal(read.json.uid, made.json.uid);
    assert.equal(read.headers.get("etag"), made.headers.get("etag"));
  });

  test("by a short prefix too", async () => {
    const made = await ask(portico.base, "POST", "/design/bpmn?documentId=short", {
      body: { xml: bpmnXml() },
    });
    assert.deepEqual(
      [made.status, new URL(made.headers.get("location") ?? "").pathname],
      [201, "/api/v1/bpmn/short"],
    );
  });

  test("what was only checked was not made", async () => {
    const checked = await make("checked", "&validateOnly=true");
    assert.deepEqual([checked.status, checked.headers.get("location")], [200, null]);
    assert.equal((await ask(portico.base, "GET", "/api/v1/bpmn/checked")).status, 404);
  });

  test("the public address is the Location's and the links'", async () => {
    const behind = await startPortico({ publicUrl: "https://api.example.org" });
    try {
      for (const id of ["one", "two"]) {
        const made = await ask(behind.base, "POST", `/api/v1/bpmn?documentId=${id}`, {
          body: { xml: bpmnXml(id) },
        });
        assert.equal(made.headers.get("location"), `https://api.example.org/api/v1/bpmn/${id}`);
      }
      const listed = await ask(behind.base, "GET", "/api/v1/bpmn?pageSize=1");
      assert.match(
        listed.headers.get("link") ?? "",
        /^<https:\/\/api\.example\.org\/api\/v1\/bpmn\?pageSize=1&pageToken=[^>]+>; rel="next"$/,
      );
    } finally {
      await behind.stop();
    }
  });

  test("links lead through all pages, with filter and order", async () => {
    for (let index = 0; index < 5; index += 1) await make(`listed-${index}`);
    const filter = encodeURIComponent('id = "listed-*"');
    let target: string | undefined = `/api/v1/bpmn?pageSize=2&filter=${filter}&orderBy=id%20desc&view=BASIC`;
    const ids: string[] = [];
    let pages = 0;
    while (target !== undefined && pages < 10) {
      const { status, json, headers, text }: Awaited<ReturnType<typeof ask>> = await ask(
        portico.base,
        "GET",
        target,
      );
      assert.equal(status, 200, text);
      ids.push(...json.documents.map(({ id }: { id: string }) => id));
      const [, next] = /^<([^>]+)>; rel="next"$/.exec(headers.get("link") ?? "") ?? [];
      target = next === undefined ? undefined : new URL(next).pathname + new URL(next).search;
      pages += 1;
    }
    assert.deepEqual(ids, ["listed-4", "listed-3", "listed-2", "listed-1", "listed-0"]);
    assert.equal(pages, 3);
  });

  test("HEAD has the headers of GET", async () => {
    const get = await ask(portico.base, "GET", "/api/v1/bpmn?pageSize=1&includeTotalSize=true");
    const head = await ask(portico.base, "HEAD", "/api/v1/bpmn?pageSize=1&includeTotalSize=true");
    assert.equal(head.text, "");
    for (const name of ["x-total-count", "content-length"])
      assert.equal(head.headers.get(name), get.headers.get(name), name);
    assert.match(head.headers.get("link") ?? "", /rel="next"/);
  });

  test("what has no answer is 204 without a body, and so on a connection that goes on", async () => {
    await make("gone");
    const done = await ask(portico.base, "POST", "/api/v1/bpmn:batchDelete", { body: { ids: ["gone"] } });
    assert.deepEqual(
      [done.status, done.text, done.headers.get("content-type"), done.headers.get("content-length")],
      [204, "", null, null],
    );
  });

  test("JSON is laid out for people who ask for it, errors too", async () => {
    const plain = await ask(portico.base, "GET", "/api/v1/bpmn/placed");
    const pretty = await ask(portico.base, "GET", "/api/v1/bpmn/placed?$prettyPrint");
    assert.equal(pretty.text, `${JSON.stringify(plain.json, null, 2)}\n`);
    const error = await ask(portico.base, "GET", "/api/v1/bpmn/none?%24prettyPrint=true");
    assert.equal(error.text, `${JSON.stringify(error.json, null, 2)}\n`);
    const uploaded = await ask(
      portico.base,
      "POST",
      "/api/v1/bpmn:upload?$prettyPrint&metadata.displayName=Laid",
      {
        body: Buffer.from(bpmnXml("laid")),
        headers: { "content-type": "application/xml" },
      },
    );
    assert.equal(uploaded.status, 200);
    assert.equal(uploaded.text, `${JSON.stringify(uploaded.json, null, 2)}\n`);
  });
});
