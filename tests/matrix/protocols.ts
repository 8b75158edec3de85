/** The matrix' columns: what speaks each protocol, what it cannot carry and why, and what it has to refuse. */
import { connectDriver } from "../support/connect-driver.ts";
import type { Compression, Driver, Kind } from "../support/drivers.ts";
import type { EchoServer } from "../support/echo.ts";
import { graphqlDriver, graphqlSocketDriver } from "../support/graphql-driver.ts";
import { grpcJsDriver, rawGrpcDriver } from "../support/grpc-driver.ts";
import { mcpDriver, type Revision } from "../support/mcp-driver.ts";
import { type RestForm, restDriver } from "../support/rest-driver.ts";
import { singleSocketDriver, webSocketDriver } from "../support/websocket-driver.ts";

export const kinds = ["unary", "server_stream", "client_stream", "bidi_stream"] as const;
export const codecs = ["proto", "json"] as const;
export type Codec = (typeof codecs)[number];

export interface Column {
  readonly codec: Codec;
  readonly compression: Compression;
}

export interface Cell extends Column {
  readonly kind: Kind;
}

export interface Refusal {
  readonly code: number;
  readonly reason: string;
}

export interface Protocol {
  readonly name: string;
  /** HTTP/2 has windows; where it is false the kernel's buffers are all that holds a side back. */
  readonly windows: boolean;
  /** Why there is no such cell; undefined: there is. */
  absent(cell: Cell): string | undefined;
  /** What the cell is refused with; undefined: it is taken. */
  refused(cell: Cell): Refusal | undefined;
  driver(echo: EchoServer, column: Column): Driver;
}

export const streamsRequests = (kind: Kind): boolean => kind === "client_stream" || kind === "bidi_stream";
export const streamsReplies = (kind: Kind): boolean => kind === "server_stream" || kind === "bidi_stream";

const versions = [
  { http: 1, over: "HTTP/1", windows: false },
  { http: 2, over: "h2c", windows: true },
] as const;

const unknownCompression: Refusal = { code: 12, reason: "COMPRESSION_UNKNOWN" };
const noDeflate = ({ compression }: Column): Refusal | undefined =>
  compression === "deflate" ? unknownCompression : undefined;

const grpc: readonly Protocol[] = (["grpcPort", "httpPort"] as const).map((port) => ({
  name: `grpc on ${port === "grpcPort" ? "its own" : "the http"} port`,
  windows: true,
  absent: () => undefined,
  refused: noDeflate,
  driver: (echo, { codec, compression }) => {
    const options = { port: echo[port], compression };
    // grpc-js knows no other codec and no other compression.
    const others = codec === "json" || compression === "br" || compression === "deflate";
    return others
      ? rawGrpcDriver(echo, { ...options, json: codec === "json", http: 2 })
      : grpcJsDriver(echo, options);
  },
}));

const web: readonly Protocol[] = versions.flatMap(({ http, over, windows }) => [
  ...(["connect", "grpc-web"] as const).map(
    (protocol): Protocol => ({
      ...{ name: `${protocol} over ${over}`, windows },
      absent: () => undefined,
      refused: noDeflate,
      driver: (echo, { codec, compression }) =>
        connectDriver(echo, { port: echo.httpPort, compression, protocol, http, json: codec === "json" }),
    }),
  ),
  {
    ...{ name: `grpc-web-text over ${over}`, windows },
    absent: () => undefined,
    refused: noDeflate,
    driver: (echo, { codec, compression }) =>
      rawGrpcDriver(echo, {
        ...{ port: echo.httpPort, compression, json: codec === "json", http, web: "text" },
      }),
  },
]);

const rest: readonly Protocol[] = versions.flatMap(({ http, over, windows }) =>
  (["lines", "events", "array", "upload"] as const).map(
    (form): Protocol => ({
      ...{ name: `rest ${form} over ${over}`, windows },
      absent: (cell) => restAbsent(form, cell),
      refused: (cell) => restRefused(form, cell),
      driver: (echo, { codec, compression }) =>
        restDriver({ port: echo.httpPort, compression, http, form, proto: codec === "proto" }),
    }),
  ),
);

function restAbsent(form: RestForm, { kind, codec }: Cell): string | undefined {
  if (form === "upload" && kind !== "client_stream") return "a file is a client's stream alone";
  if (form === "upload" && codec === "proto") return "a file has no codec: its bytes are the messages";
  if (form !== "lines" && form !== "upload" && kind === "unary")
    return "one message has no form to choose: the column of lines has it";
  if (form === "events" && kind === "client_stream") return "events are a form of answers: lines has it";
  return undefined;
}

function restRefused(form: RestForm, { kind, codec, compression }: Cell): Refusal | undefined {
  if (codec === "proto") return { code: 3, reason: "CONTENT_TYPE_UNSUPPORTED" };
  const packed =
    form === "upload" || streamsRequests(kind) ? compression !== "identity" : compression === "deflate";
  return packed ? { code: 3, reason: "ENCODING_UNSUPPORTED" } : undefined;
}

const uncompressed = "sockets are not compressed: no extension is agreed on";
const jsonOnly = "it has no binary form";

const sockets: readonly Protocol[] = [
  ...[false, true].map(
    (shared): Protocol => ({
      name: `websocket, one for ${shared ? "all calls" : "each call"}`,
      windows: false,
      absent: ({ compression }) => (compression === "identity" ? undefined : uncompressed),
      refused: () => undefined,
      driver: (echo, { codec }) =>
        webSocketDriver(echo, { port: echo.httpPort, json: codec === "json", shared }),
    }),
  ),
  {
    name: "websocket at the method's path",
    windows: false,
    absent: ({ codec, compression }) =>
      codec === "proto" ? jsonOnly : compression === "identity" ? undefined : uncompressed,
    refused: () => undefined,
    driver: (echo) => singleSocketDriver({ port: echo.httpPort }),
  },
];

const noStreams = "a method that takes a stream has no form in it";
const unpacked: Protocol["refused"] = ({ compression }) =>
  compression === "deflate" ? { code: 3, reason: "ENCODING_UNSUPPORTED" } : undefined;

const graphql: readonly Protocol[] = [
  ...versions.flatMap(({ http, over, windows }) =>
    [false, true].map(
      (events): Protocol => ({
        ...{ name: `graphql ${events ? "events" : "post"} over ${over}`, windows },
        absent: ({ kind, codec }) => {
          if (codec === "proto") return jsonOnly;
          if (streamsRequests(kind)) return noStreams;
          return kind === "server_stream" && !events
            ? "a subscription is events or a socket; one answer cannot hold it"
            : undefined;
        },
        refused: unpacked,
        driver: (echo, { compression }) => graphqlDriver({ port: echo.httpPort, compression, http, events }),
      }),
    ),
  ),
  {
    name: "graphql on a websocket",
    windows: false,
    absent: ({ kind, codec, compression }) => {
      if (codec === "proto") return jsonOnly;
      if (streamsRequests(kind)) return noStreams;
      return compression === "identity" ? undefined : uncompressed;
    },
    refused: () => undefined,
    driver: (echo) => graphqlSocketDriver({ port: echo.httpPort }),
  },
];

const mcp: readonly Protocol[] = versions.flatMap(({ http, over, windows }) =>
  (["2026-07-28", "2025-11-25"] as const).map(
    (revision: Revision): Protocol => ({
      ...{ name: `mcp ${revision} over ${over}`, windows },
      absent: ({ kind, codec }) =>
        codec === "proto" ? jsonOnly : streamsRequests(kind) ? noStreams : undefined,
      refused: unpacked,
      driver: (echo, { compression }) => mcpDriver({ port: echo.httpPort, compression, http, revision }),
    }),
  ),
);

export const protocols: readonly Protocol[] = [...grpc, ...rest, ...web, ...sockets, ...graphql, ...mcp];
