/** A whole server in this process whose only services are those of `proto/test/v1/echo.proto`. */
import { execFileSync } from "node:child_process";
import path from "node:path";
import { type DescMessage, type DescMethod, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { type Catalog, loadCatalog } from "#gateway/catalog/catalog.ts";
import {
  createDeadline,
  createDeprecation,
  createRuntime,
  type RuntimeOptions,
} from "#gateway/dispatch/dispatch.ts";
import {
  createConnect,
  createGraphql,
  createGrpc,
  createGrpcWeb,
  createMcp,
  createPages,
  createRest,
  createWebSockets,
  type Listener,
  listen,
} from "#gateway/ingress/ingress.ts";
import { createValidate } from "#policy/policy.ts";
import type { Interceptor } from "#rpc/interceptor.ts";
import { systemClock as clock } from "#std/clock.ts";
import { EchoService, type Probe } from "./echo-service.ts";

export interface EchoServer {
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly catalog: Catalog;
  probe(requestId: string): Promise<Probe>;
  latest(): Probe;
  ran(requestId: string): boolean;
  method(name: string): DescMethod;
  message(name: string): DescMessage;
  /** As a server does that ends: calls have a little time left, and are cancelled then. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

export interface EchoOptions {
  readonly graphqlLimits?: Parameters<typeof createGraphql>[0]["limits"];
  /** Largest message over gRPC and largest JSON body over REST; default: the gateway's own limits. */
  readonly maxMessageBytes?: number;
  readonly limits?: Parameters<typeof listen>[0]["limits"];
  readonly heartbeatMs?: number;
  /** Outside the deadline; calls are then timed, and agents reach every method. */
  readonly interceptors?: readonly Interceptor[];
  /** Of requests that may be several calls, and of what is refused. */
  readonly watching?: Pick<RuntimeOptions, "traceRequest" | "onRefused">;
  readonly webSocketLimits?: Parameters<typeof createWebSockets>[0]["limits"];
  readonly graphqlIntrospection?: boolean;
  readonly proxies?: Parameters<typeof listen>[0]["proxies"];
  readonly mcpMetaTools?: boolean;
}

export async function startEcho(options: EchoOptions = {}): Promise<EchoServer> {
  const catalog = loadCatalog({ descriptorSet: echoDescriptors() });
  const service = new EchoService(catalog.registry);
  const runtime = createRuntime({
    catalog,
    services: service.services(),
    interceptors: [
      ...(options.interceptors ?? []),
      createDeprecation({ noticeOf: (method) => catalog.optionsOf(method).deprecation }),
      createDeadline({ clock }),
      createValidate({ registry: catalog.registry }),
    ],
    ...(options.interceptors === undefined ? {} : { clock }),
    ...options.watching,
  });
  const { maxMessageBytes, limits, heartbeatMs, webSocketLimits } = options;
  const graphql = createGraphql({
    ...{ runtime: () => runtime, introspection: options.graphqlIntrospection !== false },
    ...(heartbeatMs === undefined ? {} : { heartbeatMs }),
    ...(maxMessageBytes === undefined ? {} : { maxBodyBytes: maxMessageBytes }),
    ...(options.graphqlLimits === undefined ? {} : { limits: options.graphqlLimits }),
  });
  const listener: Listener = await listen({
    host: "127.0.0.1",
    httpPort: 0,
    grpcPort: 0,
    clock,
    ...(limits === undefined ? {} : { limits }),
    ...(options.proxies === undefined ? {} : { proxies: options.proxies }),
    adapters: {
      grpc: createGrpc({
        runtime: () => runtime,
        ...(maxMessageBytes === undefined ? {} : { maxMessageBytes }),
      }),
      grpcWeb: createGrpcWeb(
        createGrpc({
          runtime: () => runtime,
          protocol: "grpc-web",
          ...(maxMessageBytes === undefined ? {} : { maxMessageBytes }),
        }),
      ),
      connect: createConnect({
        runtime: () => runtime,
        ...(maxMessageBytes === undefined ? {} : { maxMessageBytes }),
      }),
      rest: createRest({
        runtime: () => runtime,
        serverUrl: () => "http://localhost",
        limits: {
          ...(maxMessageBytes === undefined ? {} : { maxJsonBytes: maxMessageBytes }),
          ...(heartbeatMs === undefined ? {} : { heartbeatMs }),
        },
      }),
      graphql,
      mcp: createMcp({
        ...{ runtime: () => runtime, version: "0.0.0", serverUrl: () => "http://localhost" },
        metaTools: options.mcpMetaTools === true || options.interceptors !== undefined,
      }),
      webSockets: createWebSockets({
        ...{ runtime: () => runtime, clock, graphql: graphql.server },
        limits: {
          ...(maxMessageBytes === undefined ? {} : { maxFrameBytes: maxMessageBytes }),
          ...webSocketLimits,
        },
      }),
      pages: createPages({
        runtime: () => runtime,
        ready: () => true,
        publicKeys: async () => ({ keys: [] }),
        reasons: [],
        renderMetrics: () => "",
        serverUrl: () => "http://localhost",
        version: "0.0.0",
        authentication: false,
      }),
    },
  });
  return {
    httpPort: listener.httpPort,
    grpcPort: listener.grpcPort,
    catalog,
    probe: (id) => service.probe(id),
    latest: () => service.latest(),
    ran: (id) => service.ran(id),
    method: (name) =>
      catalog.registry
        .getService(name.split("/")[0]!)!
        .methods.find((one) => one.name === name.split("/")[1])!,
    message: (name) => catalog.registry.getMessage(name)!,
    drain: () => listener.drain(),
    close: () => listener.close(),
  };
}

const root = path.resolve(import.meta.dirname, "../..");
/** The contract is outside the workspace of buf.yaml: it must not become part of what the product ships. */
const workspace = JSON.stringify({
  version: "v2",
  modules: [
    { path: "proto", excludes: ["proto/third_party"] },
    { path: "proto/third_party" },
    { path: "tests/support/proto" },
  ],
});

let descriptors: Uint8Array | undefined;

/** Compiled anew in each test file: 0.15 s, and no generated file that could be stale. */
export function echoDescriptors(): Uint8Array {
  descriptors ??= execFileSync(
    path.join(root, "node_modules/.bin/buf"),
    ["build", "tests/support/proto", "--config", workspace, "-o", "-#format=binpb"],
    { cwd: root, maxBuffer: 16 * 1024 * 1024 },
  );
  return descriptors;
}

export function encode(desc: DescMessage, message: Message): Buffer {
  return Buffer.from(toBinary(desc, message));
}

export function decode(desc: DescMessage, bytes: Uint8Array): Message {
  return fromBinary(desc, bytes);
}
