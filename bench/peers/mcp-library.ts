/** MCP's official library over node:http, one tool that answers with a document it holds, nothing else. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createMcpHandler, Server } from "@modelcontextprotocol/server";

const text = process.env.BENCH_DOCUMENT ?? "{}";
const handler = createMcpHandler(() => {
  const server = new Server({ name: "peer", version: "1" }, { capabilities: { tools: {} } });
  server.setRequestHandler("tools/list", () => ({
    tools: [{ name: "get_bpmn", inputSchema: { type: "object" } }],
  }));
  server.setRequestHandler("tools/call", () => ({
    content: [{ type: "text", text }],
    structuredContent: JSON.parse(text) as Record<string, unknown>,
  }));
  return server;
});

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const headers = new Headers();
    for (const [name, value] of Object.entries(request.headers))
      if (value !== undefined) headers.append(name, String(value));
    const asked = new Request(`http://127.0.0.1${request.url}`, {
      ...{ method: "POST", headers },
      body: Buffer.concat(chunks),
    });
    void handler.fetch(asked).then(async (answer) => {
      const body = Buffer.from(await answer.arrayBuffer());
      response.writeHead(answer.status, {
        ...Object.fromEntries(answer.headers),
        "content-length": body.length,
      });
      response.end(body);
    });
  });
});
server.listen(0, "127.0.0.1", () => console.log(`ready ${(server.address() as AddressInfo).port}`));
