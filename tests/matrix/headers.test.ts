/**
 * What a call tells beside its answer, over every protocol that has headers: the limiter's, those of a replayed call, those of a method that is
 * deprecated.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { credentials, Client as GrpcClient, Metadata, type ServiceError } from "@grpc/grpc-js";
import { CallError, connect } from "#client/client.ts";
import { BPMNService, CreateBPMNRequestSchema } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { type Clock, systemClock } from "#std/clock.ts";
import { type EchoServer, startEcho } from "../support/echo.ts";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { bpmnXml } from "../support/portico.ts";

interface Server {
  readonly base: string;
  readonly grpcPort: number;
}

/** One method, in every protocol's words. */
interface Asked {
  /** `package.Service/Method` */
  readonly method: string;
  readonly rest: { readonly verb: string; readonly path: string; readonly body?: string };
  /** In ProtoJSON. */
  readonly json: object;
  readonly proto: Uint8Array;
  readonly graphql: string;
  readonly tool?: string;
}

interface Told {
  readonly refused: boolean;
  readonly headers: { get(name: string): string | null | undefined };
}

type Speak = (server: Server, asked: Asked, headers: Record<string, string>) => Promise<Told>;

const post = async (
  url: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string>,
): Promise<Told> => {
  const response = await fetch(url, { method: "POST", body, headers });
  const text = await response.text();
  return {
    refused: response.status === 429 || /RATE_LIMITED|grpc-status: ?8/.test(text),
    headers: response.headers,
  };
};

function envelope(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return new Uint8Array(Buffer.concat([head, message]));
}

const json = { "content-type": "application/json" };

const protocols: Readonly<Record<string, Speak>> = {
  REST: async ({ base }, { rest }, headers) => {
    const { verb: method, path, body } = rest;
    const all = body === undefined ? headers : { ...json, ...headers };
    const response = await fetch(base + path, {
      method,
      headers: all,
      ...(body === undefined ? {} : { body }),
    });
    await response.text();
    return { refused: response.status === 429, headers: response.headers };
  },
  "REST by the method's name": ({ base }, asked, headers) =>
    post(`${base}/${asked.method}`, JSON.stringify(asked.json), { ...json, ...headers }),
  "Connect JSON": ({ base }, asked, headers) =>
    post(`${base}/${asked.method}`, JSON.stringify(asked.json), {
      ...{ ...json, ...headers, "connect-protocol-version": "1" },
    }),
  "Connect binary": ({ base }, asked, headers) =>
    post(`${base}/${asked.method}`, new Uint8Array(asked.proto), {
      ...{ ...headers, "content-type": "application/proto" },
    }),
  "gRPC-Web": ({ base }, asked, headers) =>
    post(`${base}/${asked.method}`, envelope(asked.proto), {
      ...{ ...headers, "content-type": "application/grpc-web+proto" },
    }),
  gRPC: (server, asked, headers) => overGrpc(server, asked, headers),
  GraphQL: ({ base }, asked, headers) =>
    post(`${base}/graphql`, JSON.stringify({ query: asked.graphql }), { ...json, ...headers }),
  "GraphQL as events": ({ base }, asked, headers) =>
    post(`${base}/graphql`, JSON.stringify({ query: asked.graphql }), {
      ...{ ...json, ...headers, accept: "text/event-stream" },
    }),
  MCP: ({ base }, asked, headers) => {
    const params = { name: asked.tool, arguments: asked.json };
    return post(`${base}/mcp`, JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params }), {
      ...{ ...json, ...headers, accept: "application/json, text/event-stream" },
    });
  },
  WebSocket: async ({ base }, asked, headers) => {
    const { "x-api-key": token, ...metadata } = headers;
    const client = connect(base, token === undefined ? {} : { token });
    try {
      const call = client.serverStream(asked.method, asked.json, { metadata });
      const refused = await call.only().then(
        () => false,
        (error: unknown) => error instanceof CallError && error.reason === "RATE_LIMITED",
      );
      return { refused, headers: new Map(Object.entries(call.headers)) };
    } finally {
      client.close();
    }
  },
};

function overGrpc({ grpcPort }: Server, asked: Asked, headers: Record<string, string>): Promise<Told> {
  const client = new GrpcClient(`127.0.0.1:${grpcPort}`, credentials.createInsecure());
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  const read = (from: Metadata): Told["headers"] => ({ get: (name) => from.get(name)[0]?.toString() });
  return new Promise<Told>((resolve) => {
    let first = new Metadata();
    const same = (bytes: Buffer): Buffer => bytes;
    const done = (error: ServiceError | null): void => {
      first.merge(error?.metadata ?? new Metadata());
      resolve({ refused: error?.code === 8, headers: read(first) });
    };
    client
      .makeUnaryRequest(`/${asked.method}`, same, same, Buffer.from(asked.proto), metadata, done)
      .on("metadata", (one) => {
        first = one;
      });
  }).finally(() => client.close());
}

describe("what the limiter says", () => {
  let aheadMs = 0;
  const clock: Clock = {
    ...systemClock,
    now: () => systemClock.now() + aheadMs,
    monotonic: () => systemClock.monotonic() + aheadMs,
  };
  let server: IdentityServer;
  before(async () => {
    server = await startIdentity({ clock, rate: { burst: 20, intervalMs: 60_000 } });
  });
  after(() => server.close());
  const list: Asked = {
    ...{
      method: "portico.bpmn.v1.BPMNService/ListBPMN",
      tool: "list_bpmn",
      json: {},
      proto: new Uint8Array(0),
    },
    ...{ rest: { verb: "GET", path: "/api/v1/bpmn" }, graphql: "{ listBPMN { nextPageToken } }" },
  };
  const events: Speak = async ({ base }, _asked, headers) => {
    const stop = new AbortController();
    const response = await fetch(`${base}/api/v1/events:subscribe?topics=users/me&after=0`, {
      headers: { ...headers, accept: "text/event-stream" },
      signal: stop.signal,
    });
    stop.abort();
    return { refused: response.status === 429, headers: response.headers };
  };
  const all = { ...protocols, "server-sent events": events };

  for (const [at, [name, speak]] of Object.entries(all).entries())
    test(`${name}: what is left, and when to come again`, async () => {
      // Everybody's bucket is full again.
      aheadMs += 3_600_000;
      const headers = { "x-api-key": await server.userWithKey(`user-${at}`, ["viewer"]) };
      const first = await speak(server, list, headers);
      assert.equal(first.refused, false);
      assert.equal(first.headers.get("ratelimit-policy"), '"default";q=20;w=1200');
      const left = Number(/r=(\d+)/.exec(first.headers.get("ratelimit") ?? "")?.[1]);
      assert.ok(left < 20 && left > 10, `${first.headers.get("ratelimit")}`);
      assert.equal(first.headers.get("retry-after") ?? null, null);
      let last = first;
      for (let count = 0; count < 20 && !last.refused; count += 1) last = await speak(server, list, headers);
      assert.equal(last.refused, true);
      assert.match(last.headers.get("ratelimit") ?? "", /r=0;/);
      const again = Number(last.headers.get("retry-after"));
      assert.ok(again > 0 && again <= 60, `${last.headers.get("retry-after")}`);
    });
});

describe("what a replayed call says", () => {
  let server: IdentityServer;
  before(async () => {
    server = await startIdentity();
  });
  after(() => server.close());
  const xml = bpmnXml();

  for (const [at, [name, speak]] of Object.entries(protocols).entries())
    test(`${name}: done once, and said`, async () => {
      const id = `replayed-${at}`;
      const request = { documentId: id, document: { xml } };
      const asked: Asked = {
        ...{ method: `${BPMNService.typeName}/CreateBPMN`, tool: "create_bpmn", json: request },
        rest: { verb: "POST", path: `/api/v1/bpmn?documentId=${id}`, body: JSON.stringify({ xml }) },
        proto: toBinary(CreateBPMNRequestSchema, create(CreateBPMNRequestSchema, request)),
        graphql: `mutation { createBPMN(documentId: "${id}", document: { xml: ${JSON.stringify(xml)} }) { id } }`,
      };
      const headers = { "x-api-key": server.adminKey, "idempotency-key": `key-${at}` };
      const first = await speak(server, asked, headers);
      assert.equal(first.headers.get("idempotent-replayed") ?? null, null);
      const again = await speak(server, asked, headers);
      assert.equal(again.headers.get("idempotent-replayed"), "true");
      // REST says the same status and place the second time.
      if (name === "REST") assert.equal(again.headers.get("location"), `${server.base}/api/v1/bpmn/${id}`);
    });
});

describe("what a deprecated method says", () => {
  let echo: EchoServer;
  before(async () => {
    echo = await startEcho();
  });
  after(() => echo.close());
  const old: Asked = {
    ...{ method: "test.v1.Rest/Old", json: {}, proto: new Uint8Array(0) },
    ...{ rest: { verb: "GET", path: "/v1/old" }, graphql: "{ old { id } }" },
  };

  for (const [name, speak] of Object.entries(protocols).filter(([one]) => one !== "MCP"))
    test(`${name}: since when, until when, and where to read more`, async () => {
      const server = { base: `http://127.0.0.1:${echo.httpPort}`, grpcPort: echo.grpcPort };
      const { headers } = await speak(server, old, {});
      assert.equal(headers.get("deprecation"), "@1777852800");
      assert.equal(headers.get("sunset"), "Thu, 31 Dec 2026 23:59:59 GMT");
      assert.match(headers.get("link") ?? "", /^<https:\/\/example\.org\/old>; rel="deprecation", /);
    });
});
