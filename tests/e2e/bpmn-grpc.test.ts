import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import type { Client, ServiceError } from "@grpc/grpc-js";
import { StatusSchema } from "#gen/google/rpc/status_pb.ts";
import { Health } from "#gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "#gen/grpc/reflection/v1/reflection_pb.ts";
import { BPMNService, GetBPMNRequestSchema } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { clientStream, connect, serverStream, unary } from "../support/grpc.ts";
import { bpmnXml, startPortico, type TestPortico } from "../support/portico.ts";

let portico: TestPortico;
let client: Client;
before(async () => {
  portico = await startPortico();
  client = connect(portico.grpcPort);
  await unary(client, BPMNService.method.createBPMN, { documentId: "order", document: { xml: bpmnXml() } });
});
after(async () => {
  client.close();
  await portico.stop();
});

const failureOf = (promise: Promise<unknown>): Promise<ServiceError> =>
  promise.then(
    () => assert.fail("the call succeeded"),
    (error: ServiceError) => error,
  );

describe("documents over gRPC", () => {
  for (const port of ["httpPort", "grpcPort"] as const) {
    test(`are read on ${port}`, async () => {
      const other = connect(portico[port]);
      const read = await unary(other, BPMNService.method.getBPMN, { id: "order" });
      other.close();
      assert.deepEqual([read.xml, read.sizeBytes], [bpmnXml(), BigInt(Buffer.byteLength(bpmnXml()))]);
    });
  }

  test("go up in chunks and come down in chunks", async () => {
    const file = Buffer.from(`${bpmnXml("up")}<!-- ${"x".repeat(600_000)} -->`);
    const chunks = [file.subarray(0, 100), file.subarray(100, 300_000), file.subarray(300_000)];
    const up = await clientStream(client, BPMNService.method.uploadBPMN, [
      { payload: { case: "metadata", value: { documentId: "up" } } },
      ...chunks.map((value) => ({ payload: { case: "chunk" as const, value } })),
    ]);
    assert.equal(up.id, "up");
    const down = await serverStream(client, BPMNService.method.downloadBPMN, { id: "up" });
    assert.ok(down.length > 1);
    assert.deepEqual(Buffer.concat(down.map((part) => part.data)), file);
  });

  test("an error carries its reason and the request id in its details", async () => {
    const error = await failureOf(
      unary(client, BPMNService.method.getBPMN, { id: "none" }, { metadata: { "x-request-id": "my-id" } }),
    );
    assert.equal(error.code, 5);
    const [bytes] = error.metadata.get("grpc-status-details-bin");
    const status = fromBinary(StatusSchema, bytes as Buffer);
    assert.deepEqual(
      status.details.map((detail) => detail.typeUrl.split(".").at(-1)),
      ["ErrorInfo", "RequestInfo"],
    );
    assert.match(Buffer.from(status.details[0]!.value).toString(), /RESOURCE_NOT_FOUND/);
    assert.match(Buffer.from(status.details[1]!.value).toString(), /my-id/);
  });

  test("a foreign -bin value that is not base64 is refused, a good one passes", async () => {
    assert.equal(
      (
        await unary(
          client,
          BPMNService.method.getBPMN,
          { id: "order" },
          { metadata: { "a-bin": Buffer.from([1, 2]) } },
        )
      ).id,
      "order",
    );
    assert.deepEqual(
      (await rawCall("/portico.bpmn.v1.BPMNService/GetBPMN", frame(get), { "a-bin": "***" }))["grpc-status"],
      "3",
    );
  });
});

describe("health and reflection", () => {
  test("health knows the hosted services and refuses others", async () => {
    assert.equal((await unary(client, Health.method.check, { service: BPMNService.typeName })).status, 1);
    assert.equal((await failureOf(unary(client, Health.method.check, { service: "nobody" }))).code, 5);
    const known = Object.keys((await unary(client, Health.method.list, {})).statuses);
    for (const name of ["", "grpc.health.v1.Health", BPMNService.typeName])
      assert.ok(known.includes(name), name);
  });

  test("reflection gives files as they were compiled, custom options included", async () => {
    const stream = client.makeBidiStreamRequest(
      "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
      (message: Uint8Array) => Buffer.from(message),
      (bytes: Buffer) => bytes,
    );
    const { input, output } = ServerReflection.method.serverReflectionInfo;
    stream.write(
      toBinary(
        input,
        create(input, {
          messageRequest: { case: "fileContainingSymbol", value: "portico.bpmn.v1.BPMNService.GetBPMN" },
        }),
      ),
    );
    const [bytes] = (await stream.take(1).toArray()) as Buffer[];
    stream.cancel();
    const answer = fromBinary(output, bytes!);
    assert.ok(answer.messageResponse.case === "fileDescriptorResponse");
    const files = answer.messageResponse.value.fileDescriptorProto.map((file) =>
      fromBinary(FileDescriptorProtoSchema, file),
    );
    assert.ok(files.some((file) => file.name === "google/api/http.proto"));
    const method = files[0]?.service[0]?.method.find((one) => one.name === "GetBPMN");
    assert.ok(
      (method?.options?.$unknown ?? []).some((field) => field.no === 51_001),
      "the policy option is lost",
    );
  });
});

const get = toBinary(GetBPMNRequestSchema, create(GetBPMNRequestSchema, { id: "order" }));

function frame(message: Uint8Array, flag = 0, length = message.length): Buffer {
  const bytes = Buffer.alloc(5 + message.length);
  bytes[0] = flag;
  bytes.writeUInt32BE(length, 1);
  bytes.set(message, 5);
  return bytes;
}

/** One request written by hand; headers and trailers of the answer in one object. */
function rawCall(
  path: string,
  body: Buffer,
  headers: Record<string, string> = {},
): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`http://127.0.0.1:${portico.grpcPort}`);
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
    const all: Record<string, unknown> = {};
    stream
      .on("response", (more) => Object.assign(all, more))
      .on("trailers", (more) => Object.assign(all, more));
    stream.on("error", reject).on("close", () => {
      session.close();
      resolve(all);
    });
    stream.resume();
    stream.end(body);
  });
}

const path = "/portico.bpmn.v1.BPMNService/GetBPMN";
/** What is written | grpc-status; what is refused is in tests/faults/bad-inputs.test.ts. */
const rows: readonly {
  readonly what: string;
  readonly body: Buffer;
  readonly headers?: Record<string, string>;
  readonly status: string;
}[] = [
  { what: "a good call", body: frame(get), status: "0" },
  {
    what: "a good call, compressed",
    body: frame(gzipSync(get), 1),
    headers: { "grpc-encoding": "gzip" },
    status: "0",
  },
  {
    what: "JSON as the codec",
    body: frame(Buffer.from('{"id":"order"}')),
    headers: { "content-type": "application/grpc+json" },
    status: "0",
  },
  { what: "unknown flags", body: frame(get, 4), status: "13" },
];

describe("frames written by hand", () => {
  for (const { what, body, headers = {}, status } of rows) {
    test(`${what}: grpc-status ${status}`, async () => {
      const answer = await rawCall(path, body, headers);
      assert.equal(answer["grpc-status"], status, String(answer["grpc-message"]));
      assert.equal(answer[":status"], 200);
    });
  }
});
