/** What spans say is what happened: method, status and names as OpenTelemetry's conventions have them. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { after, before, describe, test } from "node:test";
import { BPMNService } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { connect, unary } from "../support/grpc.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { ask, bpmnXml, startPortico, type TestPortico } from "../support/portico.ts";

let receiver: OtlpReceiver;
let portico: TestPortico;
let etag = "";
let ids = 0;

before(async () => {
  receiver = await startOtlpReceiver();
  portico = await startPortico({ otlpEndpoint: receiver.url, publicUrl: "https://edge.example" });
  const made = await ask(portico.base, "POST", "/api/v1/bpmn?documentId=first", { body: { xml: bpmnXml() } });
  etag = made.headers.get("etag") ?? "";
});
after(async () => {
  await portico.stop();
  await receiver.close();
});

/** A trace of its own, that its caller wants. */
function traced(): { traceId: string; headers: Record<string, string> } {
  ids += 1;
  const traceId = ids.toString(16).padStart(32, "a");
  return { traceId, headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` } };
}

async function spanOf(traceId: string): Promise<ReceivedSpan> {
  const [span, ...more] = await receiver.find((one) => one.traceId === traceId);
  assert.ok(span !== undefined, "no span came");
  assert.deepEqual(more, []);
  return span;
}

/** By node's own client: `fetch` has no HEAD with a length, and hides what it does not like. */
async function send(
  method: string,
  target: string,
  { headers = {}, body }: { readonly headers?: Record<string, string>; readonly body?: object },
): Promise<number> {
  const json = body === undefined ? {} : { "content-type": "application/json" };
  const request = httpRequest(portico.base + target, { method, headers: { ...json, ...headers } });
  request.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = (await once(request, "response")) as [IncomingMessage];
  response.resume();
  await once(response, "end");
  return response.statusCode ?? 0;
}

describe("a span over REST", () => {
  const xml = bpmnXml("q", "Other");
  const rows: readonly (readonly [
    what: string,
    method: string,
    target: string,
    about: () => { readonly headers?: Record<string, string>; readonly body?: object },
    name: string,
    status: number,
  ])[] = [
    [
      "what was made",
      "POST",
      "/api/v1/bpmn?documentId=made",
      () => ({ body: { xml } }),
      "POST /api/v1/bpmn",
      201,
    ],
    ["what was read", "GET", "/api/v1/bpmn/first", () => ({}), "GET /api/v1/bpmn/{id}", 200],
    ["HEAD", "HEAD", "/api/v1/bpmn/first", () => ({}), "HEAD /api/v1/bpmn/{id}", 200],
    [
      "what the client has",
      "GET",
      "/api/v1/bpmn/first",
      () => ({ headers: { "if-none-match": etag } }),
      "GET /api/v1/bpmn/{id}",
      304,
    ],
    [
      "a part",
      "GET",
      "/api/v1/bpmn/first:download",
      () => ({ headers: { range: "bytes=0-10" } }),
      "GET /api/v1/bpmn/{id}:download",
      206,
    ],
    [
      "a stale etag",
      "PATCH",
      "/api/v1/bpmn/first",
      () => ({ headers: { "if-match": '"nope"' }, body: { displayName: "x" } }),
      "PATCH /api/v1/bpmn/{document.id}",
      412,
    ],
    ["what is not there", "GET", "/api/v1/bpmn/none", () => ({}), "GET /api/v1/bpmn/{id}", 404],
    ["what is deleted", "DELETE", "/api/v1/bpmn/made", () => ({}), "DELETE /api/v1/bpmn/{id}", 200],
    ["a path that nobody has", "POST", "/nothing", () => ({}), "POST", 404],
    [
      "a body of a wrong type",
      "POST",
      "/api/v1/bpmn",
      () => ({ headers: { "content-type": "text/xml" } }),
      "POST",
      400,
    ],
  ];
  for (const [what, method, target, about, name, expected] of rows)
    test(`says what was answered: ${what}`, async () => {
      const { traceId, headers } = traced();
      const given = about();
      const status = await send(method, target, { ...given, headers: { ...given.headers, ...headers } });
      const span = await spanOf(traceId);
      const { attributes } = span;
      if (expected !== 400) assert.equal(status, expected);
      assert.equal(attributes["http.response.status_code"], status);
      assert.equal(attributes["http.request.method"], method);
      assert.equal(span.name, name);
      assert.equal(attributes["url.path"], target.split("?", 1)[0]);
      assert.equal(span.parentSpanId, "00f067aa0ba902b7");
      assert.equal(span.kind, 2);
      // A mistake of the caller's is none of a server's.
      assert.equal(attributes["error.type"], undefined);
      assert.equal(span.status.code ?? 0, 0);
      assert.equal(attributes["portico.reason"] !== undefined, status >= 400);
      assert.deepEqual([attributes["server.address"], attributes["server.port"]], ["edge.example", 443]);
    });
});

test("a span over gRPC has the status that was answered, as the stable conventions call it", async () => {
  const { traceId, headers } = traced();
  const client = connect(portico.grpcPort);
  await assert.rejects(unary(client, BPMNService.method.getBPMN, { id: "none" }, { metadata: headers }));
  client.close();
  const { attributes } = await spanOf(traceId);
  assert.deepEqual(
    [attributes["rpc.status_code"], attributes["rpc.system.name"], attributes["server.address"]],
    ["NOT_FOUND", "grpc", "edge.example"],
  );
  assert.equal(attributes["error.type"], undefined);
  assert.equal(attributes["portico.reason"], "RESOURCE_NOT_FOUND");
});
