import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { Encoding, Payload } from "#rpc/payload.ts";
import type { ByteSink } from "#std/byte-sink.ts";
import type { Exchange, ResponseHeaders } from "./exchange.ts";
import { Outbox } from "./outbox.ts";

/** An exchange that keeps what it is given, and has room until it is told otherwise. */
class Kept {
  readonly pieces: string[] = [];
  ended: ResponseHeaders | undefined;
  full: Promise<void> | undefined;

  get exchange(): Exchange {
    return {
      write: (piece: Uint8Array) => {
        assert.equal(this.ended, undefined, "written after the end");
        this.pieces.push(Buffer.from(piece).toString());
        return this.full;
      },
      end: (trailers: ResponseHeaders = {}) => {
        this.ended = trailers;
      },
      endWith: (piece: Uint8Array, trailers: ResponseHeaders = {}) => {
        this.pieces.push(Buffer.from(piece).toString());
        this.ended = trailers;
      },
    } as unknown as Exchange;
  }
}

function add(outbox: Outbox, text: string): Promise<void> | undefined {
  outbox.text(text);
  return outbox.added();
}

/** Until everything that is ready has run: no timer, no socket and no `setImmediate` comes before it. */
const ready = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));

describe("an outbox", () => {
  test("writes what is ready in one turn in one piece, in its order", async () => {
    const kept = new Kept();
    const outbox = new Outbox(kept.exchange);
    for (const text of ["a", "b", "c"]) {
      await Promise.resolve();
      assert.equal(add(outbox, text), undefined);
    }
    assert.deepEqual(kept.pieces, []);
    await ready();
    assert.deepEqual(kept.pieces, ["abc"]);
  });

  test("writes a message that is alone before anything else can happen", async () => {
    const kept = new Kept();
    const outbox = new Outbox(kept.exchange);
    const seen: string[] = [];
    setImmediate(() => seen.push(`the next phase: ${kept.pieces.join()}`));
    setTimeout(() => seen.push(`a timer: ${kept.pieces.join()}`), 0);
    void add(outbox, "alone");
    await ready();
    assert.deepEqual(kept.pieces, ["alone"]);
    await turn();
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual(seen.sort(), ["a timer: alone", "the next phase: alone"]);
    void add(outbox, "later");
    await ready();
    assert.deepEqual(kept.pieces, ["alone", "later"]);
  });

  test("writes a full piece at once", async () => {
    const kept = new Kept();
    const outbox = new Outbox(kept.exchange);
    const message = "x".repeat(1000);
    for (let count = 0; count < 16; count += 1) void add(outbox, message);
    assert.deepEqual(kept.pieces, []);
    void add(outbox, message);
    assert.deepEqual(kept.pieces, [message.repeat(17)]);
    await ready();
    assert.equal(kept.pieces.length, 1);
  });

  test("says when a full piece finds no room", () => {
    const kept = new Kept();
    kept.full = Promise.resolve();
    assert.equal(add(new Outbox(kept.exchange), "x".repeat(20_000)), kept.full);
  });

  test("says before the next message that one alone found no room", async () => {
    const kept = new Kept();
    kept.full = Promise.resolve();
    const outbox = new Outbox(kept.exchange);
    assert.equal(add(outbox, "alone"), undefined);
    assert.equal(outbox.room(), undefined);
    await ready();
    assert.equal(outbox.room(), kept.full);
    assert.equal(outbox.room(), undefined);
  });

  test("ends with what is left, and with nothing where nothing is", async () => {
    const [some, none] = [new Kept(), new Kept()];
    const outbox = new Outbox(some.exchange);
    void add(outbox, "last");
    outbox.end({ "grpc-status": "0" });
    new Outbox(none.exchange).end();
    await ready();
    assert.deepEqual([some.pieces, some.ended], [["last"], { "grpc-status": "0" }]);
    assert.deepEqual([none.pieces, none.ended], [[], {}]);
  });

  test("does not mix what streams make in turns", async () => {
    const streams = Array.from({ length: 40 }, () => new Kept());
    const outboxes = streams.map((kept) => new Outbox(kept.exchange));
    for (let round = 0; round < 3; round += 1) {
      for (let message = 0; message < 5; message += 1)
        for (const [index, outbox] of outboxes.entries()) void add(outbox, `${index},`);
      await ready();
    }
    for (const [index, { pieces }] of streams.entries())
      assert.deepEqual(pieces, Array(3).fill(`${index},`.repeat(5)));
  });

  test("leaves out a message that cannot be encoded", async () => {
    const kept = new Kept();
    const outbox = new Outbox(kept.exchange);
    const payload = (writeTo: (sink: ByteSink, encoding: Encoding) => void): Payload =>
      ({ writeTo }) as unknown as Payload;
    const good = payload((sink) => sink.text("ok"));
    const bad = payload((sink) => {
      sink.text("half of it");
      throw new Error("no more");
    });
    outbox.frame(good, "proto");
    void outbox.added();
    assert.throws(() => outbox.frame(bad, "proto"), /no more/);
    outbox.end();
    await ready();
    assert.deepEqual(kept.pieces, ["\0\0\0\0\u0002ok"]);
  });

  test("tells whoever asks that the client is gone, and nobody else", async () => {
    const kept = new Kept();
    const outbox = new Outbox(kept.exchange);
    const unheard: unknown[] = [];
    const hear = (reason: unknown): number => unheard.push(reason);
    process.on("unhandledRejection", hear);
    kept.full = Promise.reject(new Error("gone"));
    void add(outbox, "alone");
    await turn();
    await turn();
    process.off("unhandledRejection", hear);
    assert.deepEqual(unheard, []);
    await assert.rejects(async () => await outbox.room(), /gone/);
  });
});
