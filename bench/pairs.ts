/** What is compared with whom, and how each is asked. */
import { toBinary } from "@bufbuild/protobuf";
import { type Load, loadGrpc, loadRest } from "./load.ts";
import { documentId, GetBPMNRequestSchema, grpcPath, request, restPath } from "./message.ts";
import type { ServerProcess } from "./server-process.ts";
import { loadSocket } from "./socket-load.ts";

const mcpRevision = "2026-07-28";

export interface Pair {
  readonly what: string;
  readonly target: string;
  readonly peer: string;
  readonly env?: Record<string, string>;
  /** Portico with authentication, authorization and limits on. */
  readonly everything?: true;
  /** What is said of Portico's memory after it. */
  readonly memory?: { readonly what: string; readonly target: string };
  /** Before all else, few at once: a process that is cold sends away what would wait too long. */
  readonly first?: (server: ServerProcess, seconds: number) => Promise<Load>;
  readonly portico: (server: ServerProcess, seconds: number) => Promise<Load>;
  readonly other: (server: ServerProcess, seconds: number) => Promise<Load>;
}

const message = toBinary(GetBPMNRequestSchema, request);
const rest = (server: ServerProcess, duration: number): Promise<Load> =>
  loadRest(`http://127.0.0.1:${server.httpPort}${restPath}`, duration);
const grpc = (server: ServerProcess, duration: number): Promise<Load> =>
  loadGrpc(server.grpcPort, { path: grpcPath, message }, duration);
/** With a credential, to a server where all policies are on. */
const restWithKey = (server: ServerProcess, duration: number): Promise<Load> =>
  loadRest(`http://127.0.0.1:${server.httpPort}${restPath}`, duration, {
    headers: { "x-api-key": server.key },
  });
const grpcWithKey = (server: ServerProcess, duration: number): Promise<Load> =>
  loadGrpc(server.grpcPort, { path: grpcPath, message, headers: { "x-api-key": server.key } }, duration);
/** More documents than the service keeps encoded, asked for in turn. */
export const rotation = { prefix: `${documentId}-`, count: 2000 };
export const rotating = (server: ServerProcess, duration: number): Promise<Load> =>
  loadRest(`http://127.0.0.1:${server.httpPort}`, duration, {
    rotate: { path: `/api/v1/bpmn/${rotation.prefix}`, count: rotation.count },
  });
const connectJson = (server: ServerProcess, duration: number): Promise<Load> =>
  loadRest(`http://127.0.0.1:${server.httpPort}${grpcPath}`, duration, {
    headers: { "connect-protocol-version": "1" },
    body: JSON.stringify({ id: documentId }),
  });
/** Over HTTP/2, where both have it; Portico's is the port of REST. */
const grpcWeb = (server: ServerProcess, duration: number): Promise<Load> =>
  loadGrpc(server.httpPort, { path: grpcPath, message, contentType: "application/grpc-web+proto" }, duration);
const graphqlQuery = `query Document($id: String!) { getBPMN(id: $id) {
  id name displayName sizeBytes etag labels { key value } createTime updateTime } }`;
const graphql = (server: ServerProcess, duration: number): Promise<Load> =>
  loadRest(`http://127.0.0.1:${server.httpPort}/graphql`, duration, {
    body: JSON.stringify({ query: graphqlQuery, variables: { id: documentId } }),
  });
/** One use of a tool, in the newest revision: one request, one answer. */
const mcpTool = (server: ServerProcess, duration: number, connections = 32): Promise<Load> =>
  loadRest(`http://127.0.0.1:${server.httpPort}/mcp`, duration, {
    connections,
    headers: {
      accept: "application/json, text/event-stream",
      ...{ "mcp-protocol-version": mcpRevision, "mcp-method": "tools/call", "mcp-name": "get_bpmn" },
    },
    body: JSON.stringify({
      ...{ jsonrpc: "2.0", id: 1, method: "tools/call" },
      params: {
        ...{ name: "get_bpmn", arguments: { id: documentId } },
        _meta: {
          "io.modelcontextprotocol/protocolVersion": mcpRevision,
          "io.modelcontextprotocol/clientCapabilities": {},
        },
      },
    }),
  });

export const pairs: readonly Pair[] = [
  {
    what: "REST GET by id, lean / bare node:http + toJson",
    target: ">= 0.80",
    peer: "node-http",
    portico: rest,
    other: rest,
  },
  {
    what: "REST GET by id, lean / Fastify 5 + toJson",
    target: "-",
    peer: "fastify",
    memory: { what: "resident memory, after full REST load (MB)", target: "<= 250" },
    portico: rest,
    other: rest,
  },
  {
    what: "Connect JSON unary / connect-node",
    target: ">= 5",
    peer: "connect-node",
    env: { BENCH_HTTP1: "1" },
    portico: connectJson,
    other: connectJson,
  },
  {
    what: "Connect JSON unary / bare node:http + fromJson and toJson",
    target: "-",
    peer: "node-http",
    portico: connectJson,
    other: connectJson,
  },
  {
    what: "gRPC-Web unary / connect-node",
    target: "-",
    peer: "connect-node",
    portico: grpcWeb,
    other: grpcWeb,
  },
  {
    what: "REST GET of 2,000 documents in turn, none kept encoded / bare node:http + toJson of one",
    target: "-",
    peer: "node-http",
    memory: {
      what: "resident memory, after creating 2,000 documents and reading them in turn (MB)",
      target: "-",
    },
    portico: rotating,
    other: rest,
  },
  {
    what: "gRPC unary, lean / bare node:http2",
    target: ">= 0.85",
    peer: "node-http2",
    portico: grpc,
    other: grpc,
  },
  { what: "gRPC unary, lean / @grpc/grpc-js", target: ">= 1.3", peer: "grpc-js", portico: grpc, other: grpc },
  {
    what: "gRPC unary, lean / connect-node",
    target: "-",
    peer: "connect-node",
    memory: { what: "resident memory, after full gRPC load (MB)", target: "-" },
    portico: grpc,
    other: grpc,
  },
  {
    what: "REST GET by id, everything on / bare node:http + toJson",
    target: ">= 0.70",
    peer: "node-http",
    everything: true,
    portico: restWithKey,
    other: rest,
  },
  {
    what: "gRPC unary, everything on / bare node:http2",
    target: ">= 0.80",
    peer: "node-http2",
    everything: true,
    portico: grpcWithKey,
    other: grpc,
  },
  {
    what: "WebSocket call / ws alone + toJson",
    target: "-",
    peer: "ws",
    portico: loadSocket,
    other: loadSocket,
  },
  {
    what: "GraphQL query / graphql-yoga with resolvers by hand",
    target: ">= 1.0",
    peer: "graphql-yoga",
    portico: graphql,
    other: graphql,
  },
  {
    what: "MCP tool call / MCP's library over node:http with a document it holds",
    target: "-",
    peer: "mcp-library",
    memory: { what: "resident memory, after every protocol's load (MB)", target: "-" },
    first: (server, duration) => mcpTool(server, duration, 4),
    portico: (server, duration) => mcpTool(server, duration),
    other: (server, duration) => mcpTool(server, duration),
  },
];
