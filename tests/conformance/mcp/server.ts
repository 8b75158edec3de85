/** A server with the tools that MCP's conformance suite uses, and nothing else. */
import { EventEmitter, on } from "node:events";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { createDeadline, createRuntime } from "#gateway/dispatch/dispatch.ts";
import {
  createConnect,
  createGrpc,
  createGrpcWeb,
  createMcp,
  createPages,
  createRest,
  listen,
} from "#gateway/ingress/ingress.ts";
import type { CallHead } from "#rpc/call.ts";
import { systemClock as clock } from "#std/clock.ts";
import { echoDescriptors } from "../../support/echo.ts";
import { createTools } from "./tools.ts";

export interface ToolsServer {
  readonly url: string;
  /** Changes the watched resource, for all who follow it. */
  change(number: number): void;
  /** How many follow it. */
  readonly followers: number;
  /** As a process does that is told to end. */
  drain(): void;
  close(): Promise<void>;
}

export async function startTools({
  silent = false,
  ...options
}: Pick<Parameters<typeof createMcp>[0], "secret" | "sessionLimits" | "authenticator"> & {
  /** Whether streams of changes say nothing before the first one. */
  readonly silent?: boolean;
} = {}): Promise<ToolsServer> {
  const changes = new EventEmitter();
  const implementation = createTools(async function* (_: object, call: CallHead) {
    if (!silent) call.sendHeaders();
    for await (const [number] of on(changes, "change", { signal: call.signal })) yield { number };
  } as Parameters<typeof createTools>[0]);
  const catalog = loadCatalog({ descriptorSet: echoDescriptors() });
  const runtime = createRuntime({
    catalog,
    services: [{ desc: catalog.registry.getService("test.v1.Tools")!, implementation }],
    interceptors: [createDeadline({ clock })],
  });
  const own = { runtime: () => runtime };
  let url = "";
  const mcp = createMcp({ ...own, ...options, version: "0.0.0", serverUrl: () => url });
  const listener = await listen({
    ...{ host: "127.0.0.1", httpPort: 0, grpcPort: 0, clock },
    adapters: {
      grpc: createGrpc(own),
      grpcWeb: createGrpcWeb(createGrpc({ ...own, protocol: "grpc-web" })),
      connect: createConnect(own),
      rest: createRest({ ...own, serverUrl: () => url }),
      mcp,
      pages: createPages({
        ...{ ...own, ready: () => true, publicKeys: async () => ({ keys: [] }), reasons: [] },
        ...{ renderMetrics: () => "", serverUrl: () => url, version: "0.0.0", authentication: false },
      }),
    },
  });
  url = `http://localhost:${listener.httpPort}`;
  return {
    url: `${url}/mcp`,
    change: (number) => void changes.emit("change", number),
    get followers() {
      return changes.listenerCount("change");
    },
    drain: () => mcp.drain(),
    close: () => listener.close(),
  };
}
