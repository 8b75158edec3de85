/**
 * How much a client may take, declared once: unit, default, range and the reason for the default.
 *
 * The defaults are those of a process that faces the internet. They hold without being touched; who changes one reads here what it guards.
 */
import * as z from "zod";
import type { Option } from "./option.ts";

/** Of a limit; the option is made of it. */
interface Declared {
  /** Dotted; variable and flag follow from it. */
  readonly key: string;
  readonly default: number;
  readonly min: number;
  readonly max: number;
  readonly unit: string;
  readonly doc: string;
}

const kibi = 1024;
const mebi = 1024 * kibi;
const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;

const declared = {
  maxHeaderBytes: {
    key: "http.maxHeaderBytes",
    ...{ default: 16 * kibi, min: kibi, max: mebi, unit: "bytes" },
    doc: "Headers of a request, names and values. More is answered 431, over HTTP/2 by a refused stream. Tokens of 8 KiB fit twice.",
  },
  maxHeaders: {
    key: "http.maxHeaders",
    ...{ default: 100, min: 10, max: 2000, unit: "headers" },
    doc: "Headers of a request. More is answered 431. Many small headers cost more than few large ones; browsers send about 20.",
  },
  maxUrlBytes: {
    key: "http.maxUrlBytes",
    ...{ default: 8 * kibi, min: 256, max: 64 * kibi, unit: "bytes" },
    doc: "Path and query of a request. More is answered 414. Browsers and proxies cut longer ones themselves.",
  },
  maxQueryParameters: {
    key: "http.maxQueryParameters",
    ...{ default: 200, min: 1, max: 10_000, unit: "parameters" },
    doc: "Parameters of a query, over REST, Connect and GraphQL. More is answered 400 before any is looked at.",
  },
  headersTimeoutMs: {
    key: "http.headersTimeoutMs",
    ...{ default: 10 * second, min: 100, max: hour, unit: "milliseconds" },
    doc: "HTTP/1: time from connecting, or from a request's first byte, until its headers are complete; then 408, and the connection is closed. Slow clients hold nothing longer.",
  },
  requestTimeoutMs: {
    key: "http.requestTimeoutMs",
    ...{ default: 30 * second, min: 100, max: 24 * hour, unit: "milliseconds" },
    doc: "Time until the whole of a request is here: over HTTP/1 of any request, over HTTP/2 of one whose message is read as a whole (streams take their time). Then 408, over gRPC DEADLINE_EXCEEDED. Raise it where large files come over slow lines.",
  },
  timeoutCheckMs: {
    key: "http.timeoutCheckMs",
    ...{ default: second, min: 10, max: minute, unit: "milliseconds" },
    doc: "HTTP/1: how often the two times above are looked at, so how much later than them a connection may be closed; more often where they are shorter. Node's own is 30 s, which would make ten of them forty.",
  },
  keepAliveMs: {
    key: "http.keepAliveMs",
    ...{ default: 5 * second, min: 0, max: hour, unit: "milliseconds" },
    doc: "HTTP/1: how long a connection is kept after an answer. Behind a proxy it has to be longer than the proxy's own time (65 000 for the usual 60 s), or the proxy sends requests into closed connections.",
  },
  maxRequestsPerConnection: {
    key: "http.maxRequestsPerConnection",
    ...{ default: 1000, min: 0, max: 10_000_000, unit: "requests; 0: no limit" },
    doc: "HTTP/1: the last request that a connection carries is answered with Connection: close, so that load balancers spread clients again.",
  },
  stalledTimeoutMs: {
    key: "http.stalledTimeoutMs",
    ...{ default: minute, min: 100, max: 24 * hour, unit: "milliseconds" },
    doc: "How long an answer waits for a client that reads none of it. Then nothing more is made for it: a stream ends, behind what waits, with RESOURCE_EXHAUSTED `READER_STALLED` as its protocol has it (a WebSocket with 1013), and after as long again it is reset, or the connection closed. What is not read lies in memory.",
  },
  tlsHandshakeTimeoutMs: {
    key: "tls.handshakeTimeoutMs",
    ...{ default: 5 * second, min: 100, max: hour, unit: "milliseconds" },
    doc: "Time from connecting until a handshake of TLS is done; then the connection is closed. It takes two or three journeys of a packet; who never ends it holds a file and 20 KB until then.",
  },
  http2MaxStreams: {
    key: "http2.maxStreams",
    ...{ default: 100, min: 1, max: 10_000, unit: "streams" },
    doc: "Calls at once on one HTTP/2 connection; one more is refused with REFUSED_STREAM, which clients repeat. RFC 9113 recommends no fewer than 100; Node has no limit of its own.",
  },
  http2StreamWindowBytes: {
    key: "http2.streamWindowBytes",
    ...{ default: 64 * kibi, min: 16 * kibi, max: 64 * mebi, unit: "bytes" },
    doc: "What a client may send of one call's body before we have read it. HTTP/2's own default is one less; a larger one is faster over long lines and costs as much memory for each slow call.",
  },
  http2ConnectionWindowBytes: {
    key: "http2.connectionWindowBytes",
    ...{ default: mebi, min: 64 * kibi, max: 256 * mebi, unit: "bytes" },
    doc: "The same of all calls of a connection together. Node's own is that of one call: uploads side by side would wait for each other. It bounds what one connection can make us hold unread.",
  },
  http2MaxRejectedStreams: {
    key: "http2.maxRejectedStreams",
    ...{ default: 20, min: 0, max: 10_000, unit: "streams" },
    doc: "Streams that are refused because the connection holds more than `http2.maxSessionMemory`, before it is closed: who goes on opening them does not listen.",
  },
  http2MaxSessionMemory: {
    key: "http2.maxSessionMemory",
    ...{ default: 10, min: 1, max: 1000, unit: "megabytes" },
    doc: "What Node and nghttp2 may hold for one HTTP/2 connection: header tables, frames on their way. Past it new streams are refused.",
  },
  http2MaxInvalidFrames: {
    key: "http2.maxInvalidFrames",
    ...{ default: 50, min: 0, max: 10_000, unit: "frames" },
    doc: "Frames against the rules, or without anything in them, that a connection may send before it is closed.",
  },
  http2ResetBurst: {
    key: "http2.resetBurst",
    ...{ default: 200, min: 1, max: 1_000_000, unit: "streams" },
    doc: "Streams that a client may open and reset at once (rapid reset, CVE-2023-44487), and errors that make us reset streams (MadeYouReset, CVE-2025-8671); then the connection is closed. Twice the streams that it may have open.",
  },
  http2ResetsPerSecond: {
    key: "http2.resetsPerSecond",
    ...{ default: 33, min: 1, max: 1_000_000, unit: "streams a second" },
    doc: "How fast the allowance of `http2.resetBurst` comes back.",
  },
  http2MaxControlFrames: {
    key: "http2.maxControlFrames",
    ...{ default: 500, min: 10, max: 1_000_000, unit: "frames" },
    doc: "PING and SETTINGS frames that a client may send within `http2.controlWindowMs`; then ENHANCE_YOUR_CALM, and the connection is closed. Each makes us answer; a client that measures its bandwidth sends a few a second.",
  },
  http2ControlWindowMs: {
    key: "http2.controlWindowMs",
    ...{ default: 10 * second, min: 100, max: hour, unit: "milliseconds" },
    doc: "The time in which `http2.maxControlFrames` may come. Long enough for a burst of a client that measures its bandwidth, short enough to forget it.",
  },
  http2MaxIdleBytes: {
    key: "http2.maxIdleBytes",
    ...{ default: 128 * kibi, min: 4 * kibi, max: 100 * mebi, unit: "bytes a second" },
    doc: "What a client may send besides requests and their bodies: frames that nobody reads (PRIORITY, unknown types, padding) and header blocks without end. More is ENHANCE_YOUR_CALM, and the connection is closed.",
  },
  http2FirstRequestTimeoutMs: {
    key: "http2.firstRequestTimeoutMs",
    ...{ default: 5 * second, min: 100, max: hour, unit: "milliseconds" },
    doc: "Time from connecting to the first request; then the connection is closed. A client that warms up connections wants more.",
  },
  http2HeaderBlockTimeoutMs: {
    key: "http2.headerBlockTimeoutMs",
    ...{ default: 5 * second, min: 100, max: hour, unit: "milliseconds" },
    doc: "Time for the frames of one header block. Who is in the middle of one cannot answer a PING (RFC 9113 section 6.10): who sent something that is no request is asked, and closed without an answer.",
  },
  http2IdleTimeoutMs: {
    key: "http2.idleTimeoutMs",
    ...{ default: minute, min: 100, max: 24 * hour, unit: "milliseconds" },
    doc: "How long a connection without streams is kept on the port of HTTP.",
  },
  grpcIdleTimeoutMs: {
    key: "grpc.idleTimeoutMs",
    ...{ default: 5 * minute, min: 100, max: 24 * hour, unit: "milliseconds" },
    doc: "How long a connection without streams is kept on the port of gRPC, whose clients connect once.",
  },
  http2PingAfterMs: {
    key: "http2.pingAfterMs",
    ...{ default: minute, min: 100, max: 24 * hour, unit: "milliseconds" },
    doc: "Silence of a connection with open streams after which it is pinged; without an answer within `http2.pingTimeoutMs` it is closed. Clients that vanished hold nothing.",
  },
  http2PingTimeoutMs: {
    key: "http2.pingTimeoutMs",
    ...{ default: 20 * second, min: 100, max: hour, unit: "milliseconds" },
    doc: "How long such a connection has for its answer to the PING, which stands behind what a slow client has not read yet. gRPC's own default.",
  },
  http2MaxAgeMs: {
    key: "http2.maxAgeMs",
    ...{ default: 30 * minute, min: 0, max: 24 * hour, unit: "milliseconds; 0: no limit" },
    doc: "Age at which a connection is told to go (GOAWAY). Load balancers see clients again, new processes get their part of them.",
  },
  http2AgeJitterPercent: {
    key: "http2.ageJitterPercent",
    ...{ default: 10, min: 0, max: 50, unit: "percent" },
    doc: "How much sooner or later than `http2.maxAgeMs` a connection is told to go, at random: those of one moment do not all come again at once.",
  },
  http2AgeGraceMs: {
    key: "http2.ageGraceMs",
    ...{ default: 30 * second, min: 100, max: 24 * hour, unit: "milliseconds" },
    doc: "How long the calls of a connection of that age may go on; then it is closed. Streams begin again on another connection.",
  },
  maxMessageBytes: {
    key: "payload.maxMessageBytes",
    ...{ default: 4 * mebi, min: kibi, max: 64 * mebi, unit: "bytes" },
    doc: "A message over gRPC, gRPC-Web and Connect, as declared and as inflated. More is RESOURCE_EXHAUSTED. What grpc clients take by default.",
  },
  maxJsonBytes: {
    key: "payload.maxJsonBytes",
    ...{ default: mebi, min: kibi, max: 64 * mebi, unit: "bytes" },
    doc: "A JSON body over REST, GraphQL and MCP, as sent and as inflated. More is answered 413. JSON costs about ten times as much to read as binary.",
  },
  maxRawBytes: {
    key: "payload.maxRawBytes",
    ...{ default: 10 * mebi, min: kibi, max: 256 * mebi, unit: "bytes" },
    doc: "A raw body (`google.api.HttpBody`) over REST. More is answered 413.",
  },
  maxInflation: {
    key: "payload.maxInflation",
    ...{ default: 100, min: 1, max: 10_000, unit: "times" },
    doc: "How many times its size a compressed body may have when it is inflated, once that is more than `payload.inflationFreeBytes`. More is answered as one that is too large: text seldom reaches 20, what is made to fill memory 1000.",
  },
  inflationFreeBytes: {
    key: "payload.inflationFreeBytes",
    ...{ default: 64 * kibi, min: kibi, max: 64 * mebi, unit: "bytes" },
    doc: "What a compressed body may inflate to whatever its size: short ones that repeat themselves are harmless, and reach any ratio.",
  },
  maxElements: {
    key: "payload.maxElements",
    ...{ default: 100_000, min: 100, max: 10_000_000, unit: "elements" },
    doc: "Fields, list elements and map entries of one message, nested ones included; counted before anything is made of them. A legal message of 4 MiB may hold two million, which take seconds to decode.",
  },
  maxDepth: {
    key: "payload.maxDepth",
    ...{ default: 100, min: 5, max: 1000, unit: "levels" },
    doc: "Nesting of messages in binary; protobuf's own default.",
  },
  maxJsonDepth: {
    key: "payload.maxJsonDepth",
    ...{ default: 64, min: 5, max: 1000, unit: "levels" },
    doc: "Nesting of arrays and objects in JSON: over REST, Connect and WebSockets of the message, over GraphQL and MCP of the body around it too. More is answered 400 before anything is made of it: a million brackets take a parser 0.4 s.",
  },
  maxSockets: {
    key: "webSocket.maxSockets",
    ...{ default: 20_000, min: 1, max: 1_000_000, unit: "sockets" },
    doc: "WebSockets at once; one more is answered 503. An idle one costs 7 KB.",
  },
  maxFrameBytes: {
    key: "webSocket.maxMessageBytes",
    ...{ default: mebi, min: kibi, max: 64 * mebi, unit: "bytes" },
    doc: "A WebSocket message, in one frame or several. More closes with 1009.",
  },
  maxFragments: {
    key: "webSocket.maxFragments",
    ...{ default: 1000, min: 2, max: 1_000_000, unit: "frames" },
    doc: "Frames of one WebSocket message. More closes with 1008: each is remembered until the last.",
  },
  maxSocketControls: {
    key: "webSocket.maxControlFrames",
    ...{ default: 500, min: 10, max: 1_000_000, unit: "frames" },
    doc: "PING and PONG frames within `webSocket.controlWindowMs`. More closes with 1008: each PING is answered.",
  },
  socketControlWindowMs: {
    key: "webSocket.controlWindowMs",
    ...{ default: 10 * second, min: 100, max: hour, unit: "milliseconds" },
    doc: "The time in which `webSocket.maxControlFrames` may come.",
  },
  socketInitMs: {
    key: "webSocket.firstMessageTimeoutMs",
    ...{ default: 10 * second, min: 100, max: hour, unit: "milliseconds" },
    doc: "How long a WebSocket at /ws or /graphql may stay silent before its first message; then 4408.",
  },
  maxWaitingBytes: {
    key: "http.maxWaitingBytes",
    ...{ default: mebi, min: 64 * kibi, max: 256 * mebi, unit: "bytes" },
    doc: "What may wait for the client of a WebSocket. Streams wait at a quarter of it until the client has read; where answers pile up beyond it, the socket is closed with 1013 (GraphQL's is not read until there is room).",
  },
  maxEventBytes: {
    key: "http.maxEventBytes",
    ...{ default: 256 * kibi, min: kibi, max: 64 * mebi, unit: "bytes" },
    doc: "A server-sent event. A larger one ends the stream with an error: browsers and proxies hold an event as a whole. Lines (application/x-ndjson) and the binary protocols carry larger messages.",
  },
  heartbeatMs: {
    key: "http.heartbeatMs",
    ...{ default: 15 * second, min: 100, max: hour, unit: "milliseconds" },
    doc: "How often WebSockets are pinged (two unanswered pings end one), and the longest silence of streams over REST. Below the idle time of proxies in front.",
  },
  graphqlMaxDepth: {
    key: "graphql.maxDepth",
    ...{ default: 10, min: 1, max: 1000, unit: "levels" },
    doc: "Nesting of fields in a GraphQL operation, fragments unfolded.",
  },
  graphqlMaxAliases: {
    key: "graphql.maxAliases",
    ...{ default: 30, min: 0, max: 10_000, unit: "aliases" },
    doc: "Aliases in a GraphQL operation: each can be a call of its own.",
  },
  graphqlMaxTokens: {
    key: "graphql.maxTokens",
    ...{ default: 2000, min: 10, max: 1_000_000, unit: "tokens" },
    doc: "Words and signs of a GraphQL document; checked while it is parsed.",
  },
  graphqlMaxCost: {
    key: "graphql.maxCost",
    ...{ default: 5000, min: 1, max: 100_000_000, unit: "points" },
    doc: "What a GraphQL operation may cost: ten points a method, one a join, times the entries of the lists around them.",
  },
  graphqlMaxBatch: {
    key: "graphql.maxBatch",
    ...{ default: 10, min: 1, max: 1000, unit: "operations" },
    doc: "GraphQL operations in one request. More is answered 400. All of them together may cost no more than one (`graphql.maxCost`).",
  },
  mcpMaxEnvelope: {
    key: "mcp.maxEnvelopeElements",
    ...{ default: 1000, min: 100, max: 100_000, unit: "elements" },
    doc: "Keys and list elements of an MCP message around a tool's arguments: `_meta`, what a client can, its answers; and of a GraphQL request beside its variables. More is answered 413, over GraphQL 400. Few have 50, and each is looked at several times.",
  },
  pageSize: {
    key: "page.defaultSize",
    ...{ default: 50, min: 1, max: 1000, unit: "entries" },
    doc: "Entries of a page of a list where nobody asks for a number.",
  },
  maxPageSize: {
    key: "page.maxSize",
    ...{ default: 1000, min: 1, max: 1000, unit: "entries" },
    doc: "Entries of a page of a list at most; who asks for more gets so many, and a token for the next page. The contract promises no more than 1000.",
  },
  deadlineMs: {
    key: "deadline.defaultMs",
    ...{ default: 15 * second, min: 100, max: 24 * hour, unit: "milliseconds" },
    doc: "Time of a unary call whose client asks for none and whose method's contract says nothing. Then DEADLINE_EXCEEDED (504): who waited that long has mostly gone. Streams have none.",
  },
  maxDeadlineMs: {
    key: "deadline.maximumMs",
    ...{ default: 5 * minute, min: 100, max: 24 * hour, unit: "milliseconds" },
    doc: "The longest time that a client may ask for, of streams too, where the method's contract says nothing. More is lowered to it.",
  },
  signInsPerAccount: {
    key: "signIn.attemptsPerAccount",
    ...{ default: 10, min: 1, max: 10_000, unit: "attempts" },
    doc: "Attempts to sign in to one account within `signIn.windowMs`, from wherever; then SIGN_IN_LIMITED (429) with Retry-After, and another one each time that its part of the window (90 s) has passed. Who signs in has all of them again. Guesses of passwords are worth nothing at that pace, and nobody is locked out for long.",
  },
  signInsPerAddress: {
    key: "signIn.attemptsPerAddress",
    ...{ default: 100, min: 1, max: 1_000_000, unit: "attempts" },
    doc: "Attempts from one IP address within that time, whichever accounts they are for: the same few passwords tried on many. A company behind one address wants more.",
  },
  signInWindowMs: {
    key: "signIn.windowMs",
    ...{ default: 15 * minute, min: second, max: 24 * hour, unit: "milliseconds" },
    doc: "The time that both count for. All processes of an installation count together.",
  },
  databasePoolSize: {
    key: "database.poolSize",
    ...{ default: 10, min: 1, max: 1000, unit: "connections" },
    doc: "PostgreSQL: connections of one process. All processes together have to stay below the server's max_connections (100 where nobody said otherwise).",
  },
  databaseAcquireMs: {
    key: "database.acquireTimeoutMs",
    ...{ default: 2 * second, min: 10, max: 10 * minute, unit: "milliseconds" },
    doc: "PostgreSQL: how long a call waits for a connection, one of the pool or a new one; then UNAVAILABLE. A queue that stands longer grows faster than it is served.",
  },
  databaseStatementMs: {
    key: "database.statementTimeoutMs",
    ...{ default: 10 * second, min: 10, max: hour, unit: "milliseconds" },
    doc: "PostgreSQL: time of a statement; then ABORTED. Less than the default deadline, so that nothing runs for callers who have gone.",
  },
  databaseLockMs: {
    key: "database.lockTimeoutMs",
    ...{ default: 3 * second, min: 10, max: hour, unit: "milliseconds" },
    doc: "PostgreSQL: how long a statement waits for a lock; then ABORTED, and the client may try again.",
  },
  databaseIdleMs: {
    key: "database.idleInTransactionMs",
    ...{ default: 15 * second, min: 10, max: hour, unit: "milliseconds" },
    doc: "PostgreSQL: how long a transaction may say nothing before the server ends it and frees its locks: a process that hangs holds up no other.",
  },
} as const satisfies Record<string, Declared>;

export type LimitName = keyof typeof declared;
export type Limits = Readonly<Record<LimitName, number>>;

export type LimitKey = (typeof declared)[LimitName]["key"];
/** As they stand under a key of the file: `http2: { maxStreams: 50 }`. */
export type LimitsOf<Group extends string> = {
  readonly [Key in LimitKey as Key extends `${Group}.${infer Name}` ? Name : never]?: number;
};

export const limitNames = Object.keys(declared) as readonly LimitName[];

export const defaultLimits = Object.fromEntries(
  limitNames.map((name) => [name, declared[name].default]),
) as Limits;

/** By the same names. */
export const limitOptions = Object.fromEntries(
  limitNames.map((name) => [name, optionOf(declared[name])]),
) as Record<LimitName, Option<number> & { readonly value: string }>;

function optionOf({ key, min, max, unit, doc, default: fallback }: Declared): Option<number> {
  const words = key.replaceAll(/[A-Z]/g, (letter) => `.${letter.toLowerCase()}`).split(".");
  // One word in people's minds: PORTICO_WEBSOCKET_…
  const spelled = key.startsWith("webSocket.") ? ["websocket", ...words.slice(2)] : words;
  const range = `must be ${min} to ${max}`;
  return {
    key,
    env: `PORTICO_${spelled.join("_").toUpperCase()}`,
    flag: `--${spelled.join("-")}`,
    value: "NUMBER",
    schema: z
      .union(
        [
          z.number(),
          z
            .string()
            .regex(/^-?\d{1,12}$/)
            .transform(Number),
        ],
        "must be a whole number",
      )
      .pipe(z.number().int("must be a whole number").min(min, range).max(max, range)),
    default: String(fallback),
    range: `${min} to ${max} ${unit}`,
    doc,
  };
}
