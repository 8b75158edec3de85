/** REST on Fastify 5 with protobuf-es toJson. */
import type { AddressInfo } from "node:net";
import { toJson } from "@bufbuild/protobuf";
import { fastify } from "fastify";
import { BPMNDocumentSchema, documentFromEnvironment } from "../message.ts";

const document = documentFromEnvironment();
const app = fastify();
app.get("/api/v1/bpmn/:id", async (_request, reply) => {
  reply.type("application/json");
  return JSON.stringify(toJson(BPMNDocumentSchema, document));
});
await app.listen({ port: 0, host: "127.0.0.1" });
console.log(`ready ${(app.server.address() as AddressInfo).port}`);
