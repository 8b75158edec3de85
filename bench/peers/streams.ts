/** The limit of the runtime for streams: node:http2 and node:http alone, each message encoded anew by protobuf-es, written with drain. */
import { createServer as createHttp } from "node:http";
import { createServer as createHttp2 } from "node:http2";
import type { AddressInfo } from "node:net";
import { fromBinary, fromJsonString, type Message, toBinary, toJsonString } from "@bufbuild/protobuf";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { echoDescriptors } from "../../tests/support/echo.ts";

const desc = loadCatalog({ descriptorSet: echoDescriptors() }).registry.getMessage("test.v1.Everything")!;

async function pump(
  count: number,
  make: () => Uint8Array | string,
  out: { write(chunk: Uint8Array | string): boolean; once(event: "drain", listener: () => void): unknown },
): Promise<void> {
  for (let n = 0; n < count; n += 1)
    if (!out.write(make())) await new Promise<void>((resolve) => out.once("drain", resolve));
}

function frame(message: Message): Buffer {
  const bytes = toBinary(desc, message);
  const framed = Buffer.allocUnsafe(bytes.length + 5);
  framed[0] = 0;
  framed.writeUInt32BE(bytes.length, 1);
  framed.set(bytes, 5);
  return framed;
}

const grpc = createHttp2();
grpc.on("stream", (stream, headers) => {
  const chunks: Buffer[] = [];
  stream.on("error", () => {});
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("end", () => {
    const message = fromBinary(desc, Buffer.concat(chunks).subarray(5));
    const { count } = JSON.parse(String(headers["echo-plan"])) as { count: number };
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    void pump(count, () => frame(message), stream).then(() => stream.end());
  });
});
const http = createHttp((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const message = fromJsonString(desc, Buffer.concat(chunks).toString());
    const { count } = JSON.parse(String(request.headers["echo-plan"])) as { count: number };
    response.writeHead(200, { "content-type": "text/event-stream" });
    void pump(count, () => `data: ${toJsonString(desc, message)}\n\n`, response).then(() => response.end());
  });
});

grpc.listen(0, "127.0.0.1", () =>
  http.listen(0, "127.0.0.1", () =>
    console.log(`ready ${(http.address() as AddressInfo).port} ${(grpc.address() as AddressInfo).port}`),
  ),
);
