/**
 * What protobuf's conformance runner tests: reads requests from standard input and answers on standard output, each behind its length in
 * four bytes, by way of the gateway's codec, or of protobuf-es alone for comparison.
 *
 * Usage: node testee.ts FOLDER-OF-THE-PROTOS ours|protobuf-es
 */
import { execFileSync } from "node:child_process";
import { readSync, writeSync } from "node:fs";
import path from "node:path";
import {
  create,
  createFileRegistry,
  createRegistry,
  type DescMessage,
  fromBinary,
  fromJsonString,
  type Message,
  type Registry,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { createCodec } from "#gateway/codec/codec.ts";
import { RpcError } from "#rpc/error.ts";
import type { Encoding } from "#rpc/payload.ts";

interface Request {
  readonly payload:
    | { readonly case: "protobufPayload"; readonly value: Uint8Array }
    | { readonly case: "jsonPayload" | "jspbPayload" | "textPayload"; readonly value: string }
    | { readonly case: undefined };
  readonly requestedOutputFormat: number;
  readonly messageType: string;
  readonly testCategory: number;
}
type Result = Readonly<Record<string, unknown>>;

/** Reading and writing one message, with JSON keys that the message does not have refused or passed over. */
interface Codec {
  read(desc: DescMessage, bytes: Uint8Array, encoding: Encoding, ignoreUnknown: boolean): Message;
  write(desc: DescMessage, message: Message, encoding: Encoding): Uint8Array;
}

// conformance.WireFormat and conformance.TestCategory.
const wire = { protobuf: 1, json: 2 } as const;
const jsonIgnoreUnknown = 3;

const [protos = "", kind = "ours"] = process.argv.slice(2);
const root = path.resolve(import.meta.dirname, "../../..");
const files = fromBinary(
  FileDescriptorSetSchema,
  execFileSync(path.join(root, "node_modules/.bin/buf"), ["build", protos, "-o", "-#format=binpb"], {
    maxBuffer: 16 * 1024 * 1024,
  }),
);
const registry = createFileRegistry(files);
const typeOf = (name: string): DescMessage => {
  const desc = registry.getMessage(name);
  if (desc === undefined) throw new Error(`${protos} has no ${name}`);
  return desc;
};

function gatewayCodec(types: Registry): Codec {
  // The runner counts fields that hold their default as mistakes, which our clients are glad to see.
  const strict = createCodec(types, { defaults: "omit" });
  const loose = createCodec(types, { unknownFields: "ignore" });
  return {
    read: (desc, bytes, encoding, ignore) => (ignore ? loose : strict).typeOf(desc).decode(bytes, encoding),
    write: (desc, message, encoding) => strict.typeOf(desc).encode(message, encoding),
  };
}

function plainCodec(types: Registry): Codec {
  return {
    read: (desc, bytes, encoding, ignoreUnknownFields) =>
      encoding === "proto"
        ? fromBinary(desc, bytes)
        : fromJsonString(desc, Buffer.from(bytes).toString(), { registry: types, ignoreUnknownFields }),
    write: (desc, message, encoding) =>
      encoding === "proto"
        ? toBinary(desc, message)
        : Buffer.from(toJsonString(desc, message, { registry: types })),
  };
}

const codec = kind === "ours" ? gatewayCodec(createRegistry(registry)) : plainCodec(createRegistry(registry));

function answer(request: Request): Result {
  const { payload, requestedOutputFormat: format, messageType } = request;
  // The runner begins by asking for tests that are known to fail.
  if (messageType === "conformance.FailureSet") return { protobufPayload: new Uint8Array(0) };
  if (payload.case === "jspbPayload" || payload.case === "textPayload" || payload.case === undefined)
    return { skipped: `${payload.case} is not spoken here` };
  if (format !== wire.protobuf && format !== wire.json) return { skipped: "the format is not spoken here" };
  const desc = typeOf(messageType);
  let message: Message;
  try {
    message =
      payload.case === "protobufPayload"
        ? codec.read(desc, payload.value, "proto", false)
        : codec.read(desc, Buffer.from(payload.value), "json", request.testCategory === jsonIgnoreUnknown);
  } catch (error) {
    // Ours tell what is wrong with the request; anything else is a crash.
    if (kind === "ours" && !(error instanceof RpcError)) return { runtimeError: String(error) };
    return { parseError: String(error) };
  }
  try {
    const bytes = codec.write(desc, message, format === wire.protobuf ? "proto" : "json");
    return format === wire.protobuf
      ? { protobufPayload: bytes }
      : { jsonPayload: Buffer.from(bytes).toString() };
  } catch (error) {
    return { serializeError: String(error) };
  }
}

/** @returns undefined at the end of the input. */
function readExactly(size: number): Buffer | undefined {
  const bytes = Buffer.alloc(size);
  let at = 0;
  while (at < size) {
    const read = readSync(0, bytes, at, size - at, null);
    if (read === 0) return undefined;
    at += read;
  }
  return bytes;
}

function writeAll(bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at);
}

const requestType = typeOf("conformance.ConformanceRequest");
const responseType = typeOf("conformance.ConformanceResponse");
for (;;) {
  const head = readExactly(4);
  const body = head === undefined ? undefined : readExactly(head.readUInt32LE());
  if (body === undefined) break;
  const [[name, value] = ["skipped", ""]] = Object.entries(
    answer(fromBinary(requestType, body) as unknown as Request),
  );
  const response = create(responseType, { result: { case: name, value } } as Record<string, unknown>);
  const bytes = Buffer.from(toBinary(responseType, response));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  writeAll(Buffer.concat([length, bytes]));
}
