/**
 * The rows of sizes, compression, frames, deadlines and metadata once more, over Connect, gRPC-Web and WebSocket: the same input, and the answer
 * that those protocols have for it.
 */
import { gzipSync } from "node:zlib";
import { frame, type Row } from "./bad-input.ts";
import { connect, connectStream, grpcWeb, webSocket } from "./bad-input-everywhere.ts";
import { bomb, bounded, crowded, deepGroup, deepMessage, nested } from "./rows-grpc.ts";

const mebi = 1024 * 1024;
const text = Buffer.from([0x0a, 0x01, 0x61]);
const gzip = { "grpc-encoding": "gzip" };
const plan = (what: object): Readonly<Record<string, string>> => ({ "echo-plan": JSON.stringify(what) });
const tooLarge = { reason: "PAYLOAD_TOO_LARGE" };
const malformed = { reason: "MESSAGE_MALFORMED" };

const tooManyHeaders = { reason: "HEADERS_TOO_MANY" };
const manyNames = Object.fromEntries(Array.from({ length: 101 }, (_unused, at) => [`x-${at}`, "1"]));

type Columns = Pick<Row, "connect" | "grpcWeb" | "webSocket">;

/** By row. */
export const otherColumns: Readonly<Record<number, Columns>> = {
  7: {
    connect: [
      connect("17 KB", { headers: { x: "a".repeat(17_000) } }, [431, undefined]),
      connect("101 headers", { headers: manyNames }, [431, undefined]),
    ],
    webSocket: [
      webSocket("17 KB", "{}", [8, tooManyHeaders], { metadata: { x: "a".repeat(17_000) } }),
      webSocket("101 names", "{}", [8, tooManyHeaders], { metadata: manyNames }),
    ],
  },
  18: {
    connect: [
      connect("an unknown method", { target: "/test.v1.Echo/Nothing" }, [404, "unimplemented"]),
      connect("an unknown service", { target: "/no.Such/Method" }, [404, "unimplemented"]),
    ],
    grpcWeb: [
      grpcWeb("an unknown method", { path: "/test.v1.Echo/Nothing", body: frame(text) }, [
        12,
        { reason: "METHOD_UNKNOWN" },
      ]),
    ],
    webSocket: [
      webSocket("an unknown method", "{}", [12, { reason: "METHOD_UNKNOWN" }], {
        method: "test.v1.Echo/Nothing",
      }),
    ],
  },
  19: {
    connect: [
      connect(
        "GET of a method with side effects",
        { method: "GET", target: "/test.v1.Echo/Unary?connect=v1&encoding=json&message=%7B%7D" },
        [405, undefined, { header: ["allow", /POST/] }],
      ),
    ],
    grpcWeb: "a browser's library sends POST alone",
    webSocket: "frames have no HTTP methods",
  },
  20: {
    connect: [
      connect("a foreign content type", { type: "application/connect+xml", body: "a" }, [
        415,
        undefined,
        { header: ["accept-post", /application\/(connect\+)?proto/] },
      ]),
    ],
    grpcWeb: "row 34 has its content types",
    webSocket: "subprotocols are in tests/e2e/websocket.test.ts",
  },
  21: {
    connect: [
      connect("", { body: Buffer.alloc(4 * mebi + 1) }, [429, "resource_exhausted", tooLarge]),
      connectStream("", { body: frame(Buffer.alloc(4 * mebi + 1)) }, ["resource_exhausted", tooLarge]),
    ],
    grpcWeb: [grpcWeb("", { body: frame(Buffer.alloc(4 * mebi + 1)) }, [8, tooLarge])],
    webSocket: [webSocket("of JSON, whose limit is 1 MiB", `"${"a".repeat(mebi)}"`, [1009])],
  },
  22: {
    connect: [
      bounded(
        connect("", { body: bomb, headers: { "content-encoding": "gzip" } }, [
          429,
          "resource_exhausted",
          { ...tooLarge, withinMs: 200 },
        ]),
        32,
      ),
      bounded(
        connectStream("", { body: frame(bomb, 1), headers: { "connect-content-encoding": "gzip" } }, [
          "resource_exhausted",
          { ...tooLarge, withinMs: 200 },
        ]),
        32,
      ),
    ],
    grpcWeb: [
      bounded(grpcWeb("", { body: frame(bomb, 1), headers: gzip }, [8, { ...tooLarge, withinMs: 200 }]), 32),
    ],
    webSocket: "messages are not compressed: no extension is negotiated (row 66)",
  },
  23: {
    connect: [
      bounded(connectStream("", { body: frame(text, 0, 0xffffffff) }, ["resource_exhausted", tooLarge]), 8),
    ],
    grpcWeb: [bounded(grpcWeb("", { body: frame(text, 0, 0xffffffff) }, [8, tooLarge]), 8)],
    webSocket: "lengths of frames are in tests/conformance/websocket-frames.test.ts",
  },
  24: {
    connect: [
      connectStream("", { body: frame(gzipSync(text), 1) }, ["internal", { reason: "FRAME_MALFORMED" }]),
    ],
    grpcWeb: [grpcWeb("", { body: frame(gzipSync(text), 1) }, [13, { reason: "FRAME_MALFORMED" }])],
    webSocket: "a frame's compression is a reserved bit (row 65)",
  },
  25: {
    connect: [
      connect("", { body: text, headers: { "content-encoding": "snappy" } }, [
        501,
        "unimplemented",
        { reason: "COMPRESSION_UNKNOWN", header: ["accept-encoding", /gzip/] },
      ]),
      connectStream("", { body: frame(text, 1), headers: { "connect-content-encoding": "snappy" } }, [
        "unimplemented",
        { reason: "COMPRESSION_UNKNOWN" },
      ]),
    ],
    grpcWeb: [
      grpcWeb("", { body: frame(text, 1), headers: { "grpc-encoding": "snappy" } }, [
        12,
        { reason: "COMPRESSION_UNKNOWN" },
      ]),
    ],
    webSocket: "messages are not compressed",
  },
  26: {
    connect: [
      connect("", { body: Buffer.from("nope"), headers: { "content-encoding": "gzip" } }, [
        400,
        "invalid_argument",
        malformed,
      ]),
      connectStream("", { body: frame("nope", 1), headers: { "connect-content-encoding": "gzip" } }, [
        "invalid_argument",
        malformed,
      ]),
    ],
    grpcWeb: [grpcWeb("", { body: frame("nope", 1), headers: gzip }, [3, malformed])],
    webSocket: "messages are not compressed",
  },
  27: {
    connect: [
      ...(
        [
          ["truncated", Buffer.from([0x0a, 0x05, 0x61])],
          ["tag 0", Buffer.from([0, 0])],
          ["wire type 7", Buffer.from([0x0f])],
          ["a varint of 11 bytes", Buffer.from([0x18, ...Array<number>(10).fill(0xff), 1])],
        ] as const
      ).map(([what, body]) => connect(what, { body }, [400, "invalid_argument", malformed])),
      connectStream("a truncated envelope", { body: frame(text, 0, text.length + 5) }, [
        "internal",
        { reason: "FRAME_MALFORMED" },
      ]),
    ],
    grpcWeb: [
      grpcWeb("truncated", { body: frame(Buffer.from([0x0a, 0x05, 0x61])) }, [3, malformed]),
      grpcWeb("a truncated envelope", { body: frame(text, 0, text.length + 5) }, [
        13,
        { reason: "FRAME_MALFORMED" },
      ]),
    ],
    webSocket: "portico.v1+proto has the same decoder; its frames are in tests/fuzz",
  },
  28: {
    connect: [
      connect("of messages", { body: deepMessage() }, [400, "invalid_argument", malformed]),
      connect("of groups", { body: deepGroup() }, [400, "invalid_argument", malformed]),
      connect("of JSON", { body: nested('{"child":', "}", 101).replace(":}", ":{}}") }, [
        400,
        "invalid_argument",
        malformed,
      ]),
    ],
    grpcWeb: [grpcWeb("of messages", { body: frame(deepMessage()) }, [3, malformed])],
    webSocket: [webSocket("of JSON", nested('{"child":', "}", 101).replace(":}", ":{}}"), [4400])],
  },
  29: {
    connect: [
      bounded(
        connect("", { body: crowded() }, [
          429,
          "resource_exhausted",
          { reason: "TOO_MANY_ELEMENTS", withinMs: 100 },
        ]),
        32,
      ),
    ],
    grpcWeb: [
      bounded(
        grpcWeb("", { body: frame(crowded()) }, [8, { reason: "TOO_MANY_ELEMENTS", withinMs: 100 }]),
        // The client's two copies of it in base64 are in this process as well.
        48,
      ),
    ],
    webSocket: [
      webSocket(
        "as many as 1 MiB holds",
        `{"lists":{"messages":[${"{},".repeat(330_000)}{}]}}`,
        // Counted while the frame is taken apart.
        [4400, { withinMs: 100 }],
      ),
    ],
  },
  30: {
    connect: "a unary body is one message",
    grpcWeb: [
      grpcWeb("none", { body: Buffer.alloc(0) }, [12]),
      grpcWeb("two", { body: Buffer.concat([frame(text), frame(text)]) }, [12]),
    ],
    webSocket: "calls with one message are in tests/e2e/websocket.test.ts",
  },
  31: {
    connect: [
      connect("", { headers: { "connect-timeout-ms": "99999999999999" } }, [
        400,
        "invalid_argument",
        { reason: "TIMEOUT_INVALID" },
      ]),
      connect("with a unit", { headers: { "connect-timeout-ms": "1s" } }, [400, "invalid_argument"]),
    ],
    grpcWeb: [
      grpcWeb("", { body: frame(text), headers: { "grpc-timeout": "99H99" } }, [
        3,
        { reason: "TIMEOUT_INVALID" },
      ]),
    ],
    webSocket: "a frame's timeout is a number of its own type",
  },
  32: {
    connect: [
      connect("none at all", { headers: { "connect-timeout-ms": "0" } }, [
        504,
        "deadline_exceeded",
        { reason: "DEADLINE_EXCEEDED" },
      ]),
    ],
    grpcWeb: [
      grpcWeb("", { body: frame(text), headers: { "grpc-timeout": "1n" } }, [
        4,
        { reason: "DEADLINE_EXCEEDED" },
      ]),
    ],
    webSocket: "a frame's timeout is in whole milliseconds",
  },
  33: {
    connect: [
      connect("a -bin value that is not base64", { headers: { "a-bin": "***" } }, [
        400,
        "invalid_argument",
        { reason: "METADATA_INVALID" },
      ]),
      connect("grpc-status means nothing", { headers: { "grpc-status": "7" } }, [200, undefined]),
    ],
    grpcWeb: [
      grpcWeb("a -bin value that is not base64", { body: frame(text), headers: { "a-bin": "***" } }, [
        3,
        { reason: "METADATA_INVALID" },
      ]),
      grpcWeb("grpc-status means nothing", { body: frame(text), headers: { "grpc-status": "7" } }, [0]),
    ],
    // tests/matrix/client-headers.test.ts sends grpc-status over every protocol.
    webSocket: [
      webSocket("a -bin value that is not base64", "{}", [3, { reason: "METADATA_INVALID" }], {
        metadata: { "A-Bin": "***" },
      }),
    ],
  },
  80: {
    connect: [
      connect("", { headers: plan({ throws: "secret at db.ts:7" }) }, [
        500,
        "internal",
        { reason: "INTERNAL", message: /^(?!.*secret)/ },
      ]),
    ],
    grpcWeb: [
      grpcWeb("", { body: frame(text), headers: plan({ throws: "secret at db.ts:7" }) }, [
        13,
        { reason: "INTERNAL" },
      ]),
    ],
    webSocket: "tests/matrix/matrix.test.ts has failing handlers on sockets",
  },
};

/** Row 34: valid input that is stock servers' 415. */
export const grpcWebText: Row = {
  row: 34,
  says: "application/grpc-web-text",
  rest: "gRPC-Web's own",
  grpc: "gRPC-Web's own",
  grpcWeb: [grpcWeb("is answered in base64", { body: frame(text) }, [0, { body: /a/ }])],
};
