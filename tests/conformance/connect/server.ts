/**
 * The server that `connectconformance` tests: its ConformanceService on our listener, with what it asks for on standard input (protocol,
 * HTTP version, TLS, message limit).
 *
 * Usage: node server.ts FOLDER-OF-THE-CONFORMANCE-PROTOS
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { create, type DescMessage, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema, anyPack } from "@bufbuild/protobuf/wkt";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { createDeadline, createRuntime } from "#gateway/dispatch/dispatch.ts";
import {
  createConnect,
  createGrpc,
  createGrpcWeb,
  createPages,
  createRest,
  listen,
} from "#gateway/ingress/ingress.ts";
import type { CallHead } from "#rpc/call.ts";
import { codes, type ErrorCode } from "#rpc/code.ts";
import { RpcError } from "#rpc/error.ts";
import type { Metadata } from "#rpc/metadata.ts";
import { systemClock as clock } from "#std/clock.ts";

const root = path.resolve(import.meta.dirname, "../../..");
const [protos = ""] = process.argv.slice(2);
const descriptorSet = execFileSync(
  path.join(root, "node_modules/.bin/buf"),
  ["build", protos, "-o", "-#format=binpb"],
  { maxBuffer: 16 * 1024 * 1024 },
);
const catalog = loadCatalog({ descriptorSet, codec: { unknownFields: "ignore" } });
const prefix = "connectrpc.conformance.v1";
const typeOf = (name: string): DescMessage => {
  const desc = catalog.registry.getMessage(`${prefix}.${name}`);
  if (desc === undefined) throw new Error(`${protos} has no ${name}`);
  return desc;
};

interface Header {
  readonly name: string;
  readonly value: readonly string[];
}
interface Failure {
  readonly code: number;
  readonly message?: string;
  readonly details: readonly Any[];
}
interface Definition {
  readonly responseHeaders: readonly Header[];
  readonly responseTrailers: readonly Header[];
  readonly responseDelayMs: number;
  readonly response?: { readonly case: "responseData" | "error" | undefined; readonly value: unknown };
  readonly responseData?: readonly Uint8Array[];
  readonly error?: Failure;
}
type Request = Message & { readonly responseDefinition?: Definition; readonly fullDuplex?: boolean };

function requestInfo(requests: readonly Any[], call: CallHead): Message {
  const headers = new Map<string, string[]>();
  for (const [name, value] of call.metadata.entries()) {
    const text = typeof value === "string" ? value : Buffer.from(value).toString("base64").replace(/=+$/, "");
    headers.set(name, [...(headers.get(name) ?? []), text]);
  }
  return create(typeOf("ConformancePayload.RequestInfo"), {
    requests,
    requestHeaders: [...headers].map(([name, value]) => ({ name, value })),
    ...(call.timeoutMs === undefined ? {} : { timeoutMs: BigInt(Math.round(call.timeoutMs)) }),
  } as Record<string, unknown>);
}

function pack(message: Message): Any {
  const desc = catalog.registry.getMessage(message.$typeName);
  if (desc === undefined) throw new Error(message.$typeName);
  return anyPack(desc, message);
}

function setAll(metadata: Metadata, headers: readonly Header[]): void {
  for (const { name, value } of headers)
    for (const one of value)
      metadata.append(
        name.toLowerCase(),
        name.toLowerCase().endsWith("-bin") ? new Uint8Array(Buffer.from(one, "base64")) : one,
      );
}

function prepare(definition: Definition | undefined, call: CallHead): void {
  setAll(call.responseHeaders, definition?.responseHeaders ?? []);
  setAll(call.responseTrailers, definition?.responseTrailers ?? []);
}

const names = Object.keys(codes) as (ErrorCode | "ok")[];

/** Details as they are: nothing of ours is added to what the service said. */
function failure(error: Failure, info: Message | undefined): RpcError {
  const found = names.find((name) => codes[name].number === error.code);
  const code = found === undefined || found === "ok" ? "unknown" : found;
  const details = [
    ...error.details.map((one) => create(AnySchema, one)),
    ...(info === undefined ? [] : [pack(info)]),
  ];
  return new RpcError(code, { reason: "", message: error.message ?? "", details });
}

const payload = (data: Uint8Array, info?: Message) => ({
  payload: create(typeOf("ConformancePayload"), {
    data,
    ...(info === undefined ? {} : { requestInfo: info }),
  } as Record<string, unknown>),
});
const nothing = new Uint8Array(0);

async function answerOne(definition: Definition | undefined, requests: readonly Message[], call: CallHead) {
  prepare(definition, call);
  if (definition !== undefined && definition.responseDelayMs > 0) await sleep(definition.responseDelayMs);
  const info = requestInfo(requests.map(pack), call);
  const { response } = definition ?? {};
  if (response?.case === "error") throw failure(response.value as Failure, info);
  return payload(response?.case === "responseData" ? (response.value as Uint8Array) : nothing, info);
}

const implementation = {
  unary: (request: Request, call: CallHead) => answerOne(request.responseDefinition, [request], call),
  idempotentUnary: (request: Request, call: CallHead) =>
    answerOne(request.responseDefinition, [request], call),
  unimplemented: () => {
    throw new RpcError("unimplemented", { reason: "", message: "this method is not implemented" });
  },
  clientStream: async (requests: AsyncIterable<Request>, call: CallHead) => {
    const all: Request[] = [];
    for await (const request of requests) all.push(request);
    return await answerOne(all[0]?.responseDefinition, all, call);
  },
  serverStream: async function* (request: Request, call: CallHead) {
    const definition = request.responseDefinition;
    prepare(definition, call);
    call.sendHeaders();
    const info = requestInfo([pack(request)], call);
    for (const [index, data] of (definition?.responseData ?? []).entries()) {
      if (definition !== undefined && definition.responseDelayMs > 0) await sleep(definition.responseDelayMs);
      yield payload(data, index === 0 ? info : undefined);
    }
    if (definition?.error !== undefined)
      throw failure(definition.error, definition.responseData?.length === 0 ? info : undefined);
  },
  bidiStream: async function* (requests: AsyncIterable<Request>, call: CallHead) {
    let definition: Definition | undefined;
    let duplex = false;
    let sent = 0;
    let pending: Any[] = [];
    let first = true;
    for await (const request of requests) {
      pending.push(pack(request));
      if (first) {
        definition = request.responseDefinition;
        duplex = request.fullDuplex === true;
        prepare(definition, call);
        if (duplex) call.sendHeaders();
        first = false;
      }
      if (!duplex) continue;
      const data = definition?.responseData?.[sent];
      if (data === undefined) break;
      if (definition !== undefined && definition.responseDelayMs > 0) await sleep(definition.responseDelayMs);
      yield payload(data, requestInfo(pending, call));
      pending = [];
      sent += 1;
    }
    if (!duplex) call.sendHeaders();
    const data = definition?.responseData ?? [];
    const info = requestInfo(pending, call);
    for (; sent < data.length; sent += 1) {
      if (definition !== undefined && definition.responseDelayMs > 0) await sleep(definition.responseDelayMs);
      const tells = duplex ? pending.length > 0 : sent === 0;
      yield payload(data[sent] ?? nothing, tells ? info : undefined);
      pending = [];
    }
    if (definition?.error !== undefined) throw failure(definition.error, sent === 0 ? info : undefined);
  },
};

async function readRequest(): Promise<Message> {
  let all = Buffer.alloc(0);
  for await (const chunk of process.stdin) {
    all = Buffer.concat([all, chunk as Buffer]);
    if (all.length >= 4 && all.length >= 4 + all.readUInt32BE(0)) break;
  }
  return fromBinary(typeOf("ServerCompatRequest"), all.subarray(4, 4 + all.readUInt32BE(0)));
}

const asked = (await readRequest()) as Message & {
  readonly useTls: boolean;
  readonly clientTlsCert: Uint8Array;
  readonly messageReceiveLimit: number;
  readonly serverCreds?: { readonly cert: Uint8Array; readonly key: Uint8Array };
};
const folder = mkdtempSync(path.join(tmpdir(), "portico-conformance-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
process.on("SIGTERM", () => process.exit(0));
const put = (name: string, bytes: Uint8Array): string => {
  const file = path.join(folder, name);
  writeFileSync(file, bytes);
  return file;
};
const service = catalog.registry.getService(`${prefix}.ConformanceService`);
if (service === undefined) throw new Error(`${protos} has no service`);
const runtime = createRuntime({
  catalog,
  services: [{ desc: service, implementation }],
  interceptors: [createDeadline({ clock })],
});
const maxMessageBytes = asked.messageReceiveLimit === 0 ? 4 * 1024 * 1024 : asked.messageReceiveLimit;
// The suite counts what is in an error: what we add to the service's own details would be one too many.
const common = {
  ...{ runtime: () => runtime, maxMessageBytes, ownDetails: false, serverUrl: () => "" },
  // Its messages of a limit's size are one letter over and over, which the default takes for a bomb: this is the option's largest value.
  maxInflation: 10_000,
};
const listener = await listen({
  ...{ host: "127.0.0.1", httpPort: 0, grpcPort: 0, clock },
  ...(asked.useTls && asked.serverCreds !== undefined
    ? {
        tls: {
          certFile: put("cert.pem", asked.serverCreds.cert),
          keyFile: put("key.pem", asked.serverCreds.key),
          clientCaFile: asked.clientTlsCert.length === 0 ? undefined : put("ca.pem", asked.clientTlsCert),
          clientCertificate: asked.clientTlsCert.length === 0 ? "off" : "require",
        } as const,
      }
    : {}),
  adapters: {
    grpc: createGrpc(common),
    grpcWeb: createGrpcWeb(createGrpc({ ...common, protocol: "grpc-web" })),
    connect: createConnect(common),
    rest: createRest(common),
    pages: createPages({
      ...{ runtime: () => runtime, ready: () => true, publicKeys: async () => ({ keys: [] }), reasons: [] },
      ...{ renderMetrics: () => "", serverUrl: () => "", version: "0", authentication: false },
    }),
  },
});
const answer = toBinary(
  typeOf("ServerCompatResponse"),
  create(typeOf("ServerCompatResponse"), {
    ...{ host: "127.0.0.1", port: listener.httpPort },
    ...(asked.serverCreds === undefined ? {} : { pemCert: asked.serverCreds.cert }),
  } as Record<string, unknown>),
);
const head = Buffer.alloc(4);
head.writeUInt32BE(answer.length);
process.stdout.write(Buffer.concat([head, answer]));
