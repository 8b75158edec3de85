/** Connect as people meet it who write requests by hand: whatever is wrong with one, the answer says so in Connect's own words. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { ErrorInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import { ask, bpmnXml, startPortico, type TestPortico } from "../support/portico.ts";

const path = "/portico.bpmn.v1.BPMNService/GetBPMN";
const connect = { "connect-protocol-version": "1", "content-type": "application/json" };

interface ConnectError {
  readonly code: string;
  readonly message: string;
  readonly details: readonly { readonly type: string; readonly value: string }[];
}

function reasonOf({ details }: ConnectError): string | undefined {
  const info = details.find(({ type }) => type === "google.rpc.ErrorInfo");
  return info && fromBinary(ErrorInfoSchema, Buffer.from(info.value, "base64")).reason;
}

describe("Connect by hand", () => {
  let portico: TestPortico;
  before(async () => {
    portico = await startPortico();
    const created = await ask(portico.base, "POST", "/api/v1/bpmn?documentId=seen", {
      body: { xml: bpmnXml() },
    });
    assert.equal(created.status, 201);
  });
  after(() => portico.stop());

  const refused: readonly [
    what: string,
    headers: Readonly<Record<string, string>>,
    method: string,
    status: number,
    message: RegExp,
    header?: readonly [name: string, value: string],
  ][] = [
    [
      "another content type",
      { ...connect, "content-type": "text/plain" },
      ...(["POST", 415, /application\/json, application\/proto/] as const),
      ["accept-post", "application/json, application/proto"],
    ],
    [
      "another charset",
      { ...connect, "content-type": "application/json; charset=latin1" },
      ...(["POST", 415, /in UTF-8/] as const),
    ],
    ["another HTTP method", connect, "PUT", 405, /GET, POST, not by PUT/, ["allow", "GET, POST"]],
  ];
  // As text: of JSON a client would take the code, and the protocol has none for these.
  for (const [what, headers, method, status, message, header] of refused)
    test(`${what} is refused with ${status}, and why`, async () => {
      const answer = await ask(portico.base, method, path, { headers, body: '{"id":"seen"}' });
      assert.equal(answer.status, status, answer.text);
      assert.match(answer.headers.get("content-type") ?? "", /^text\/plain/);
      assert.match(answer.text, message);
      if (header !== undefined) assert.equal(answer.headers.get(header[0]), header[1]);
    });

  test("another version of the protocol is refused, and which there is", async () => {
    const answer = await ask(portico.base, "POST", path, {
      headers: { ...connect, "connect-protocol-version": "2" },
      body: '{"id":"seen"}',
    });
    assert.equal(answer.status, 400);
    assert.deepEqual(
      [answer.json.code, reasonOf(answer.json)],
      ["invalid_argument", "PROTOCOL_VERSION_UNKNOWN"],
    );
    assert.match(answer.json.message, /send 1/);
  });

  test("UTF-8 may be said, in any letters", async () => {
    for (const type of ["application/json; charset=UTF-8", 'Application/JSON;charset="utf-8"']) {
      const answer = await ask(portico.base, "POST", path, {
        headers: { ...connect, "content-type": type },
        body: '{"id":"seen"}',
      });
      assert.equal(answer.status, 200, type);
    }
  });

  const queries: readonly [what: string, query: string, message: RegExp][] = [
    ["two messages", "encoding=json&message={}&message={}", /^message: is given more than once/],
    ["base64 with a letter too many", "encoding=json&base64=1&message=eyJpZ", /^message: is not base64/],
    [
      "bytes that are no text",
      "encoding=json&message=%7B%22id%22:%22%ff%22%7D",
      /^message: has a percent-enc/,
    ],
  ];
  for (const [what, query, message] of queries)
    test(`GET with ${what} is refused`, async () => {
      const answer = await ask(portico.base, "GET", `${path}?connect=v1&${query}`);
      assert.equal(answer.status, 400, answer.text);
      assert.match(answer.json.message, message);
    });

  test("GET takes a replacement character that was meant", async () => {
    const answer = await ask(
      portico.base,
      "GET",
      `${path}?connect=v1&encoding=json&message=${encodeURIComponent('{"id":"\uFFFD"}')}`,
    );
    assert.equal(answer.status, 404, answer.text);
  });

  test("GET without connect=v1 is told of it, where the method has a GET", async () => {
    const answer = await ask(portico.base, "GET", `${path}?encoding=json&message={}`);
    assert.equal(answer.status, 405);
    assert.match(answer.json.message, /connect=v1/);
    const changes = await ask(portico.base, "GET", "/portico.bpmn.v1.BPMNService/DeleteBPMN");
    assert.doesNotMatch(changes.json.message, /connect=v1/);
  });
});
