/** One round of everything that clients do with a Portico that knows them, over every protocol; whatever is not answered as it should be is an error. */
import assert from "node:assert/strict";
import http from "node:http";
import { createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-node";
import { connect as connectSocket } from "#client/client.ts";
import { BPMNService } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { connect, unary } from "../support/grpc.ts";
import { mcpRequest } from "../support/mcp-driver.ts";
import { ask, bpmnXml } from "../support/portico.ts";

export interface Place {
  readonly base: string;
  readonly grpcPort: number;
  readonly key: string;
}

/** How many uses a round is. */
export const usesOfARound = 18;

/** @param id of documents that nobody else makes: they are deleted again. */
export async function askEverything({ base, grpcPort, key }: Place, id: string): Promise<void> {
  const headers = { "x-api-key": key };
  const expect = async (
    status: number,
    method: string,
    target: string,
    options: { readonly body?: unknown; readonly headers?: Record<string, string> } = {},
  ) => {
    const answer = await ask(base, method, target, {
      ...options,
      headers: { ...headers, ...options.headers },
    });
    assert.equal(answer.status, status, `${method} ${target}: ${answer.text.slice(0, 300)}`);
    return answer;
  };
  const xml = bpmnXml();
  await expect(201, "POST", `/api/v1/bpmn?documentId=${id}`, {
    body: { xml },
    headers: { "idempotency-key": id },
  });
  await expect(200, "GET", `/api/v1/bpmn/${id}`);
  await expect(200, "GET", "/api/v1/bpmn?pageSize=20");
  await expect(404, "GET", "/api/v1/bpmn/none");
  await expect(401, "GET", "/api/v1/me", { headers: { "x-api-key": `${key.slice(0, -1)}_` } });
  await expect(200, "POST", `/api/v1/bpmn:upload?metadata.documentId=${id}-file`, {
    body: xml,
    headers: { "content-type": "application/xml" },
  });
  await expect(200, "POST", "/portico.bpmn.v1.BPMNService/GetBPMN", {
    body: { id },
    headers: { "connect-protocol-version": "1" },
  });
  await askGraphql(expect, id);
  await askMcp(expect, id);
  await askGrpc({ base, grpcPort, key }, id);
  await askSocket({ base, key }, id);
  await readAWhile(base, headers);
  for (const one of [id, `${id}-file`]) await expect(200, "DELETE", `/api/v1/bpmn/${one}`);
}

type Expect = (
  status: number,
  method: string,
  target: string,
  options?: { readonly body?: unknown; readonly headers?: Record<string, string> },
) => ReturnType<typeof ask>;

async function askGraphql(expect: Expect, id: string): Promise<void> {
  const query =
    "query ($id: String!) { getBPMN(id: $id) { id xml } listBPMN(pageSize: 5) { documents { id } } }";
  const { json } = await expect(200, "POST", "/graphql", { body: { query, variables: { id } } });
  assert.equal(json.errors, undefined, JSON.stringify(json));
  assert.equal(json.data.getBPMN.id, id);
}

async function askMcp(expect: Expect, id: string): Promise<void> {
  const { body, headers } = mcpRequest("2025-11-25", "get_bpmn", { id });
  const { text } = await expect(200, "POST", "/mcp", { body, headers });
  assert.ok(text.includes(id) && !text.includes(`"isError":true`), text.slice(0, 300));
}

/** Over its own port and as gRPC-Web, on connections that are closed again. */
async function askGrpc({ base, grpcPort, key }: Place, id: string): Promise<void> {
  const client = connect(grpcPort);
  await unary(client, BPMNService.method.getBPMN, { id }, { metadata: { "x-api-key": key } });
  client.close();
  const withKey: Interceptor = (next) => (request) => {
    request.header.set("x-api-key", key);
    return next(request);
  };
  const web = createGrpcWebTransport({ baseUrl: base, httpVersion: "1.1", interceptors: [withKey] });
  assert.equal((await createClient(BPMNService, web).getBPMN({ id })).id, id);
}

/** A stream that is canceled, and a call beside it. */
async function askSocket({ base, key }: Pick<Place, "base" | "key">, id: string): Promise<void> {
  const client = connectSocket(base, { token: key });
  const stream = client.serverStream("portico.events.v1.EventService/Subscribe", { topics: ["bpmn/*"] });
  await client.unary("portico.bpmn.v1.BPMNService/GetBPMN", { id });
  stream.cancel();
  client.close();
}

/** A reader of events that leaves. */
function readAWhile(base: string, headers: Readonly<Record<string, string>>): Promise<void> {
  return new Promise((resolve, reject) => {
    const target = `${base}/api/v1/events:subscribe?topics=bpmn/*&after=0`;
    const request = http.get(
      target,
      { agent: false, headers: { ...headers, accept: "text/event-stream" } },
      (response) => {
        if (response.statusCode !== 200) reject(new Error(`HTTP ${response.statusCode}`));
        response.once("data", () => request.destroy()).on("error", () => undefined);
      },
    );
    request.on("error", () => undefined).once("close", resolve);
  });
}
