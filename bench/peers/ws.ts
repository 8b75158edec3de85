/** The limit of the runtime for calls over a WebSocket: ws alone, each frame parsed, the document encoded anew by protobuf-es. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { toJson } from "@bufbuild/protobuf";
import { WebSocketServer } from "ws";
import { BPMNDocumentSchema, documentFromEnvironment } from "../message.ts";

const document = documentFromEnvironment();
const server = createServer();
new WebSocketServer({ server, perMessageDeflate: false }).on("connection", (socket) => {
  socket.on("message", (data: Buffer) => {
    const { id } = JSON.parse(data.toString("utf8")) as { id: string };
    const end = { status: { code: 0 }, trailers: {} };
    socket.send(JSON.stringify({ id, end, message: toJson(BPMNDocumentSchema, document) }));
  });
});
server.listen(0, "127.0.0.1", () => console.log(`ready ${(server.address() as AddressInfo).port}`));
