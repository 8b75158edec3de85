/** A server with the tools that MCP's conformance suite uses, and nothing else. */
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
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
import { type HttpBody, HttpBodySchema } from "#gen/google/api/httpbody_pb.ts";
import { RpcError } from "#rpc/error.ts";
import { systemClock as clock } from "#std/clock.ts";
import { echoDescriptors } from "../../support/echo.ts";

const pixel = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==",
  "base64",
);
/** A WAVE file without a sample. */
const silence = Buffer.from("UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=", "base64");

const body = (contentType: string, data: Buffer | string): HttpBody =>
  create(HttpBodySchema, { contentType, data: Buffer.from(data as string) });

const implementation = {
  testSimpleText: async () => body("text/plain", "This is a simple text response for testing."),
  testImageContent: async () => body("image/png", pixel),
  testAudioContent: async () => body("audio/wav", silence),
  testEmbeddedResource: async () => body("text/markdown", "This is an embedded resource content."),
  testLoggingTool: async () => ({}),
  testErrorHandling: async () => {
    throw new RpcError("failed_precondition", {
      reason: "PLANNED",
      message: "This tool intentionally returns an error for testing",
    });
  },
  manyMessages: async function* () {
    for (let number = 1; number <= 1000; number += 1) yield { number };
  },
  testToolWithProgress: async function* () {
    for (const number of [1, 2, 3]) {
      yield { number };
      await sleep(20);
    }
  },
};

export async function startTools(): Promise<{ readonly url: string; close(): Promise<void> }> {
  const catalog = loadCatalog({ descriptorSet: echoDescriptors() });
  const runtime = createRuntime({
    catalog,
    services: [{ desc: catalog.registry.getService("test.v1.Tools")!, implementation }],
    interceptors: [createDeadline({ clock })],
  });
  const own = { runtime: () => runtime };
  let url = "";
  const listener = await listen({
    ...{ host: "127.0.0.1", httpPort: 0, grpcPort: 0, clock },
    adapters: {
      grpc: createGrpc(own),
      grpcWeb: createGrpcWeb(createGrpc({ ...own, protocol: "grpc-web" })),
      connect: createConnect(own),
      rest: createRest({ ...own, serverUrl: () => url }),
      mcp: createMcp({ ...own, version: "0.0.0", serverUrl: () => url }),
      pages: createPages({
        ...{ ...own, ready: () => true, publicKeys: async () => ({ keys: [] }), reasons: [] },
        ...{ renderMetrics: () => "", serverUrl: () => url, version: "0.0.0", authentication: false },
      }),
    },
  });
  url = `http://localhost:${listener.httpPort}`;
  return { url: `${url}/mcp`, close: () => listener.close() };
}
