/** What the guards against attacks must let pass: clients that are quiet, that send much, or that read much, with timers and budgets far below the real ones. */
import assert from "node:assert/strict";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type EchoServer, startEcho } from "../support/echo.ts";
import { frame } from "./bad-input.ts";

const message = frame(Buffer.from([0x0a, 1, 97]));

describe("a good client is left alone", () => {
  let echo: EchoServer;
  let session: ClientHttp2Session;
  before(async () => {
    echo = await startEcho({
      limits: {
        http2HeaderBlockTimeoutMs: 1000,
        http2PingAfterMs: 1000,
        http2PingTimeoutMs: 500,
        http2MaxIdleBytes: 4096,
        requestTimeoutMs: 1000,
        headersTimeoutMs: 1000,
        stalledTimeoutMs: 1000,
      },
    });
    session = connect(`http://127.0.0.1:${echo.grpcPort}`);
  });
  after(async () => {
    session.destroy();
    await echo.close();
  });

  const open = (method: string, headers: Readonly<Record<string, string>> = {}): ClientHttp2Stream =>
    session.request({
      ":method": "POST",
      ":path": `/test.v1.Echo/${method}`,
      "content-type": "application/grpc",
      te: "trailers",
      ...headers,
    });
  /** The bytes of the answer and the status it ends with. */
  const answer = (stream: ClientHttp2Stream): Promise<{ size: number; status: unknown }> =>
    new Promise((resolve, reject) => {
      let size = 0;
      let status: unknown;
      stream.on("data", (chunk: Buffer) => {
        size += chunk.length;
      });
      stream.on("trailers", (trailers) => {
        status = trailers["grpc-status"];
      });
      stream.on("error", reject);
      stream.on("close", () => resolve({ size, status }));
    });

  test("that says nothing for long while its call goes on", async () => {
    const stream = open("BidiStream");
    const done = answer(stream);
    stream.write(message);
    await sleep(2000);
    stream.end(message);
    assert.deepEqual(await done, { size: 2 * message.length, status: "0" });
  });

  test("that has no calls for a while and then one", async () => {
    await sleep(1500);
    const stream = open("Unary");
    stream.end(message);
    assert.deepEqual(await answer(stream), { size: message.length, status: "0" });
  });

  test("that sends 20,000 small messages, each in a frame of its own", async () => {
    const stream = open("ClientStream");
    const done = answer(stream);
    for (let sent = 0; sent < 20_000; sent += 1) {
      if (!stream.write(message)) await new Promise((resolve) => stream.once("drain", resolve));
    }
    stream.end();
    assert.equal((await done).status, "0");
  });

  test("that sends a large message slowly, as a stream", async () => {
    const stream = open("ClientStream");
    const done = answer(stream);
    for (const piece of [message.subarray(0, 3), message.subarray(3, 6), message.subarray(6)]) {
      stream.write(piece);
      await sleep(400);
    }
    stream.end();
    assert.equal((await done).status, "0");
  });

  test("that reads 32 MB, and tells of each window", async () => {
    const stream = open("ServerStream", { "echo-plan": '{"count":500,"size":65536}' });
    const done = answer(stream);
    stream.end(message);
    const { size, status } = await done;
    assert.ok(size > 32_000_000);
    assert.equal(status, "0");
  });

  test("that is refused with a body on its way", async () => {
    const stream = open("Nothing");
    stream.on("error", () => {});
    stream.write(Buffer.alloc(1_000_000));
    await answer(stream).catch(() => {});
    assert.equal(session.destroyed, false);
    const next = open("Unary");
    next.end(message);
    assert.equal((await answer(next)).status, "0");
  });
});
