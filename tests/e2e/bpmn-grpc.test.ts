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
import { BPMNService, CreateBPMNRequestSchema, GetBPMNRequestSchema } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
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
    assert.deepEqual(Object.keys((await unary(client, Health.method.list, {})).statuses).sort(), [
      "",
      "grpc.health.v1.Health",
      BPMNService.typeName,
    ]);
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
const createPath = "/portico.bpmn.v1.BPMNService/CreateBPMN";
const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
const crowded = Buffer.alloc(4 * 1024 * 1024 - 64);
for (let at = 0; at < crowded.length; at += 2) crowded[at] = 0x0a;

/** What is written | grpc-status. Rows of the trust table that concern gRPC. */
const rows: readonly {
  readonly what: string;
  readonly path?: string;
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
  { what: "an unknown method", path: "/no.Such/Method", body: frame(get), status: "12" },
  { what: "no message", body: Buffer.alloc(0), status: "12" },
  { what: "two messages", body: Buffer.concat([frame(get), frame(get)]), status: "12" },
  { what: "a declared length of 4 GiB", body: frame(get, 0, 0xffffffff), status: "8" },
  { what: "a message of 4 MiB and one byte", body: frame(Buffer.alloc(4 * 1024 * 1024 + 1)), status: "8" },
  { what: "a truncated envelope", body: frame(get, 0, get.length + 5), status: "13" },
  { what: "unknown flags", body: frame(get, 4), status: "13" },
  { what: "a compressed flag without an encoding", body: frame(gzipSync(get), 1), status: "13" },
  { what: "an unknown encoding", body: frame(get, 1), headers: { "grpc-encoding": "snappy" }, status: "12" },
  { what: "corrupt gzip", body: frame(get, 1), headers: { "grpc-encoding": "gzip" }, status: "3" },
  { what: "a gzip bomb", body: frame(bomb, 1), headers: { "grpc-encoding": "gzip" }, status: "8" },
  { what: "truncated protobuf", body: frame(Buffer.from([0x0a, 0x05, 0x61])), status: "3" },
  { what: "tag 0", body: frame(Buffer.from([0x00, 0x00])), status: "3" },
  { what: "wire type 7", body: frame(Buffer.from([0x0f])), status: "3" },
  { what: "two million empty messages", path: createPath, body: frame(crowded), status: "8" },
  { what: "a malformed timeout", body: frame(get), headers: { "grpc-timeout": "99H99" }, status: "3" },
  { what: "a timeout of one nanosecond", body: frame(get), headers: { "grpc-timeout": "1n" }, status: "4" },
  { what: "grpc-status from the client", body: frame(get), headers: { "grpc-status": "7" }, status: "0" },
];

describe("frames written by hand", () => {
  for (const { what, path: to = path, body, headers = {}, status } of rows) {
    test(`${what}: grpc-status ${status}, within 300 ms`, async () => {
      const started = performance.now();
      const answer = await rawCall(to, body, headers);
      assert.equal(answer["grpc-status"], status, String(answer["grpc-message"]));
      assert.equal(answer[":status"], 200);
      assert.ok(performance.now() - started < 300);
    });
  }
  test("a foreign content type on the gRPC port is 415", async () =>
    assert.equal((await rawCall(path, frame(get), { "content-type": "text/plain" }))[":status"], 415));
  test("an unknown encoding is answered with the known ones", async () => {
    assert.equal(
      (await rawCall(path, frame(get, 1), { "grpc-encoding": "snappy" }))["grpc-accept-encoding"],
      "gzip, identity",
    );
  });
  test("the crowded message is one the schema could decode", () =>
    assert.ok(
      CreateBPMNRequestSchema.fields.some((field) => field.number === 1 && field.fieldKind === "message"),
    ));
});
