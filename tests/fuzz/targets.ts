/** What is fuzzed: readers of what clients write, as pure functions, each with what has to hold whatever comes in. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import type { Writable } from "node:stream";
import {
  create,
  createFileRegistry,
  type DescMessage,
  fromBinary,
  type Registry,
  toBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import type fc from "fast-check";
import * as ws from "ws";
import { decodeBinary } from "#gateway/codec/binary.ts";
import { encodeBinary } from "#gateway/codec/binary-writer.ts";
import { createCodec } from "#gateway/codec/codec.ts";
import { compileQueryBinder } from "#gateway/codec/query.ts";
import { Base64Decoder } from "#gateway/ingress/grpc-web/base64-stream.ts";
import { createFrameCodecs } from "#gateway/ingress/websocket/frames.ts";
import { createRouter } from "#gateway/router/router.ts";
import { parseTemplate, printTemplate, TemplateError } from "#gateway/router/template.ts";
import { FrameReader } from "#gateway/wire/grpc-frames.ts";
import { RpcError } from "#rpc/error.ts";
import { readModel } from "#services/bpmn/analyze.ts";
import { filterFields } from "#services/bpmn/list-query.ts";
import { scanXml } from "#services/bpmn/scan-xml.ts";
import { parseFilter } from "#storage/filter.ts";
import { toCondition } from "#storage/filter-sql.ts";
import { bytesLike, textsLike } from "./mutate.ts";

export interface Target {
  readonly name: string;
  /** Bytes are kept in hexadecimal, one input a line; texts as JSON. */
  readonly kind: "text" | "bytes";
  /** Fuzzed inputs. @param seeds the corpus. */
  inputs(seeds: readonly string[]): fc.Arbitrary<string | Buffer>;
  /** @throws AssertionError where something does not hold; anything else that is thrown is a finding as well. */
  check(input: string | Buffer): void | Promise<void>;
}

function textTarget(
  name: string,
  pieces: readonly string[],
  check: (input: string) => void | Promise<void>,
): Target {
  const inputs = (seeds: readonly string[]) => textsLike(seeds, pieces);
  return { name, kind: "text", inputs, check: (input) => check(String(input)) };
}

function bytesTarget(name: string, pieces: readonly string[], check: (input: Buffer) => void): Target {
  const inputs = (seeds: readonly string[]) => bytesLike(seeds, pieces);
  return { name, kind: "bytes", inputs, check: (input) => check(input as Buffer) };
}

/** Its types leave the reader out. */
const { Receiver } = ws as unknown as { Receiver: new (options: object) => Writable };

/** The value, or the reason of an error that is meant for clients; anything else goes on. */
function outcome<T>(run: () => T): { readonly value: T } | { readonly reason: string } {
  try {
    return { value: run() };
  } catch (error) {
    if (error instanceof RpcError) return { reason: error.reason };
    throw error;
  }
}

const contract = fromBinary(
  FileDescriptorSetSchema,
  readFileSync(path.resolve(import.meta.dirname, "../../src/gen/contract.binpb")),
);
const registry: Registry = createFileRegistry(contract);
const codec = createCodec(registry);
const message = (name: string): DescMessage => registry.getMessage(name)!;
const document = message("portico.bpmn.v1.BPMNDocument");
const listRequest = message("portico.bpmn.v1.ListBPMNRequest");
const updateRequest = message("portico.bpmn.v1.UpdateBPMNRequest");
const query = compileQueryBinder(listRequest, { bound: [] });
const updateQuery = compileQueryBinder(updateRequest, { bound: ["document.xml"] });

const socketFrames = createFrameCodecs();

/** The frames in these pieces. */
function framesOf(pieces: readonly Uint8Array[]): { readonly reason?: string; readonly frames: string[] } {
  const reader = new FrameReader(1000);
  const frames: string[] = [];
  const read = outcome(() => {
    for (const piece of pieces) {
      reader.push(piece);
      for (let frame = reader.next(); frame !== undefined; frame = reader.next())
        frames.push(`${frame.compressed} ${Buffer.from(frame.bytes).toString("hex")}`);
    }
    reader.end();
  });
  return { frames, ...("reason" in read ? { reason: read.reason } : {}) };
}

/** Cut at places that follow from what is cut: the same input is always cut the same way. */
function cut(bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + ((bytes[at] ?? 0) % 7);
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  return pieces;
}

export const targets: readonly Target[] = [
  bytesTarget("frames", ["00", "01", "02", "0000000000", "00000003e8", "00ffffffff", "80"], (input) => {
    // However the bytes come, they are the same frames.
    assert.deepEqual(framesOf(cut(input)), framesOf([input]));
  }),

  textTarget("envelopes", ["AAAA", "=", "==", "AA==", "AAAAAAE=", "\n", "-", "/w"], (input) => {
    const decode = (pieces: readonly Buffer[]) => {
      const decoder = new Base64Decoder();
      return outcome(() => Buffer.concat(pieces.map((piece) => decoder.push(piece))));
    };
    const bytes = Buffer.from(input, "latin1");
    const [whole, apart] = [decode([bytes]), decode(cut(bytes))];
    assert.deepEqual(apart, whole);
    if ("value" in whole) framesOf(cut(whole.value));
  }),

  textTarget(
    "templates",
    ["/", "{", "}", "*", "**", "=", ":", ".", "a", "{a}", "{a=*}", "{a=**}", "%2F", "v1"],
    (input) => {
      let template: ReturnType<typeof parseTemplate>;
      try {
        template = parseTemplate(input);
      } catch (error) {
        assert.ok(error instanceof TemplateError, String(error));
        assert.ok(error.column >= 1 && error.column <= input.length + 1);
        return;
      }
      assert.deepEqual(parseTemplate(printTemplate(template)), template);
      const binding = { method: "GET", template: input, target: 1 } as never;
      createRouter([binding], { reserved: [] });
    },
  ),

  textTarget(
    "query",
    [
      "&",
      "=",
      "pageSize",
      "page_size",
      "filter",
      "%",
      "%00",
      "%E4",
      "+",
      "document.",
      "labels",
      "showDeleted=true",
    ],
    (input) => {
      for (const [binder, desc] of [
        [query, listRequest],
        [updateQuery, updateRequest],
      ] as const) {
        const bound = create(desc);
        const read = outcome(() => binder.bind(bound, input));
        // What was bound is a message.
        if ("value" in read) toBinary(desc, bound);
        else assert.match(read.reason, /^FIELD_(INVALID|UNKNOWN|REPEATED)$/);
      }
    },
  ),

  textTarget(
    "filter",
    [
      "(",
      ")",
      "-",
      "NOT ",
      " AND ",
      " OR ",
      "=",
      "!=",
      "<=",
      ":",
      '"',
      "'",
      "\\",
      "*",
      "labels.",
      "id",
      "2026-01-01T00:00:00Z",
    ],
    (input) => {
      const read = outcome(() => {
        const filter = parseFilter(input);
        if (filter === undefined) return;
        for (const engine of ["sqlite", "postgres"] as const)
          toCondition(filter, { engine, fields: filterFields, anywhere: ["id", "display_name"] });
      });
      if ("reason" in read) assert.equal(read.reason, "FILTER_INVALID");
    },
  ),

  textTarget(
    "json",
    [
      "{",
      "}",
      "[",
      "]",
      ":",
      ",",
      '"',
      "\\u00",
      "\\ud800",
      "null",
      "1e400",
      "-0",
      '"@type"',
      '"labels"',
      '"xml"',
      "9007199254740993",
    ],
    (input) => {
      const read = outcome(() => codec.typeOf(document).decode(Buffer.from(input), "json"));
      if ("reason" in read) return;
      // What we take is JSON, and means the same when we write it.
      JSON.parse(input);
      const written = codec.typeOf(document).encode(read.value, "json");
      assert.deepEqual(codec.typeOf(document).decode(written, "json"), read.value);
    },
  ),

  bytesTarget(
    "binary",
    ["00", "0a", "12", "1a00", "ffffffffffffffffff01", "0b", "0c", "7a02", "8080808000", "a206"],
    (input) => {
      const limits = { maxElements: 50, maxDepth: 20 };
      const read = outcome(() => decodeBinary(document, input, limits));
      if ("reason" in read) assert.match(read.reason, /^(MESSAGE_MALFORMED|TOO_MANY_ELEMENTS)$/);
      else {
        // What is not known is kept as it came; bytes are compared, for it may be a view of the input.
        const written = toBinary(document, read.value);
        assert.deepEqual(Buffer.from(encodeBinary(document, read.value)), Buffer.from(written));
        // What is written may be longer, and then counted where the input was too short to be.
        const again = toBinary(
          document,
          decodeBinary(document, written, { ...limits, maxElements: 100_000 }),
        );
        assert.deepEqual(Buffer.from(again), Buffer.from(written));
      }
    },
  ),

  textTarget(
    "socket-json",
    [
      "{",
      "}",
      "[",
      ",",
      '"id":"1"',
      '"message":',
      '"call":{"method":"a/B"}',
      '"credit":1',
      '"end":true',
      "null",
      "1e999",
      '"\\ud800"',
      "message",
    ],
    (input) => {
      const bytes = Buffer.from(input);
      const frame = expectedError(() => socketFrames.json.read(bytes, false));
      if (frame?.message === undefined) return;
      const message = Buffer.from(frame.message).toString();
      let whole: { readonly message?: unknown };
      try {
        whole = JSON.parse(bytes.toString()) as typeof whole;
      } catch {
        // Then it is the message that is none, which the codec of its type refuses.
        assert.throws(() => JSON.parse(message));
        return;
      }
      assert.deepEqual(JSON.parse(message), whole.message);
    },
  ),

  bytesTarget("socket-proto", ["0a", "1200", "1a", "08", "ff", "2a00", "32020a00"], (input) => {
    expectedError(() => socketFrames.proto.read(input, true));
  }),

  bytesTarget(
    "socket-frames",
    [
      "81",
      "82",
      "01",
      "00",
      "80",
      "88",
      "89",
      "8a",
      "fe",
      "ff",
      "80000000",
      "8500000000",
      "c1",
      "83ffffffff",
    ],
    (input) => {
      const [whole, apart] = [received([input]), received(cut(input))];
      assert.deepEqual(apart, whole);
      assert.ok(!whole.some((one) => one === "error undefined"), "an error without a close code");
    },
  ),

  textTarget(
    "bpmn",
    [
      "<",
      ">",
      "/>",
      "</",
      "<!--",
      "-->",
      "<![CDATA[",
      "]]>",
      "<?",
      "?>",
      "<!DOCTYPE a>",
      "&",
      "&lt;",
      "&#0;",
      "'",
      '"',
      ' id="a"',
      "<task/>",
      "xmlns:",
      "\u0000",
    ],
    async (input) => {
      const scanned = scanXml(input);
      if (scanned !== undefined) assert.ok(scanned.line >= 1 && scanned.column >= 1, JSON.stringify(scanned));
      const model = await readModel(Buffer.from(input));
      if (scanned !== undefined) assert.equal(model.kind, "invalid");
      if (model.kind === "invalid") assert.ok(model.findings.length > 0);
    },
  ),
];

/** Errors that say what is wrong with what came; those of the language say that something is wrong here. */
function expectedError<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    assert.ok(error instanceof Error);
    const ours = !(
      error instanceof RangeError ||
      error instanceof TypeError ||
      error instanceof ReferenceError
    );
    assert.ok(ours, `${error.name}: ${error.message}`);
    assert.ok(error.message.length > 0);
    return undefined;
  }
}

/** What a socket's reader makes of these pieces. */
function received(pieces: readonly Buffer[]): string[] {
  const receiver = new Receiver({ isServer: true, maxPayload: 1000, maxFragments: 10 });
  const seen: string[] = [];
  for (const name of ["message", "ping", "pong", "conclude"] as const)
    receiver.on(name, (...given: unknown[]) => seen.push(`${name} ${given.map(String).join(" ")}`));
  receiver.on("error", (error: Error) => {
    const code = Object.getOwnPropertySymbols(error).map((key) => (error as never)[key]);
    seen.push(`error ${String(code[0])}`);
  });
  for (const piece of pieces) if (!receiver.destroyed) receiver.write(Buffer.from(piece));
  return seen;
}
