/** The limit of the runtime for gRPC: node:http2's stream API, protobuf-es, frames by hand, nothing else. */
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { BPMNDocumentSchema, documentFromEnvironment, GetBPMNRequestSchema, grpcPath } from "../message.ts";

const document = documentFromEnvironment();
const server = createServer();
server.on("stream", (stream, headers) => {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("end", () => {
    const body = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
    fromBinary(GetBPMNRequestSchema, body.subarray(5));
    const message = toBinary(BPMNDocumentSchema, document);
    const frame = Buffer.allocUnsafe(message.length + 5);
    frame[0] = 0;
    frame.writeUInt32BE(message.length, 1);
    frame.set(message, 5);
    stream.on("wantTrailers", () =>
      stream.sendTrailers({ "grpc-status": headers[":path"] === grpcPath ? "0" : "12" }),
    );
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.end(frame);
  });
});
server.listen(0, "127.0.0.1", () => console.log(`ready ${(server.address() as AddressInfo).port}`));
