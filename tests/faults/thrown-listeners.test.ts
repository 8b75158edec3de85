/** Who listens for a client that leaves or stops reading, and throws, has a fault: it costs its own answer, and neither the process nor what others hear. */
import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { type Adapter, type Exchange, type Listener, listen } from "#gateway/ingress/ingress.ts";
import type { WebSockets } from "#gateway/ingress/websocket/websocket.ts";
import type { Refusal } from "#rpc/refusal.ts";
import { systemClock } from "#std/clock.ts";

const fault = new TypeError("the listener has a fault");
const thrown: unknown[] = [];
const refused: Refusal[] = [];
/** What listeners heard, by the path of their exchange. */
const told: string[] = [];
/** How the writing of what nobody reads ended. */
const writes: Promise<string>[] = [];
let listener: Listener;
const hear = (error: unknown): number => thrown.push(error);

/** Answers that go on; `/fault/…` throws when it hears anything. */
function serve(exchange: Exchange): void {
  const listen = (what: string): void => {
    told.push(`${exchange.path} ${what}`);
    if (exchange.path.startsWith("/fault")) throw fault;
  };
  if (exchange.path.endsWith("/late")) {
    // Long after it has gone.
    exchange.chunks();
    setTimeout(() => exchange.onAbort(() => listen("gone")), 300);
    return;
  }
  exchange.onAbort(() => listen("gone"));
  exchange.onStalled(() => listen("stalled"));
  if (exchange.path.endsWith("/whole")) {
    exchange.reply(200, {}, new Uint8Array(32 * 1024 * 1024));
    return;
  }
  exchange.start(200, {});
  if (exchange.path.endsWith("/endless")) writes.push(writeAll(exchange));
}

async function writeAll(exchange: Exchange): Promise<string> {
  const piece = new Uint8Array(64 * 1024);
  try {
    for (;;) await exchange.write(piece);
  } catch (error) {
    return String((error as { reason?: string }).reason);
  }
}

const adapter: Adapter & { owns(path: string): boolean } = { owns: () => false, handle: serve };
/** One that throws when its client is to be told. */
const webSockets: WebSockets = {
  sockets: 0,
  drain: () => Promise.resolve(),
  upgrade: ({ socket, onStalled }) => {
    onStalled(() => {
      told.push("socket stalled");
      throw fault;
    });
    const fill = (): void => {
      while (socket.write(new Uint8Array(64 * 1024)));
      socket.once("drain", fill);
    };
    fill();
    return Promise.resolve(undefined);
  },
};

before(async () => {
  process.on("uncaughtException", hear);
  listener = await listen({
    ...{ host: "127.0.0.1", httpPort: 0, grpcPort: 0, clock: systemClock },
    limits: { stalledTimeoutMs: 300 },
    adapters: {
      ...{ grpc: { ...adapter }, grpcWeb: { ...adapter }, connect: { ...adapter } },
      ...{ rest: adapter, pages: { ...adapter }, webSockets },
    },
    onRefused: (refusal) => refused.push(refusal),
  });
});

after(async () => {
  process.off("uncaughtException", hear);
  await listener.close();
});

async function until(look: () => boolean): Promise<void> {
  for (const late = Date.now() + 15_000; !look() && thrown.length === 0; ) {
    if (Date.now() > late) throw new Error(`it did not come: ${told.join()}, ${refused.length} refused`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Faults that those who watch were told of since the last time; nothing came past them. */
function faults(): readonly string[] {
  assert.deepEqual(thrown.splice(0), []);
  return refused.splice(0).map(({ protocol, error }) => {
    assert.equal(error.cause, fault);
    return `${protocol} ${error.reason}`;
  });
}

/** A request whose answer nobody takes. */
function ask(path: string, more = ""): Socket {
  const socket = connect(listener.httpPort, "127.0.0.1");
  socket.on("error", () => {}).pause();
  socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`);
  return socket;
}

describe("a listener that throws when its client", { timeout: 60_000 }, () => {
  test("leaves: HTTP/1, and the others hear", async () => {
    const sockets = ["/good/1", "/fault/1", "/good/2"].map((path) => ask(path));
    await Promise.all(
      sockets.map((socket) => new Promise((resolve) => socket.resume().once("data", resolve))),
    );
    for (const socket of sockets) socket.destroy();
    await until(() => told.length === 3 && refused.length === 1);
    assert.deepEqual(told.splice(0).sort(), ["/fault/1 gone", "/good/1 gone", "/good/2 gone"]);
    assert.deepEqual(faults(), ["rest INTERNAL"]);
  });

  for (const [port, protocol] of [
    ["httpPort", "rest"],
    ["grpcPort", "grpc"],
  ] as const)
    for (const how of ["leaves", "resets its stream"])
      test(`${how}: HTTP/2 on ${port}, and the others hear`, async () => {
        const session = connectHttp2(`http://127.0.0.1:${listener[port]}`);
        session.on("error", () => {});
        const streams = ["/good/1", "/fault/1", "/good/2"].map((path) => session.request({ ":path": path }));
        for (const stream of streams) stream.on("error", () => {}).resume();
        await Promise.all(
          streams.map((stream) => new Promise((resolve) => stream.once("response", resolve))),
        );
        if (how === "leaves") session.destroy();
        else for (const stream of streams) stream.close(8);
        await until(() => told.length === 3 && refused.length === 1);
        assert.deepEqual(told.splice(0).sort(), ["/fault/1 gone", "/good/1 gone", "/good/2 gone"]);
        assert.deepEqual(faults(), [`${protocol} INTERNAL`]);
        session.destroy();
      });

  test("leaves in the middle of an answer that is whole: HTTP/2", async () => {
    const session = connectHttp2(`http://127.0.0.1:${listener.httpPort}`);
    const stream = session.on("error", () => {}).request({ ":path": "/fault/whole" });
    stream.on("error", () => {}).pause();
    await new Promise((resolve) => stream.once("response", resolve));
    stream.close(8);
    await until(() => refused.length === 1);
    assert.deepEqual(told.splice(0), ["/fault/whole gone"]);
    assert.deepEqual(faults(), ["rest INTERNAL"]);
    session.destroy();
  });

  test("has left already", async () => {
    const socket = ask("/fault/late");
    const session = connectHttp2(`http://127.0.0.1:${listener.httpPort}`);
    const stream = session.on("error", () => {}).request({ ":path": "/fault/late" });
    stream.on("error", () => {});
    await new Promise((resolve) => setTimeout(resolve, 100));
    socket.destroy();
    session.destroy();
    await until(() => told.length === 2 && refused.length === 2);
    assert.deepEqual(told.splice(0), ["/fault/late gone", "/fault/late gone"]);
    assert.deepEqual(faults(), ["rest INTERNAL", "rest INTERNAL"]);
  });

  test("stops reading: HTTP/1, and who writes and the others hear", async () => {
    const sockets = ["/good/endless", "/fault/endless", "/good/endless"].map((path) => ask(path));
    await until(() => told.filter((what) => what.endsWith("stalled")).length === 3);
    const ends = await Promise.all(writes.splice(0));
    assert.deepEqual(ends, ["READER_STALLED", "READER_STALLED", "READER_STALLED"]);
    await until(() => refused.length > 0);
    assert.deepEqual([...new Set(faults())], ["rest INTERNAL"]);
    for (const socket of sockets) socket.destroy();
    await until(() => told.filter((what) => what.endsWith("gone")).length === 3);
    told.splice(0);
    refused.splice(0);
  });

  test("stops reading: HTTP/2, and who writes and the others hear", async () => {
    const session = connectHttp2(`http://127.0.0.1:${listener.httpPort}`);
    session.on("error", () => {});
    const paths = ["/good/endless", "/fault/endless", "/good/endless"];
    const streams = paths.map((path) => session.request({ ":path": path }));
    for (const stream of streams) stream.on("error", () => {}).pause();
    await until(() => told.filter((what) => what.endsWith("stalled")).length === 3);
    const ends = await Promise.all(writes.splice(0));
    assert.equal(ends.filter((end) => end === "READER_STALLED").length, 3, ends.join());
    await until(() => refused.length > 0);
    assert.deepEqual([...new Set(faults())], ["rest INTERNAL"]);
    session.destroy();
    await until(() => told.filter((what) => what.endsWith("gone")).length === 3);
    told.splice(0);
    refused.splice(0);
  });

  test("stops reading: a WebSocket is closed, and others hear", async () => {
    const handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    const sockets = [ask("/ws", handshake), ask("/good/endless")];
    await until(() => told.length >= 2 && refused.length > 0);
    assert.deepEqual(told.splice(0).sort(), ["/good/endless stalled", "socket stalled"]);
    assert.deepEqual(faults(), ["websocket INTERNAL"]);
    for (const socket of sockets) socket.destroy();
    await Promise.all(writes.splice(0));
  });
});
