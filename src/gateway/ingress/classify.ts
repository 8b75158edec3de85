/** Which protocol a request speaks: one line a protocol. */
import type { Protocol } from "#rpc/peer.ts";
import { isConnect } from "./connect/connect.ts";
import type { Adapter, Exchange } from "./exchange.ts";
import type { Graphql } from "./graphql/graphql.ts";
import { isGrpcWeb } from "./grpc-web/grpc-web.ts";
import type { McpAdapter } from "./mcp/mcp.ts";
import type { WebSockets } from "./websocket/websocket.ts";

export interface Adapters {
  readonly grpc: Adapter;
  readonly grpcWeb: Adapter;
  readonly connect: Adapter;
  readonly rest: Adapter;
  /** Documentation, health and metrics: exact paths of its own. */
  readonly pages: Adapter & { owns(path: string): boolean };
  /** Absent: none are taken. */
  readonly webSockets?: WebSockets;
  /** Absent: there is none. */
  readonly graphql?: Graphql;
  /** Agents' tools; absent: there are none. */
  readonly mcp?: McpAdapter;
  /** Mounted beside the API; absent: nothing is. */
  readonly mounted?: Adapter & { owns(path: string): boolean };
}

export function classify(exchange: Exchange, adapters: Adapters): Adapter {
  if (isGrpc(exchange.headers["content-type"])) return adapters.grpc;
  if (isGrpcWeb(exchange.headers["content-type"])) return adapters.grpcWeb;
  if (isConnect(exchange)) return adapters.connect;
  if (adapters.pages.owns(exchange.path)) return adapters.pages;
  if (adapters.graphql?.owns(exchange.path) === true) return adapters.graphql;
  if (adapters.mcp?.owns(exchange.path) === true) return adapters.mcp;
  if (adapters.mounted?.owns(exchange.path) === true) return adapters.mounted;
  const type = exchange.headers["content-type"];
  return typeof type === "string" && anyCase.test(type)
    ? classifyAnyCase(exchange, type, adapters)
    : adapters.rest;
}

/** Where a type in lower case would have been found above: clients that write another are rare, and REST's types end this at their first letter. */
const anyCase = /^application\/(?:grpc|connect\+|proto)/i;

/** RFC 9110 section 8.3.1: media types are the same in any letter case. */
function classifyAnyCase({ method, query }: Exchange, type: string, adapters: Adapters): Adapter {
  const headers = { "content-type": type.toLowerCase() };
  if (isGrpc(headers["content-type"])) return adapters.grpc;
  if (isGrpcWeb(headers["content-type"])) return adapters.grpcWeb;
  return isConnect({ method, query, headers }) ? adapters.connect : adapters.rest;
}

/** Of a request that its adapter was not given: what is mounted or a page counts as REST. */
export function protocolOf(adapter: Adapter, adapters: Adapters): Protocol {
  switch (adapter) {
    case adapters.grpc:
      return "grpc";
    case adapters.grpcWeb:
      return "grpc-web";
    case adapters.connect:
      return "connect";
    case adapters.graphql:
      return "graphql";
    case adapters.mcp:
      return "mcp";
    default:
      return "rest";
  }
}

/** `application/grpc` and `application/grpc+proto`, but not `application/grpc-web`. */
function isGrpc(contentType: string | string[] | undefined): boolean {
  if (typeof contentType !== "string" || !contentType.startsWith("application/grpc")) return false;
  return contentType.length === 16 || contentType[16] === "+" || contentType[16] === ";";
}
