/** The options that say how long something of a connection may take, or how much of it may come in a time: each set to another value, and seen to act. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { frameBytes, headersFrame, parseFrames, preface } from "../faults/http2-bytes.ts";
import { startPortico, type TestPortico } from "../support/portico.ts";
import { serve } from "../support/process.ts";
import { close, frame, ping, Raw } from "../support/websocket-bytes.ts";

async function withPortico<T>(
  flags: Readonly<Record<string, string>>,
  see: (portico: TestPortico) => Promise<T>,
): Promise<T> {
  const portico = await startPortico(flags);
  try {
    return await see(portico);
  } finally {
    await portico.stop();
  }
}

/** How long a connection lives that stops in the middle of its headers. */
async function unfinished({ httpPort }: TestPortico): Promise<number> {
  const socket = connectTcp(httpPort, "127.0.0.1");
  const startedAtMs = performance.now();
  socket.on("error", () => {}).resume();
  socket.write("GET /livez HTTP/1.1\r\n");
  await new Promise((resolve) => socket.once("close", resolve));
  return performance.now() - startedAtMs;
}

/** Resolves once it has sent so many, and they are answered or the connection is over. */
async function pingTimes(session: ClientHttp2Session, count: number): Promise<boolean> {
  const one = (): Promise<boolean> =>
    new Promise((resolve) => {
      session.once("close", () => resolve(false));
      if (session.destroyed || !session.ping((error) => resolve(error === null))) resolve(false);
    });
  return (await Promise.all(Array.from({ length: count }, one))).every(Boolean);
}

/** A call that goes on, of a client that answers no PING: how long its connection lives. */
async function silent({
  httpPort,
}: TestPortico): Promise<{ readonly pingedMs: number; readonly goneMs: number }> {
  const socket = connectTcp(httpPort, "127.0.0.1");
  const path = "/portico.bpmn.v1.BPMNService/UploadBPMN";
  const startedAtMs = performance.now();
  socket.write(Buffer.concat([preface, frameBytes(4, 0, 0, Buffer.alloc(0)), headersFrame([], { path })]));
  let received = Buffer.alloc(0);
  let pingedMs = Number.POSITIVE_INFINITY;
  socket
    .on("error", () => {})
    .on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (parseFrames(received).some(({ type }) => type === 6))
        pingedMs = Math.min(pingedMs, performance.now() - startedAtMs);
    });
  const late = setTimeout(() => socket.destroy(), 6000);
  await new Promise((resolve) => socket.once("close", resolve));
  clearTimeout(late);
  return { pingedMs, goneMs: performance.now() - startedAtMs };
}

/** When connections of one moment are told to go, first and last. */
async function toldToGo({ httpPort }: TestPortico, count: number): Promise<readonly [number, number]> {
  const sessions = Array.from({ length: count }, () => connectHttp2(`http://127.0.0.1:${httpPort}`));
  const startedAtMs = performance.now();
  const times = await Promise.all(
    sessions.map(
      (session) =>
        new Promise<number>((resolve) => {
          const stream = session.on("error", () => {}).request({ ":path": "/livez" });
          stream.on("error", () => {}).resume();
          session.once("goaway", () => resolve(performance.now() - startedAtMs));
        }),
    ),
  );
  for (const session of sessions) session.destroy();
  return [Math.min(...times), Math.max(...times)];
}

describe("an option of connections has an effect", () => {
  test("timeoutCheckMs 20: who is late with its headers is closed within moments, whenever it came", async () => {
    await withPortico({ headersTimeoutMs: "900", timeoutCheckMs: "20" }, async (portico) => {
      // Looked at every 900 ms, one of them at least would live for 1600.
      const lives = Array.from({ length: 7 }, async (_unused, at) => {
        await sleep(at * 130);
        return await unfinished(portico);
      });
      for (const livedMs of await Promise.all(lives))
        assert.ok(livedMs > 850 && livedMs < 1400, `${livedMs} ms`);
    });
  });

  test("http2ControlWindowMs 300: as many PINGs again in the next window, and no more in one", async () => {
    const flags = { http2MaxControlFrames: "10", http2ControlWindowMs: "300" };
    await withPortico(flags, async ({ base }) => {
      const session = connectHttp2(base);
      session.on("error", () => {});
      const stream = session.request({ ":path": "/livez" });
      await new Promise((resolve) => stream.resume().once("close", resolve));
      for (let window = 0; window < 3; window += 1) {
        assert.equal(await pingTimes(session, 7), true, `window ${window}`);
        await sleep(800);
      }
      assert.equal(await pingTimes(session, 7), true);
      assert.equal(await pingTimes(session, 7), false);
      session.destroy();
    });
  });

  test("http2PingTimeoutMs 400: a client that does not answer is gone so long after the PING", async () => {
    const flags = {
      ...{ http2PingAfterMs: "500", http2PingTimeoutMs: "400" },
      ...{ http2HeaderBlockTimeoutMs: "500", http2FirstRequestTimeoutMs: "500" },
    };
    await withPortico(flags, async (portico) => {
      const { pingedMs, goneMs } = await silent(portico);
      assert.ok(pingedMs < 2000, `pinged after ${pingedMs} ms`);
      assert.ok(goneMs - pingedMs > 350 && goneMs - pingedMs < 2000, `gone ${goneMs - pingedMs} ms later`);
    });
  });

  test("http2AgeJitterPercent: at one moment without it, far from each other with much of it", async () => {
    const flags = { http2MaxAgeMs: "800", http2AgeGraceMs: "5000" };
    await withPortico({ ...flags, http2AgeJitterPercent: "0" }, async (portico) => {
      const [first, last] = await toldToGo(portico, 6);
      assert.ok(first > 750 && last - first < 300, `${first} to ${last} ms`);
    });
    await withPortico({ ...flags, http2AgeJitterPercent: "50" }, async (portico) => {
      const [first, last] = await toldToGo(portico, 24);
      // With the default they would be within 160 ms and two looks; 24 times out of 800 ms within that is chance of one in a billion.
      assert.ok(first > 390 && last - first > 400, `${first} to ${last} ms`);
    });
  });

  test("reservedFiles 197: of 200 files three are connections, whatever is asked for", async () => {
    const dataDir = mkdtempSync(path.join(tmpdir(), "portico-files-"));
    const more = ["--reserved-files", "197", "--max-connections", "1000", "--database-url", "memory:"];
    const { base, child, ended } = await serve(dataDir, more, { files: 200 });
    const sockets = Array.from({ length: 4 }, () => connectTcp(Number(new URL(base).port), "127.0.0.1"));
    try {
      const closed = sockets.map((socket) => {
        socket.on("error", () => {}).resume();
        return new Promise((resolve) => socket.once("close", resolve));
      });
      await Promise.race(closed);
      for (const socket of sockets)
        if (!socket.destroyed) socket.write("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
      await sleep(300);
      assert.equal(sockets.filter((socket) => socket.bytesRead > 0).length, 3);
    } finally {
      for (const socket of sockets) socket.destroy();
      child.kill("SIGTERM");
      await ended;
      rmSync(dataDir, { recursive: true, force: true });
    }
  });

  test("socketControlWindowMs 300: as many PINGs again in the next window, and no more in one", async () => {
    const flags = { maxSocketControls: "10", socketControlWindowMs: "300" };
    await withPortico(flags, async ({ httpPort }) => {
      const socket = await new Raw(httpPort, "/ws").opened();
      const pings = Buffer.concat(Array.from({ length: 8 }, () => frame(ping)));
      for (let window = 1; window <= 3; window += 1) {
        socket.socket.write(pings);
        await socket.until(() => socket.frames.length >= window * 8);
        await sleep(350);
      }
      assert.equal(socket.ended, false);
      socket.socket.write(Buffer.concat([pings, pings]));
      await socket.until(() => socket.ended);
      assert.equal(socket.frames.findLast(({ opcode }) => opcode === close)?.payload.readUInt16BE(0), 1008);
    });
  });
});
