/**
 * Call kind x codec x compression x protocol x outcome. Every combination is a test, or is named in `refused` or `absent` with the
 * reason; nothing is left out silently. The two invariants of `rpc/call.ts` are what most outcomes are about: a cancellation
 * reaches the handler, and nobody produces further ahead of a slow consumer than a bound.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { connectDriver } from "../support/connect-driver.ts";
import {
  type Driver,
  type DriverOptions,
  grpcJsDriver,
  type Kind,
  methods,
  type Running,
  rawGrpcDriver,
  restDriver,
} from "../support/drivers.ts";
import { type EchoServer, startEcho } from "../support/echo.ts";
import { noise, type Plan, type Probe } from "../support/echo-service.ts";
import { graphqlDriver } from "../support/graphql-driver.ts";
import { sendHttp1, sendHttp2 } from "../support/http-case.ts";
import { singleSocketDriver, webSocketDriver } from "../support/websocket-driver.ts";

/** Lower than the defaults, so that a message over it is quick to send; the defaults have rows in tests/faults. */
const maxMessageBytes = 256 * 1024;
/** Of one message in a flood. */
const pieceBytes = 16 * 1024;
/**
 * How far a side may run ahead of one that does not read: HTTP/2's stream window and node's buffers on both sides, and for
 * HTTP/1, which has no window of its own, the kernel's socket buffers.
 */
const maxAheadBytes = { http1: 8 * 1024 * 1024, http2: 1024 * 1024 };

const kinds = ["unary", "server_stream", "client_stream", "bidi_stream"] as const;
const codecs = ["proto", "json"] as const;
const compressions = ["identity", "gzip"] as const;
const protocols = [
  "grpc on its own port",
  "grpc on the http port",
  "rest over HTTP/1",
  "rest over h2c",
  "rest events over HTTP/1",
  "rest events over h2c",
  "connect over HTTP/1",
  "connect over h2c",
  "grpc-web over HTTP/1",
  "grpc-web over h2c",
  "websocket, one for each call",
  "websocket, one for all calls",
  "websocket at the method's path over HTTP/1",
  "graphql over HTTP/1",
] as const;
type Protocol = (typeof protocols)[number];
type Codec = (typeof codecs)[number];

let echo: EchoServer;
before(async () => {
  echo = await startEcho({ maxMessageBytes });
});
after(() => echo.close());

function driverOf(protocol: Protocol, codec: Codec, gzip: boolean): Driver {
  const options: DriverOptions = {
    port: protocol === "grpc on its own port" ? echo.grpcPort : echo.httpPort,
    gzip,
  };
  const [name] = protocol.split(" ", 1);
  if (name === "rest")
    return restDriver({
      ...{ ...options, http: protocol.endsWith("HTTP/1") ? 1 : 2 },
      events: protocol.includes("events"),
    });
  if (name === "graphql") return graphqlDriver({ port: echo.httpPort });
  if (name === "connect" || name === "grpc-web")
    return connectDriver(echo, {
      ...{ ...options, protocol: name, json: codec === "json" },
      http: protocol.endsWith("HTTP/1") ? 1 : 2,
    });
  if (protocol.endsWith("calls") || protocol.endsWith("call"))
    return webSocketDriver(echo, {
      ...{ port: echo.httpPort, json: codec === "json", shared: protocol.endsWith("calls") },
    });
  if (name === "websocket") return singleSocketDriver({ port: echo.httpPort });
  return codec === "proto" ? grpcJsDriver(echo, options) : rawGrpcDriver(echo, { ...options, json: true });
}

interface Cell {
  readonly kind: Kind;
  readonly protocol: Protocol;
  readonly rest: boolean;
  /** The client stream is a file. */
  readonly raw: boolean;
  readonly http1: boolean;
  /** How far ahead of who reads the other side may be: HTTP/2 has windows, other connections the kernel's buffers. */
  readonly maxAhead: number;
  /** Starts the call and sends what its kind sends. */
  start(plan: Plan, options?: { readonly texts?: readonly string[]; readonly timeoutMs?: number }): Started;
}

interface Started {
  readonly running: Running;
  readonly id: string;
  readonly probe: Promise<Probe>;
}

const streamsRequests = (kind: Kind): boolean => kind === "client_stream" || kind === "bidi_stream";
const streamsReplies = (kind: Kind): boolean => kind === "server_stream" || kind === "bidi_stream";

interface Outcome {
  readonly name: string;
  /** Why a cell cannot have this outcome; undefined: it can. */
  absent?(cell: {
    readonly kind: Kind;
    readonly raw: boolean;
    readonly protocol: Protocol;
  }): string | undefined;
  run(cell: Cell): Promise<void>;
}

const outcomes: readonly Outcome[] = [
  {
    name: "answers",
    run: async ({ kind, raw, start }) => {
      const { running, probe } = start({}, { texts: streamsRequests(kind) ? ["a", "b", "c"] : ["a"] });
      const texts: (string | undefined)[] = [];
      for (let text = await running.next(); text !== undefined; text = await running.next()) texts.push(text);
      // REST's client stream is raw bytes: no texts come back, only their number.
      const expected = {
        unary: ["a"],
        server_stream: ["a"],
        client_stream: [raw ? "" : "abc"],
        bidi_stream: ["a", "b", "c"],
      };
      assert.deepEqual(texts, expected[kind]);
      assert.equal((await running.end()).code, 0);
      await (await probe).over;
    },
  },
  {
    name: "fails with details",
    run: async ({ start }) => {
      const { running, probe } = start({
        code: "failed_precondition",
        reason: "NOT_YET",
        message: "not yet: ä",
        details: [{ "@type": "RetryInfo", retryDelay: "2s" }],
      });
      const end = await running.end();
      assert.deepEqual(end, {
        code: 9,
        message: "not yet: ä",
        reason: "NOT_YET",
        details: ["ErrorInfo", "RequestInfo", "RetryInfo"],
      });
      await (await probe).over;
    },
  },
  {
    name: "fails after the first message",
    absent: ({ kind }) => (kind === "unary" ? "a unary call has one message" : undefined),
    run: async ({ kind, start }) => {
      const { running, probe } = start({ code: "data_loss", reason: "LOST", after: 1 }, { texts: ["a"] });
      if (streamsReplies(kind)) assert.equal(await running.next(), "a");
      const end = await running.end();
      assert.deepEqual([end.code, end.reason], [15, "LOST"]);
      await (await probe).over;
    },
  },
  {
    name: "throws",
    run: async ({ start, kind }) => {
      const { running, probe } = start({
        throws: "password is hunter2",
        ...(kind === "bidi_stream" ? { after: 1 } : {}),
      });
      const end = await running.end();
      assert.deepEqual([end.code, end.reason, end.message], [13, "INTERNAL", "internal error"]);
      await (await probe).over;
    },
  },
  {
    name: "passes its deadline",
    run: async ({ start }) => {
      const { running, probe } = start({ wait: true }, { timeoutMs: 40 });
      const end = await running.end();
      assert.deepEqual([end.code, end.reason], [4, "DEADLINE_EXCEEDED"]);
      const { canceled, signal, over } = await probe;
      assert.equal((await canceled).code, "deadline_exceeded");
      assert.equal(signal.aborted, true);
      await over;
    },
  },
  {
    name: "is cancelled by its client",
    run: async ({ kind, start }) => {
      const { running, probe } = start({ wait: true, ...(streamsReplies(kind) ? { after: 1 } : {}) });
      const { canceled, signal, over } = await probe;
      if (streamsReplies(kind)) assert.equal(await running.next(), "a");
      assert.equal(signal.aborted, false);
      running.cancel();
      assert.equal((await canceled).code, "canceled");
      assert.equal(signal.aborted, true);
      await over;
    },
  },
  {
    name: "waits for a client that does not read",
    absent: ({ kind }) => (streamsReplies(kind) ? undefined : "the reply is one message"),
    run: async ({ start, maxAhead }) => {
      const { running, probe } = start({ count: 100_000, size: pieceBytes });
      assert.equal((await running.next())?.length, pieceBytes);
      const { produced, over, canceled } = await settled(await probe, "produced");
      const ahead = produced * pieceBytes;
      assert.ok(ahead <= maxAhead, `${ahead} bytes ahead of its reader`);
      // The reader wakes: it gets everything in order, and more is made.
      for (let more = 0; more < produced + 2; more += 1)
        assert.equal((await running.next())?.length, pieceBytes);
      running.cancel();
      assert.equal((await canceled).code, "canceled");
      await over;
    },
  },
  {
    name: "lets its client wait while the handler does not read",
    absent: ({ kind }) => (streamsRequests(kind) ? undefined : "the request is one message"),
    run: async ({ start, http1, maxAhead }) => {
      // Behind bytes that nobody reads HTTP/1 hides the end of its connection: there it is the deadline that ends the call.
      const { running, probe } = start({ wait: true }, { texts: [], ...(http1 ? { timeoutMs: 800 } : {}) });
      const { over, canceled } = await probe;
      await flood(running);
      const ahead = running.accepted * pieceBytes;
      assert.ok(ahead <= maxAhead, `${ahead} bytes ahead of the handler`);
      if (!http1) running.cancel();
      assert.equal((await canceled).code, http1 ? "deadline_exceeded" : "canceled");
      await over;
      running.cancel();
    },
  },
  {
    name: "refuses a message over the limit",
    absent: ({ kind, raw, protocol }) =>
      raw && kind === "client_stream"
        ? "REST's client stream is raw bytes, which the handler counts"
        : protocol === "websocket, one for all calls"
          ? "it would end all of them; the column with a socket for each call shows how"
          : protocol.startsWith("websocket at") && kind === "server_stream"
            ? "the request is the URL, which HTTP limits"
            : undefined,
    run: async ({ kind, start }) => {
      const large = "x".repeat(maxMessageBytes + 1);
      const { running, id, probe } = start({}, { texts: streamsRequests(kind) ? ["a", large] : [large] });
      const end = await running.end();
      assert.deepEqual([end.code, end.reason], [8, "PAYLOAD_TOO_LARGE"]);
      if (streamsRequests(kind)) await (await probe).over;
      else assert.equal(echo.ran(id), false);
    },
  },
];

/** Waits until a counter has not moved for five looks in a row: there is no event for something that stops happening. */
async function settled<T>(counted: T, key: keyof T): Promise<T> {
  for (let same = 0, last = counted[key]; same < 5; ) {
    await new Promise((resolve) => setTimeout(resolve, 8));
    same = counted[key] === last ? same + 1 : 0;
    last = counted[key];
  }
  return counted;
}

/** Sends as long as anything is taken, a few pieces ahead. */
async function flood(running: Running): Promise<void> {
  const piece = noise(pieceBytes);
  for (let sent = 0, still = 0; still < 5; ) {
    const before = running.accepted;
    for (; sent < before + 8; sent += 1) running.send(piece);
    await new Promise((resolve) => setTimeout(resolve, 4));
    still = running.accepted === before ? still + 1 : 0;
    if (sent * pieceBytes > 4 * maxAheadBytes.http1) return;
  }
}

/** Combinations that the protocol does not have: they must be refused in its own words. */
function refused(
  protocol: Protocol,
  codec: Codec,
  kind: Kind,
): { status: number; reason: string } | undefined {
  if (!protocol.startsWith("rest")) return undefined;
  if (codec === "proto" && (kind !== "client_stream" || protocol.includes("events")))
    return { status: 415, reason: "CONTENT_TYPE_UNSUPPORTED" };
  return undefined;
}

let calls = 0;

for (const protocol of protocols) {
  for (const codec of codecs) {
    for (const compression of compressions) {
      describe(`${protocol}, ${codec}, ${compression}`, { concurrency: 4 }, () => {
        const rest = protocol.startsWith("rest");
        const raw = rest && !protocol.includes("events");
        const http1 = protocol.endsWith("HTTP/1");
        const sockets = http1 || protocol.startsWith("websocket") ? "http1" : "http2";
        let driver: Driver;
        before(() => {
          driver = driverOf(protocol, codec, compression === "gzip");
        });
        after(() => driver.close());
        for (const kind of kinds) {
          const refusal = refused(protocol, codec, kind);
          if (refusal !== undefined) {
            test(`${kind} is refused with ${refusal.status}`, () =>
              checkRefusal(protocol, codec, { kind, ...refusal }));
            continue;
          }
          // A raw upload has no codec of its own, and what is streamed over REST is not compressed: one column is enough.
          if (rest && streamsRequests(kind) && (codec === "proto" || compression === "gzip")) continue;
          // WebSockets are not compressed, and a socket at a method's path speaks JSON.
          if (protocol.startsWith("websocket") && compression === "gzip") continue;
          if (protocol.startsWith("websocket at") && codec === "proto") continue;
          // GraphQL has one codec, and no form for streams of requests.
          if (protocol.startsWith("graphql") && (codec === "proto" || compression === "gzip")) continue;
          if (protocol.startsWith("graphql") && streamsRequests(kind)) continue;
          const start: Cell["start"] = (plan, options = {}) => {
            calls += 1;
            const id = `matrix-${calls}`;
            const running = driver.open({
              kind,
              id,
              plan,
              ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
            });
            const texts = options.texts ?? ["a"];
            for (const text of texts) running.send(text);
            if (texts.length > 0) running.endSending();
            return { running, id, probe: echo.probe(id) };
          };
          for (const outcome of outcomes) {
            if (outcome.absent?.({ kind, raw, protocol }) !== undefined) continue;
            test(`${kind} ${outcome.name}`, { timeout: 5000 }, () =>
              outcome.run({
                ...{ kind, protocol, rest, raw, http1, start },
                maxAhead: maxAheadBytes[sockets],
              }),
            );
          }
        }
      });
    }
  }
}

async function checkRefusal(
  protocol: Protocol,
  codec: Codec,
  expected: { readonly kind: Kind; readonly status: number; readonly reason: string },
): Promise<void> {
  const send = protocol.endsWith("HTTP/1") ? sendHttp1 : sendHttp2;
  const answer = await send(echo.httpPort, {
    method: "POST",
    target: `/test.v1.Echo/${methods[expected.kind]}`,
    headers: [["content-type", codec === "proto" ? "application/x-protobuf" : "application/json"]],
    body: Buffer.from("{}"),
  });
  const error = JSON.parse(answer.body.toString()) as { details: { reason: string }[] };
  assert.deepEqual([answer.status, error.details[0]?.reason], [expected.status, expected.reason]);
}
