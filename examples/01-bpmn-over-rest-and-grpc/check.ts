/**
 * Uses a running Portico as two kinds of clients at once: uploads models over REST, reads and lists them over gRPC with
 * grpc-js, is refused with a stale etag, downloads them and compares the bytes, and asks what changed between two versions of
 * one. Cleans up after itself.
 *
 *     node examples/01-bpmn-over-rest-and-grpc/check.ts [http://localhost:8000] [localhost:50051]
 *
 * The credential is the API key in PORTICO_API_KEY, or the development key in .portico/.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { BPMNService, DiffBPMNResponse_Change_Kind } from "#gen/portico/bpmn/v1/bpmn_pb.ts";

const [rest = "http://localhost:8000", grpc = "localhost:50051"] = process.argv.slice(2);
/** Of PORTICO_API_KEY, or the development key of a server that was started here; none where authentication is off. */
const file = ".portico/dev-key";
const key = process.env.PORTICO_API_KEY ?? (existsSync(file) ? readFileSync(file, "utf8").trim() : undefined);
const credential: Record<string, string> = key === undefined ? {} : { "x-api-key": key };
const folder = path.resolve(import.meta.dirname, "../models");
const models = readdirSync(folder).filter((name) => name.endsWith(".bpmn"));
assert.ok(models.length >= 3, "there are at least three models");

const client = new Client(grpc, credentials.createInsecure());
const metadata = new Metadata();
for (const [name, value] of Object.entries(credential)) metadata.set(name, value);
type Unary = "getBPMN" | "listBPMN" | "updateBPMN" | "diffBPMN";

function call<M extends Unary>(name: M, message: MessageInitShape<(typeof BPMNService.method)[M]["input"]>) {
  const method = BPMNService.method[name];
  return new Promise<ReturnType<typeof fromBinary<(typeof BPMNService.method)[M]["output"]>>>(
    (resolve, reject) => {
      client.makeUnaryRequest(
        `/${BPMNService.typeName}/${method.name}`,
        (request: typeof message) => Buffer.from(toBinary(method.input, create(method.input, request))),
        (bytes: Buffer) => fromBinary(method.output as (typeof BPMNService.method)[M]["output"], bytes),
        message,
        metadata,
        (error, answer) => (error !== null || answer === undefined ? reject(error) : resolve(answer)),
      );
    },
  );
}

const prefix = `example-${process.pid}`;
for (const [index, name] of models.entries()) {
  const model = readFileSync(path.join(folder, name));
  const id = `${prefix}-${index}`;
  const uploaded = await fetch(
    `${rest}/api/v1/bpmn:upload?metadata.documentId=${id}&metadata.filename=${name}`,
    { method: "POST", headers: { "content-type": "application/xml", ...credential }, body: model },
  );
  assert.equal(uploaded.status, 200, `${name}: ${await uploaded.clone().text()}`);

  const read = await call("getBPMN", { id });
  assert.equal(read.xml, model.toString("utf8"));
  console.log(
    `${name}: ${read.metadata?.elementCount} elements, processes ${read.metadata?.processes.map((process) => process.id).join(", ")}`,
  );

  const changed = await call("updateBPMN", {
    document: { id, description: "changed over gRPC", etag: read.etag },
  });
  const stale = await call("updateBPMN", { document: { id, description: "too late", etag: read.etag } }).then(
    () => undefined,
    (error: ServiceError) => error,
  );
  assert.equal(stale?.code, 10, "a stale etag is refused");
  assert.equal(changed.description, "changed over gRPC");

  const downloaded = await fetch(`${rest}/api/v1/bpmn/${id}:download`, { headers: credential });
  assert.deepEqual(Buffer.from(await downloaded.arrayBuffer()), model, `${name} came back as it went`);
}

// A next version of the invoice, as a revision of the document that holds the first one.
const invoice = `${prefix}-${models.indexOf("invoice.bpmn")}`;
const second = readFileSync(path.join(folder, "invoice-v2.bpmn"));
const revised = await fetch(`${rest}/api/v1/bpmn:upload?metadata.id=${invoice}&metadata.comment=by+mail`, {
  method: "POST",
  headers: { "content-type": "application/xml", ...credential },
  body: second,
});
assert.equal(revised.status, 200, await revised.clone().text());
const { changes, summary } = await call("diffBPMN", { id: invoice, base: "1", target: "latest" });
assert.ok(summary?.behaviourChanged, "running instances could notice the change");
const nameOf = (kind: number) =>
  Object.entries(DiffBPMNResponse_Change_Kind)
    .find(([, number]) => number === kind)?.[0]
    .toLowerCase();
for (const { kind, elementId, attributes } of changes)
  console.log(
    `invoice: ${nameOf(kind)} ${elementId} ${attributes.map(({ path: where, oldValue, newValue }) => `${where}: ${oldValue} -> ${newValue}`).join("; ")}`,
  );
assert.ok(
  changes.some(
    ({ elementId, kind }) => elementId === "Notify" && kind === DiffBPMNResponse_Change_Kind.ADDED,
  ),
);

const listed = await call("listBPMN", { pageSize: 1000 });
assert.equal(listed.documents.filter((document) => document.id.startsWith(prefix)).length, models.length);
for (let index = 0; index < models.length; index += 1)
  await fetch(`${rest}/api/v1/bpmn/${prefix}-${index}`, { method: "DELETE", headers: credential });
client.close();
console.log(`${models.length} models went up over REST, were read over gRPC and came back byte for byte`);
