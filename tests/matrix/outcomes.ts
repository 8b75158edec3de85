/**
 * The matrix' rows: what may become of a call. The two invariants of `rpc/call.ts` are what most of them are about: a cancellation reaches
 * the handler, and nobody produces further ahead of a slow consumer than a bound.
 */
import assert from "node:assert/strict";
import { codes, type ErrorCode } from "#rpc/code.ts";
import type { Kind, Running } from "../support/drivers.ts";
import { noise, type Plan, type Probe } from "../support/echo-service.ts";
import { type Cell, type Protocol, streamsReplies, streamsRequests } from "./protocols.ts";

/** Lower than the defaults, so that a message over it is quick to send; the defaults have rows in tests/faults. */
export const maxMessageBytes = 256 * 1024;
/** Of one message in a flood. */
const pieceBytes = 16 * 1024;
/**
 * How far a side may run ahead of one that does not read: HTTP/2's stream window and node's buffers on both sides, and for
 * connections without windows of their own the kernel's socket buffers.
 */
const maxAheadBytes = { kernel: 8 * 1024 * 1024, windows: 1024 * 1024 };

export interface Started {
  readonly running: Running;
  readonly id: string;
  readonly probe: Promise<Probe>;
}

export interface Run {
  readonly cell: Cell;
  readonly protocol: Protocol;
  /** Starts the call and sends what its kind sends. */
  start(plan: Plan, options?: { readonly texts?: readonly string[]; readonly timeoutMs?: number }): Started;
  /** Whether a handler ever ran for it. */
  ran(id: string): boolean;
  /** The server ends as one does that is told to. */
  drain(): Promise<void>;
}

export interface Outcome {
  readonly name: string;
  /** Needs a server of its own. */
  readonly alone?: true;
  /** Why a cell cannot have this outcome; undefined: it can. */
  absent?(cell: Cell, protocol: Protocol): string | undefined;
  run(run: Run): Promise<void>;
}

const isUpload = ({ name }: Protocol): boolean => name.startsWith("rest upload");
const isMcp = ({ name }: Protocol): boolean => name.startsWith("mcp");

const answers: Outcome = {
  name: "answers",
  run: async ({ cell: { kind }, protocol, start }) => {
    const { running, probe } = start({}, { texts: streamsRequests(kind) ? ["a", "b", "c"] : ["a"] });
    const texts: (string | undefined)[] = [];
    for (let text = await running.next(); text !== undefined; text = await running.next()) texts.push(text);
    const expected: Readonly<Record<Kind, readonly string[]>> = {
      unary: ["a"],
      server_stream: ["a"],
      // Of a file no texts come back, only their number.
      client_stream: [isUpload(protocol) ? "" : "abc"],
      bidi_stream: ["a", "b", "c"],
    };
    assert.deepEqual(texts, expected[kind]);
    assert.equal((await running.end()).code, 0);
    await (await probe).over;
  },
};

const errorCodes = (Object.keys(codes) as (ErrorCode | "ok")[]).filter((code) => code !== "ok");

/** Details of the error's own, besides those that every error has. */
const failures: readonly Outcome[] = errorCodes.map((code) => ({
  name: `fails with ${code} and details`,
  run: async ({ start }) => {
    const { running, probe } = start({
      code,
      reason: "NOT_YET",
      message: "not yet: ä",
      details: [{ "@type": "RetryInfo", retryDelay: "2s" }],
    });
    assert.deepEqual(await running.end(), {
      code: codes[code].number,
      message: "not yet: ä",
      reason: "NOT_YET",
      details: ["ErrorInfo", "RequestInfo", "RetryInfo"],
    });
    await (await probe).over;
  },
}));

const failsLate: Outcome = {
  name: "fails after the first message",
  absent: ({ kind }) => (kind === "unary" ? "a unary call has one message" : undefined),
  run: async ({ cell: { kind }, start }) => {
    const { running, probe } = start({ code: "data_loss", reason: "LOST", after: 1 }, { texts: ["a"] });
    if (streamsReplies(kind)) assert.equal(await running.next(), "a");
    const end = await running.end();
    assert.deepEqual([end.code, end.reason], [15, "LOST"]);
    await (await probe).over;
  },
};

const throws: Outcome = {
  name: "throws",
  run: async ({ start, cell: { kind } }) => {
    const { running, probe } = start({
      throws: "password is hunter2",
      ...(kind === "bidi_stream" ? { after: 1 } : {}),
    });
    const end = await running.end();
    assert.deepEqual([end.code, end.reason, end.message], [13, "INTERNAL", "internal error"]);
    await (await probe).over;
  },
};

const deadline: Outcome = {
  name: "passes its deadline",
  absent: (_, { name }) =>
    name === "graphql on a websocket"
      ? "an operation on a socket has no deadline: its client completes it"
      : undefined,
  run: async ({ start, ran }) => {
    // On a busy machine a deadline may have passed before the handler begins, which then is not asked at all.
    const tried = async (timeoutMs: number): Promise<Started> => {
      const started = start({ wait: true }, { timeoutMs });
      const end = await started.running.end();
      assert.deepEqual([end.code, end.reason], [4, "DEADLINE_EXCEEDED"]);
      return ran(started.id) || timeoutMs > 1000 ? started : await tried(timeoutMs * 5);
    };
    const { probe } = await tried(40);
    const { canceled, signal, over } = await probe;
    assert.equal((await canceled).code, "deadline_exceeded");
    assert.equal(signal.aborted, true);
    await over;
  },
};

const cancelled: Outcome = {
  name: "is cancelled by its client",
  run: async ({ cell: { kind }, start }) => {
    const { running, probe } = start({ wait: true, ...(streamsReplies(kind) ? { after: 1 } : {}) });
    const { canceled, signal, over } = await probe;
    if (streamsReplies(kind)) assert.equal(await running.next(), "a");
    assert.equal(signal.aborted, false);
    running.cancel();
    assert.equal((await canceled).code, "canceled");
    assert.equal(signal.aborted, true);
    await over;
  },
};

const cancelledHere: Outcome = {
  name: "is cancelled by its server",
  run: async ({ cell: { kind }, start }) => {
    const { running, probe } = start(
      { wait: true, cancels: "aborted", reason: "ENOUGH", ...(streamsReplies(kind) ? { after: 1 } : {}) },
      { texts: ["a"] },
    );
    if (streamsReplies(kind)) assert.equal(await running.next(), "a");
    const end = await running.end();
    assert.deepEqual([end.code, end.reason], [10, "ENOUGH"]);
    const { canceled, signal, over } = await probe;
    assert.equal((await canceled).code, "aborted");
    assert.equal(signal.aborted, true);
    await over;
  },
};

const drained: Outcome = {
  name: "is cut by a server that ends",
  alone: true,
  absent: ({ compression }) =>
    compression === "identity" ? undefined : "a connection ends the same whatever is packed on it",
  run: async ({ cell: { kind }, start, drain }) => {
    const { running, probe } = start({ wait: true, ...(streamsReplies(kind) ? { after: 1 } : {}) });
    const { canceled, over } = await probe;
    if (streamsReplies(kind)) assert.equal(await running.next(), "a");
    const drains = drain();
    assert.equal((await canceled).code, "canceled");
    await over;
    const end = await running.end().catch((error: unknown) => ({ code: 1, error }));
    assert.notEqual(end.code, 0);
    await drains;
  },
};

/** Floods are what takes longest. */
function heldBackAlike({ compression }: Cell, { windows }: Protocol): string | undefined {
  if (compression === "identity") return undefined;
  if (!windows) return "the kernel's buffers hold back whatever is in them";
  return compression === "br"
    ? "who holds back whom is the same for all that is packed: gzip shows it"
    : undefined;
}

const slowClient: Outcome = {
  name: "waits for a client that does not read",
  absent: (cell, protocol) => {
    if (!streamsReplies(cell.kind)) return "the reply is one message";
    if (isMcp(protocol)) return "a tool's stream is collected, and cut at 256 KiB";
    return heldBackAlike(cell, protocol);
  },
  run: async ({ start, protocol }) => {
    const { running, probe } = start({ count: 100_000, size: pieceBytes });
    assert.equal((await running.next())?.length, pieceBytes);
    const { produced, over, canceled } = await settled(await probe, "produced");
    const ahead = produced * pieceBytes;
    assert.ok(ahead <= boundOf(protocol), `${ahead} bytes ahead of its reader`);
    // The reader wakes: it gets everything in order, and more is made.
    for (let more = 0; more < produced + 2; more += 1)
      assert.equal((await running.next())?.length, pieceBytes);
    running.cancel();
    assert.equal((await canceled).code, "canceled");
    await over;
  },
};

const slowHandler: Outcome = {
  name: "lets its client wait while the handler does not read",
  absent: (cell, protocol) =>
    streamsRequests(cell.kind) ? heldBackAlike(cell, protocol) : "the request is one message",
  run: async ({ start, protocol }) => {
    // Behind bytes that nobody reads HTTP/1 hides the end of its connection: there it is the deadline that ends the call.
    const hidden = protocol.name.endsWith("HTTP/1") || protocol.name.startsWith("websocket at");
    const { running, probe } = start({ wait: true }, { texts: [], ...(hidden ? { timeoutMs: 800 } : {}) });
    const { over, canceled, signal } = await probe;
    // What is behind the end of a call flows into nothing, and does not count.
    const ahead = (await flood(running, signal)) * pieceBytes;
    assert.ok(ahead <= boundOf(protocol), `${ahead} bytes ahead of the handler`);
    if (!hidden) running.cancel();
    assert.equal((await canceled).code, hidden ? "deadline_exceeded" : "canceled");
    await over;
    running.cancel();
  },
};

const tooLarge: Outcome = {
  name: "refuses a message over the limit",
  absent: ({ kind }, protocol) => {
    if (isUpload(protocol)) return "the pieces of a file are cut by the server; the handler counts them";
    if (protocol.name.endsWith("for all calls"))
      return "it would end all of them; the column with a socket for each call shows how";
    return protocol.name.startsWith("websocket at") && kind === "server_stream"
      ? "the request is the URL, which HTTP limits"
      : undefined;
  },
  run: async ({ cell: { kind }, protocol, start, ran }) => {
    // Theirs is 1 MiB, for all that one request holds.
    const own = isMcp(protocol) || protocol.name.includes("graphql") ? 1024 * 1024 : maxMessageBytes;
    const large = "x".repeat(own + 1);
    const { running, id, probe } = start({}, { texts: streamsRequests(kind) ? ["a", large] : [large] });
    const end = await running.end();
    assert.deepEqual([end.code, end.reason], [8, "PAYLOAD_TOO_LARGE"]);
    if (streamsRequests(kind)) await (await probe).over;
    else assert.equal(ran(id), false);
  },
};

export const outcomes: readonly Outcome[] = [
  answers,
  ...failures,
  failsLate,
  throws,
  deadline,
  cancelled,
  cancelledHere,
  drained,
  slowClient,
  slowHandler,
  tooLarge,
];

function boundOf({ windows }: Protocol): number {
  return maxAheadBytes[windows ? "windows" : "kernel"];
}

/** Waits until a counter has not moved for five looks in a row: there is no event for something that stops happening. */
async function settled<T>(counted: T, key: keyof T): Promise<T> {
  for (let same = 0, last = counted[key]; same < 5; ) {
    await new Promise((resolve) => setTimeout(resolve, 8));
    same = counted[key] === last ? same + 1 : 0;
    last = counted[key];
  }
  return counted;
}

/** Sends as long as anything is taken, a few pieces ahead. @returns what was taken while the call was there. */
async function flood(running: Running, signal: AbortSignal): Promise<number> {
  const piece = noise(pieceBytes);
  let taken = 0;
  for (let sent = 0, still = 0; still < 5; ) {
    const before = running.accepted;
    for (; sent < before + 8; sent += 1) running.send(piece);
    await new Promise((resolve) => setTimeout(resolve, 4));
    if (signal.aborted) return taken;
    taken = running.accepted;
    still = taken === before ? still + 1 : 0;
    if (sent * pieceBytes > 4 * maxAheadBytes.kernel) return taken;
  }
  return taken;
}
