/** gRPC-Web through @connectrpc/connect-web in this process; the browser's turn is tests/browser/grpc-web.test.ts. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { ErrorInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import { BPMNService } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { EventService } from "#gen/portico/events/v1/events_pb.ts";
import { sendHttp1, sendHttp2 } from "../support/http-case.ts";
import { ask, bpmnXml, startPortico, type TestPortico } from "../support/portico.ts";

for (const useBinaryFormat of [true, false])
  describe(`gRPC-Web with ${useBinaryFormat ? "binary" : "JSON"} messages through connect-web`, () => {
    let portico: TestPortico;
    let transport: Transport;
    let headers: Readonly<Record<string, string>>;
    before(async () => {
      portico = await startPortico({ authentication: "on" });
      headers = { "x-api-key": portico.key };
      transport = createGrpcWebTransport({ baseUrl: portico.base, useBinaryFormat });
      const created = await ask(portico.base, "POST", "/api/v1/bpmn?documentId=seen", {
        ...{ headers, body: { xml: bpmnXml() } },
      });
      assert.ok(created.status < 300, created.text);
    });
    after(() => portico.stop());

    test("a unary call is answered, with trailers", async () => {
      let status: string | null = null;
      const list = await createClient(BPMNService, transport).listBPMN(
        {},
        {
          headers,
          onTrailer: (received) => {
            status = received.get("grpc-status");
          },
        },
      );
      assert.deepEqual(
        list.documents.map(({ id }) => id),
        ["seen"],
      );
      assert.equal(status, "0");
    });

    test("a stream of events is followed until it is left", async () => {
      const subjects: string[] = [];
      const events = createClient(EventService, transport).subscribe(
        { topics: ["bpmn/*"], after: "0" },
        { headers },
      );
      for await (const { subject } of events) {
        subjects.push(subject);
        break;
      }
      assert.deepEqual(subjects, ["bpmn/seen"]);
    });

    test("an error has its code and its details, and a missing credential is one", async () => {
      const { getBPMN } = createClient(BPMNService, transport);
      const failed = async (sent: Readonly<Record<string, string>>): Promise<unknown[]> => {
        const error = await getBPMN({ id: "none" }, { headers: sent }).then(
          () => new ConnectError("it did not fail", Code.Unknown),
          (thrown: unknown) => ConnectError.from(thrown),
        );
        return [error.code, error.findDetails(ErrorInfoSchema)[0]?.reason];
      };
      assert.deepEqual(await failed(headers), [Code.NotFound, "RESOURCE_NOT_FOUND"]);
      assert.deepEqual(await failed({}), [Code.Unauthenticated, "CREDENTIAL_MISSING"]);
    });
  });

describe("gRPC-Web as text that is no base64", () => {
  let portico: TestPortico;
  before(async () => {
    portico = await startPortico();
  });
  after(() => portico.stop());

  const whole = Buffer.from([0, 0, 0, 0, 2, 0x0a, 0]).toString("base64");
  const bodies = { "other letters": "!!!!", "a group that is cut": `${whole}AA`, "one letter": "A" };
  const targets = { unary: "GetBPMN", "a stream of requests": "UploadBPMN" };
  for (const [what, body] of Object.entries(bodies))
    for (const [kind, method] of Object.entries(targets))
      for (const send of [sendHttp1, sendHttp2])
        test(`${what}, ${kind}, ${send === sendHttp1 ? "HTTP/1" : "h2c"}: is refused, and nothing else suffers`, async () => {
          const answer = await send(portico.httpPort, {
            method: "POST",
            target: `/portico.bpmn.v1.BPMNService/${method}`,
            headers: [["content-type", "application/grpc-web-text+proto"]],
            body: Buffer.from(body),
          });
          assert.equal(answer.status, 200);
          const said = Buffer.from(answer.body.toString("latin1"), "base64").toString("latin1");
          assert.match(said, /grpc-status: 13\r\n/);
          assert.match(said, /grpc-message: the body is not base64/);
        });
});
