/** The service that grpc's interoperability clients call, on our listener; its answers are those of grpc's own server. */
import { execFileSync } from "node:child_process";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { create, type DescMessage, type Message, toBinary } from "@bufbuild/protobuf";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { createDeadline, createRuntime } from "#gateway/dispatch/dispatch.ts";
import {
  createConnect,
  createGrpc,
  createGrpcWeb,
  createPages,
  createRest,
  type Listener,
  listen,
} from "#gateway/ingress/ingress.ts";
import type { CallHead } from "#rpc/call.ts";
import { codes, type ErrorCode } from "#rpc/code.ts";
import { RpcError } from "#rpc/error.ts";
import { systemClock as clock } from "#std/clock.ts";

type Tls = NonNullable<Parameters<typeof listen>[0]["tls"]>;

interface Report {
  readonly cpuUtilization: number;
  readonly memoryUtilization: number;
  readonly requestCost: Readonly<Record<string, number>>;
  readonly utilization: Readonly<Record<string, number>>;
}
interface Status {
  readonly code: number;
  readonly message: string;
}
interface SimpleRequest {
  readonly responseSize: number;
  readonly fillServerId: boolean;
  readonly responseStatus?: Status;
  readonly orcaPerQueryReport?: Report;
}
interface StreamingRequest {
  readonly responseParameters: readonly { readonly size: number; readonly intervalUs: number }[];
  readonly responseStatus?: Status;
  readonly orcaOobReport?: Report;
}

const initialKey = "x-grpc-test-echo-initial";
const trailingKey = "x-grpc-test-echo-trailing-bin";

function failWhereAsked(status: Status | undefined): void {
  if (status === undefined || status.code === 0) return;
  const found = (Object.keys(codes) as (ErrorCode | "ok")[]).find(
    (name) => codes[name].number === status.code,
  );
  const code = found === undefined || found === "ok" ? "unknown" : found;
  throw new RpcError(code, { reason: "", message: status.message });
}

function echoMetadata(call: CallHead): void {
  const initial = call.metadata.get(initialKey);
  if (initial !== undefined) call.responseHeaders.set(initialKey, initial);
  const [trailing] = call.metadata.getAll(trailingKey);
  if (trailing !== undefined) call.responseTrailers.set(trailingKey, trailing);
}

const payload = (size: number) => ({ payload: { type: 0, body: new Uint8Array(size) } });

async function* answers(request: StreamingRequest) {
  for (const { size, intervalUs } of request.responseParameters) {
    if (intervalUs > 0) await sleep(intervalUs / 1000);
    yield payload(size);
  }
}

/** What grpc's server keeps for clients that ask outside of their calls. */
class Load {
  readonly #desc: DescMessage;
  #report: Report = { cpuUtilization: 0, memoryUtilization: 0, requestCost: {}, utilization: {} };

  constructor(desc: DescMessage) {
    this.#desc = desc;
  }

  set(report: Report): void {
    this.#report = report;
  }

  message(report: Report = this.#report): Message {
    const { cpuUtilization, memoryUtilization, requestCost, utilization } = report;
    return create(this.#desc, {
      ...{ cpuUtilization, memUtilization: memoryUtilization, requestCost, utilization },
    } as Record<string, unknown>);
  }

  bytes(report: Report): Uint8Array {
    return toBinary(this.#desc, this.message(report));
  }
}

const testService = (load: Load) => ({
  emptyCall: () => ({}),
  unaryCall: (request: SimpleRequest, call: CallHead) => {
    echoMetadata(call);
    failWhereAsked(request.responseStatus);
    if (request.orcaPerQueryReport !== undefined)
      call.responseTrailers.set("endpoint-load-metrics-bin", load.bytes(request.orcaPerQueryReport));
    return { ...payload(request.responseSize), ...(request.fillServerId ? { serverId: "portico" } : {}) };
  },
  streamingOutputCall: (request: StreamingRequest) => answers(request),
  streamingInputCall: async (requests: AsyncIterable<{ payload?: { body: Uint8Array } }>) => {
    let sum = 0;
    for await (const request of requests) sum += request.payload?.body.length ?? 0;
    return { aggregatedPayloadSize: sum };
  },
  fullDuplexCall: async function* (requests: AsyncIterable<StreamingRequest>, call: CallHead) {
    echoMetadata(call);
    call.sendHeaders();
    for await (const request of requests) {
      failWhereAsked(request.responseStatus);
      if (request.orcaOobReport !== undefined) load.set(request.orcaOobReport);
      yield* answers(request);
    }
  },
  halfDuplexCall: async function* (requests: AsyncIterable<StreamingRequest>) {
    const all: StreamingRequest[] = [];
    for await (const request of requests) all.push(request);
    for (const request of all) yield* answers(request);
  },
});

const loadService = (load: Load) => ({
  streamCoreMetrics: async function* (_request: Message, call: CallHead) {
    while (!call.signal.aborted) {
      yield load.message();
      await sleep(500, undefined, { signal: call.signal });
    }
  },
});

export async function startInterop(tls?: Tls): Promise<Listener> {
  const root = path.resolve(import.meta.dirname, "../../..");
  const descriptorSet = execFileSync(
    path.join(root, "node_modules/.bin/buf"),
    ["build", path.join(import.meta.dirname, "proto"), "-o", "-#format=binpb"],
    { maxBuffer: 16 * 1024 * 1024 },
  );
  const catalog = loadCatalog({ descriptorSet });
  const { registry } = catalog;
  const load = new Load(registry.getMessage("xds.data.orca.v3.OrcaLoadReport")!);
  const runtime = createRuntime({
    catalog,
    services: [
      { desc: registry.getService("grpc.testing.TestService")!, implementation: testService(load) },
      { desc: registry.getService("xds.service.orca.v3.OpenRcaService")!, implementation: loadService(load) },
    ],
    interceptors: [createDeadline({ clock })],
  });
  const own = { runtime: () => runtime };
  return await listen({
    ...{ host: "127.0.0.1", httpPort: 0, grpcPort: 0, clock },
    ...(tls === undefined ? {} : { tls }),
    adapters: {
      grpc: createGrpc(own),
      grpcWeb: createGrpcWeb(createGrpc({ ...own, protocol: "grpc-web" })),
      connect: createConnect(own),
      rest: createRest({ ...own, serverUrl: () => "" }),
      pages: createPages({
        ...{ runtime: () => runtime, ready: () => true, publicKeys: async () => ({ keys: [] }), reasons: [] },
        ...{ renderMetrics: () => "", serverUrl: () => "", version: "0", authentication: false },
      }),
    },
  });
}
