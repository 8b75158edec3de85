/** Bad input in sizes, compression, frames, binary messages, deadlines and metadata. */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { type Case, callGrpc, frame, grpc, type Row, rest, type Servers } from "./bad-input.ts";

const mebi = 1024 * 1024;
const text = Buffer.from([0x0a, 0x01, 0x61]);
const echo = { at: "echo", target: "/v1/echo" } as const;
const gzip = { "grpc-encoding": "gzip" };

/** A gibibyte in one megabyte: members of gzip may follow one another. */
const member = gzipSync(Buffer.alloc(64 * mebi));
export const bomb = Buffer.concat(Array.from({ length: 16 }, () => member));

/** `child` in `child`, 101 deep. */
export function deepMessage(): Buffer {
  let message = Buffer.alloc(0);
  for (let depth = 0; depth < 101; depth += 1)
    message = Buffer.concat([tag(29, 2), varint(message.length), message]);
  return message;
}

/** A group of an unknown field in itself, 101 deep. */
export function deepGroup(): Buffer {
  return Buffer.concat([
    ...Array.from({ length: 101 }, () => tag(1000, 3)),
    ...Array.from({ length: 101 }, () => tag(1000, 4)),
  ]);
}

function tag(field: number, wireType: number): Buffer {
  return varint(field * 8 + wireType);
}

function varint(value: number): Buffer {
  const bytes = [];
  let left = value;
  for (; left > 127; left = Math.floor(left / 128)) bytes.push((left % 128) + 128);
  bytes.push(left);
  return Buffer.from(bytes);
}

/** `lists.messages`: two million of nothing. */
export function crowded(): Buffer {
  const items = Buffer.alloc(4 * mebi - 64);
  for (let at = 0; at < items.length; at += 2) items[at] = 0x22;
  return Buffer.concat([tag(30, 2), varint(items.length), items]);
}

/** Runs the case and holds how much the process grew by it. */
export function bounded(one: Case, maxMegabytes: number): Case {
  return {
    what: `${one.what}, in at most ${maxMegabytes} MB`,
    run: async (servers: Servers) => {
      global.gc?.();
      const before = process.memoryUsage.rss();
      await one.run(servers);
      const grown = (process.memoryUsage.rss() - before) / 1e6;
      assert.ok(grown <= maxMegabytes, `${grown} MB`);
    },
  };
}

export const nested = (open: string, close: string, depth: number): string =>
  open.repeat(depth) + close.repeat(depth);

export const grpcRows: readonly Row[] = [
  {
    row: 21,
    says: "a message of 4 MiB and one byte",
    rest: [
      rest("of JSON, whose limit is 1 MiB", { ...echo, body: `{"text":"${"a".repeat(4 * mebi)}"}` }, [
        413,
        { reason: "PAYLOAD_TOO_LARGE" },
      ]),
    ],
    grpc: [grpc("", { body: frame(Buffer.alloc(4 * mebi + 1)) }, [8, { reason: "PAYLOAD_TOO_LARGE" }])],
  },
  {
    row: 22,
    says: "one megabyte of gzip that holds a gibibyte",
    rest: [
      bounded(
        rest("", { ...echo, body: bomb, headers: { "content-encoding": "gzip" } }, [
          413,
          { reason: "PAYLOAD_TOO_LARGE", withinMs: 200 },
        ]),
        32,
      ),
    ],
    grpc: [
      bounded(
        grpc("", { body: frame(bomb, 1), headers: gzip }, [
          8,
          { reason: "PAYLOAD_TOO_LARGE", withinMs: 200 },
        ]),
        32,
      ),
    ],
  },
  {
    row: 23,
    says: "a declared length of 4 GiB",
    rest: "REST has no length prefixes",
    grpc: [
      bounded(
        grpc("", { body: frame(text, 0, 0xffffffff) }, [8, { reason: "PAYLOAD_TOO_LARGE", withinMs: 100 }]),
        8,
      ),
    ],
  },
  {
    row: 24,
    says: "a compressed flag without an encoding",
    rest: "REST has no such flag",
    grpc: [grpc("", { body: frame(gzipSync(text), 1) }, [13, { reason: "FRAME_MALFORMED" }])],
  },
  {
    row: 25,
    says: "an unknown encoding",
    rest: [
      rest("", { ...echo, body: "{}", headers: { "content-encoding": "snappy" } }, [
        415,
        { reason: "ENCODING_UNSUPPORTED", header: ["accept-encoding", /gzip/] },
      ]),
    ],
    grpc: [
      grpc("", { body: frame(text, 1), headers: { "grpc-encoding": "snappy" } }, [
        12,
        { reason: "COMPRESSION_UNKNOWN", header: ["grpc-accept-encoding", /^gzip, br, identity$/] },
      ]),
    ],
  },
  {
    row: 26,
    says: "corrupt gzip",
    rest: [
      rest("", { ...echo, body: "nope", headers: { "content-encoding": "gzip" } }, [
        400,
        { reason: "MESSAGE_MALFORMED" },
      ]),
    ],
    grpc: [grpc("", { body: frame(text, 1), headers: gzip }, [3, { reason: "MESSAGE_MALFORMED" }])],
  },
  {
    row: 27,
    says: "malformed protobuf and frames",
    rest: "REST carries JSON; its malformed bodies are row 36",
    grpc: [
      grpc("truncated", { body: frame(Buffer.from([0x0a, 0x05, 0x61])) }, [
        3,
        { reason: "MESSAGE_MALFORMED" },
      ]),
      grpc("tag 0", { body: frame(Buffer.from([0, 0])) }, [3, { reason: "MESSAGE_MALFORMED" }]),
      grpc("wire type 7", { body: frame(Buffer.from([0x0f])) }, [3, { reason: "MESSAGE_MALFORMED" }]),
      grpc("a varint of 11 bytes", { body: frame(Buffer.from([0x18, ...Array(10).fill(0xff), 1])) }, [
        3,
        { reason: "MESSAGE_MALFORMED" },
      ]),
      grpc("a truncated envelope", { body: frame(text, 0, text.length + 5) }, [
        13,
        { reason: "FRAME_MALFORMED" },
      ]),
    ],
  },
  {
    row: 28,
    says: "101 levels",
    rest: [
      rest("of JSON", { ...echo, body: nested('{"child":', "}", 101).replace(":}", ":{}}") }, [
        400,
        { reason: "MESSAGE_MALFORMED", message: /deeper than 64 levels/ },
      ]),
      rest("in a Struct", { ...echo, body: `{"struct":{"a":${nested("[", "]", 101)}}}` }, [
        400,
        { reason: "MESSAGE_MALFORMED" },
      ]),
      rest(
        "of Any",
        {
          ...echo,
          body: `${'{"any":{"@type":"x/test.v1.Everything","child":'.repeat(51)}{}${"}}".repeat(51)}`,
        },
        [400, { reason: "MESSAGE_MALFORMED" }],
      ),
    ],
    grpc: [
      grpc("of messages", { body: frame(deepMessage()) }, [3, { reason: "MESSAGE_MALFORMED" }]),
      grpc("of groups", { body: frame(deepGroup()) }, [3, { reason: "MESSAGE_MALFORMED" }]),
    ],
  },
  {
    row: 29,
    says: "two million messages of nothing in 4 MiB",
    rest: [
      rest(
        "as many as JSON's 1 MiB holds",
        { ...echo, body: `{"lists":{"messages":[${"{},".repeat(340_000)}{}]}}` },
        [413, { reason: "TOO_MANY_ELEMENTS", withinMs: 100 }],
      ),
      ...["a,", "a.", "aB"].map((piece) =>
        rest(
          `a field mask of ${piece}${piece}${piece}…`,
          { ...echo, body: `{"mask":"${piece.repeat(500_000)}a"}` },
          [413, { reason: "TOO_MANY_ELEMENTS", withinMs: 100 }],
        ),
      ),
    ],
    grpc: [
      bounded(
        grpc("", { body: frame(crowded()) }, [8, { reason: "TOO_MANY_ELEMENTS", withinMs: 100 }]),
        // Two requests of 4 MiB, each in the client's memory and the server's.
        32,
      ),
      grpc("a field mask in JSON", { json: true, body: frame(`{"mask":"${"a,".repeat(500_000)}a"}`) }, [
        8,
        { reason: "TOO_MANY_ELEMENTS", withinMs: 100 },
      ]),
    ],
  },
  {
    row: 30,
    says: "no message or two where there is one",
    rest: "a body of REST is one message",
    grpc: [
      grpc("none", { body: Buffer.alloc(0) }, [12]),
      grpc("two", { body: Buffer.concat([frame(text), frame(text)]) }, [12]),
    ],
  },
  {
    row: 31,
    says: "a malformed timeout",
    rest: [
      rest("Grpc-Timeout", { ...echo, body: "{}", headers: { "grpc-timeout": "99H99" } }, [
        400,
        { reason: "TIMEOUT_INVALID" },
      ]),
      rest("Portico-Timeout", { ...echo, body: "{}", headers: { "portico-timeout": "soon" } }, [
        400,
        { reason: "TIMEOUT_INVALID" },
      ]),
    ],
    grpc: [
      grpc("", { body: frame(text), headers: { "grpc-timeout": "99H99" } }, [
        3,
        { reason: "TIMEOUT_INVALID" },
      ]),
    ],
  },
  {
    row: 32,
    says: "a timeout of a nanosecond",
    rest: [
      rest("", { ...echo, body: "{}", headers: { "grpc-timeout": "1n" } }, [
        504,
        { reason: "DEADLINE_EXCEEDED" },
      ]),
    ],
    grpc: [
      grpc("", { body: frame(text), headers: { "grpc-timeout": "1n" } }, [
        4,
        { reason: "DEADLINE_EXCEEDED" },
      ]),
    ],
  },
  {
    row: 33,
    says: "metadata that is not what it says",
    rest: [
      rest(
        "a -bin header is a header like others",
        { ...echo, body: "{}", headers: { "a-bin": "***" } },
        [200],
      ),
      rest("grpc-status means nothing", { ...echo, body: "{}", headers: { "grpc-status": "7" } }, [200]),
    ],
    grpc: [
      grpc("a -bin value that is not base64", { body: frame(text), headers: { "a-bin": "***" } }, [
        3,
        { reason: "METADATA_INVALID" },
      ]),
      grpc("grpc-status means nothing", { body: frame(text), headers: { "grpc-status": "7" } }, [0]),
    ],
  },
  {
    row: 80,
    says: "a handler that throws",
    rest: [
      rest("", { ...echo, body: "{}", headers: { "echo-plan": '{"throws":"secret at db.ts:7"}' } }, [
        500,
        { reason: "INTERNAL", message: /^(?!.*secret)/ },
      ]),
    ],
    grpc: [
      grpc("", { body: frame(text), headers: { "echo-plan": '{"throws":"secret at db.ts:7"}' } }, [
        13,
        { reason: "INTERNAL", message: /^(?!.*secret)/ },
      ]),
      {
        what: "and the next call is served",
        run: async ({ echo: server }) =>
          assert.equal(
            (await callGrpc(server.grpcPort, "/test.v1.Echo/Unary", { body: frame(text), headers: {} })).code,
            0,
          ),
      },
    ],
  },
];
