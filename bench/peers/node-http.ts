/** The limit of the runtime for REST and for Connect's JSON: node:http, protobuf-es toJson, the same headers, nothing else. */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { fromJson, toJson } from "@bufbuild/protobuf";
import {
  BPMNDocumentSchema,
  documentFromEnvironment,
  documentId,
  GetBPMNRequestSchema,
  grpcPath,
  headersFromEnvironment,
  restPath,
} from "../message.ts";

const document = documentFromEnvironment();
const headers = headersFromEnvironment();
function answer(response: ServerResponse): void {
  const body = JSON.stringify(toJson(BPMNDocumentSchema, document));
  response.writeHead(200, { ...headers, "content-length": Buffer.byteLength(body) });
  response.end(body);
}

const server = createServer((request, response) => {
  if (request.method === "GET" && request.url === restPath) answer(response);
  else if (request.method === "POST" && request.url === grpcPath) {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { id } = fromJson(GetBPMNRequestSchema, JSON.parse(Buffer.concat(chunks).toString()));
      if (id === documentId) answer(response);
      else response.writeHead(404).end();
    });
  } else response.writeHead(404).end();
});
server.listen(0, "127.0.0.1", () => console.log(`ready ${(server.address() as AddressInfo).port}`));
