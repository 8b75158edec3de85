/**
 * Portico's own way of a call with the parts that BENCH_PARTS names and no other, in front of a handler that has the document at hand: two such
 * processes that differ in one part show what it costs a whole call. All protocols are on the one port.
 */
import { createRuntime } from "#gateway/dispatch/dispatch.ts";
import {
  createConnect,
  createGrpc,
  createGrpcWeb,
  createPages,
  createRest,
  listen,
} from "#gateway/ingress/ingress.ts";
import { systemClock as clock } from "#std/clock.ts";
import { BPMNService, documentFromEnvironment } from "../message.ts";
import { createParts, partNames } from "../parts.ts";

const wanted = new Set((process.env.BENCH_PARTS ?? "").split(";").filter((name) => name !== ""));
const parts = await createParts();
const document = documentFromEnvironment();
const others = Object.fromEntries(
  BPMNService.methods.map(({ localName }) => [
    localName,
    () => {
      throw new Error(`${localName} is not measured`);
    },
  ]),
);
const runtime = createRuntime({
  catalog: parts.catalog,
  services: [{ desc: BPMNService, implementation: { ...others, getBPMN: () => document } }],
  interceptors: partNames.filter((name) => wanted.has(name)).map((name) => parts.of[name]),
});
const of = { runtime: () => runtime };
const listener = await listen({
  ...{ host: "127.0.0.1", httpPort: 0, grpcPort: 0, clock },
  adapters: {
    grpc: createGrpc(of),
    grpcWeb: createGrpcWeb(createGrpc({ ...of, protocol: "grpc-web" })),
    connect: createConnect(of),
    rest: createRest({ ...of, serverUrl: () => "" }),
    pages: createPages({
      ...{ ...of, ready: () => true, reasons: [], version: "0", authentication: false },
      ...{ publicKeys: async () => ({ keys: [] }), renderMetrics: () => "", serverUrl: () => "" },
    }),
  },
});
console.log(`ready ${listener.httpPort} ${parts.key}`);
