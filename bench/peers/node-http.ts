/** The limit of the runtime for REST: node:http, protobuf-es toJson, the same headers, nothing else. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { toJson } from "@bufbuild/protobuf";
import { BPMNDocumentSchema, documentFromEnvironment, headersFromEnvironment, restPath } from "../message.ts";

const document = documentFromEnvironment();
const headers = headersFromEnvironment();
const server = createServer((request, response) => {
  if (request.method !== "GET" || request.url !== restPath) {
    response.writeHead(404).end();
    return;
  }
  const body = JSON.stringify(toJson(BPMNDocumentSchema, document));
  response.writeHead(200, { ...headers, "content-length": Buffer.byteLength(body) });
  response.end(body);
});
server.listen(0, "127.0.0.1", () => console.log(`ready ${(server.address() as AddressInfo).port}`));
