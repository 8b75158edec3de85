/** AsyncAPI's own parser, and a JSON Schema validator, on what Portico says of itself. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Parser } from "@asyncapi/parser";
import { create, fromJson, toJson } from "@bufbuild/protobuf";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describeAsyncApi, describeMessage, messagesOf } from "#gateway/describe/describe.ts";
import { BPMNDocumentSchema } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { type EchoServer, startEcho } from "../support/echo.ts";
import { make, noise } from "../support/echo-service.ts";
import { ask, bpmnXml, startPortico, type TestPortico } from "../support/portico.ts";

describe("the documents for machines", () => {
  let portico: TestPortico;
  let echo: EchoServer;
  before(async () => {
    portico = await startPortico();
    echo = await startEcho();
  });
  after(async () => {
    await portico.stop();
    await echo.close();
  });
  const parse = async (text: string): Promise<void> => {
    const { diagnostics } = await new Parser().parse(text);
    const errors = diagnostics.filter(({ severity }) => severity === 0);
    assert.deepEqual(
      errors.map(({ message, path }) => `${path.join(".")}: ${message}`),
      [],
    );
  };

  test("/asyncapi.json has no error, with credentials and without", async () => {
    const { status, text, json } = await ask(portico.base, "GET", "/asyncapi.json");
    assert.equal(status, 200);
    await parse(text);
    const options = { serverUrl: "https://api.example.org", version: "1.0.0", authentication: true };
    await parse(JSON.stringify(describeAsyncApi(echo.catalog, options)));
    const addresses = Object.values(json.channels as Record<string, { address: string }>).map(
      (one) => one.address,
    );
    assert.ok(addresses.includes("/ws"));
    assert.equal(addresses.filter((address) => address === "/api/v1/events:subscribe").length, 2);
  });

  test("/asyncapi.json names every method that streams, and every kind of it", () => {
    const options = { serverUrl: "http://localhost:8000", version: "1.0.0", authentication: false };
    const { channels } = describeAsyncApi(echo.catalog, options) as { channels: Record<string, unknown> };
    for (const name of ["ServerStream", "ClientStream", "BidiStream"])
      assert.ok(`test_v1_Echo_${name}_socket` in channels, name);
    assert.ok("test_v1_Echo_ServerStream_events" in channels);
    assert.ok(!("test_v1_Echo_Unary_socket" in channels));
  });

  test("where /asyncapi.json has server-sent events, there are some", async () => {
    await ask(portico.base, "POST", "/api/v1/bpmn?documentId=heard", { body: { xml: bpmnXml() } });
    const { json } = await ask(portico.base, "GET", "/asyncapi.json");
    const channels = Object.entries(json.channels as Record<string, { address: string }>);
    const events = channels.filter(([name]) => name.endsWith("_events"));
    assert.ok(events.length > 0);
    for (const [name, { address }] of events) {
      const gone = new AbortController();
      const answer = await fetch(`${portico.base}${address.replace("{id}", "heard")}?topics=bpmn/*&after=0`, {
        headers: { accept: "text/event-stream" },
        signal: gone.signal,
      });
      assert.match(answer.headers.get("content-type") ?? "", /^text\/event-stream/, name);
      gone.abort();
    }
    assert.ok(!("portico_bpmn_v1_BPMNService_DownloadBPMN_events" in json.channels));
  });

  test("every message has a schema that compiles by itself", async () => {
    const { json } = await ask(portico.base, "GET", "/schemas");
    const { schemas } = json as { schemas: { name: string; url: string }[] };
    assert.ok(schemas.length > 100);
    for (const { name, url } of schemas) {
      const { status, text, headers } = await ask(portico.base, "GET", url);
      assert.equal(status, 200, name);
      assert.match(headers.get("content-type") ?? "", /^application\/schema\+json/);
      const ajv = new Ajv2020({ strict: false, validateFormats: false });
      assert.equal(typeof ajv.compile(JSON.parse(text)), "function", name);
    }
    assert.equal((await ask(portico.base, "GET", "/schemas/none.Such")).status, 404);
  });

  test("what is answered is valid, and what is wrong is not", async () => {
    const created = await ask(portico.base, "POST", "/api/v1/bpmn?documentId=valid", {
      body: { xml: bpmnXml(), labels: { team: "a" } },
    });
    const schema = (await ask(portico.base, "GET", `/schemas/${BPMNDocumentSchema.typeName}`)).json;
    const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(schema);
    assert.ok(validate(created.json), JSON.stringify(validate.errors));
    assert.equal(validate({ ...(created.json as object), labels: { team: 1 } }), false);
    assert.equal(validate({ ...(created.json as object), id: 7 }), false);
  });

  test("every kind of field in ProtoJSON's form is valid", () => {
    const desc = echo.message("test.v1.Everything");
    const schema = describeMessage(echo.catalog, desc);
    const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(schema);
    const registry = echo.catalog.registry;
    const message = make(desc, { text: noise(5), int64Value: 2n ** 60n });
    assert.ok(validate(toJson(desc, message, { registry })), JSON.stringify(validate.errors));
    const again = fromJson(desc, toJson(desc, create(desc)), { registry });
    assert.ok(
      validate(toJson(desc, again, { registry, alwaysEmitImplicit: true })),
      JSON.stringify(validate.errors),
    );
    assert.equal(messagesOf(echo.catalog).has("test.v1.Everything"), true);
  });
});
