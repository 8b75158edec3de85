/**
 * A client that leaves is noticed by the handler within 50 ms, in every protocol and for every kind of call: whether it cancels the one
 * call, or its whole connection is gone. The median of ten, because a busy machine may stop for longer than that; the largest is told.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Driver, Kind } from "../support/drivers.ts";
import { type EchoServer, startEcho } from "../support/echo.ts";
import { codecs, kinds, type Protocol, protocols, streamsReplies } from "./protocols.ts";

const limitMs = 50;
const samples = 10;

let echo: EchoServer;
before(async () => {
  echo = await startEcho();
});
after(() => echo.close());

/** Where a call has a connection of its own, cancelling it and closing that is the same. */
const sharesConnections = ({ name }: Protocol): boolean =>
  name.startsWith("grpc on") || name.endsWith("h2c") || name.endsWith("for all calls");

const byHand = { codec: "json", compression: "identity" } as const;

let calls = 0;

/** Milliseconds from leaving until the handler hears of it. */
async function sample(
  driver: Driver,
  kind: Kind,
  leave: (running: { cancel(): void }) => void,
): Promise<number> {
  calls += 1;
  const id = `departure-${calls}`;
  const plan = { wait: true, ...(streamsReplies(kind) ? { after: 1 } : {}) };
  const running = driver.open({ kind, id, plan });
  running.send("a");
  running.endSending();
  const { canceled, over, signal } = await echo.probe(id);
  if (streamsReplies(kind)) assert.equal(await running.next(), "a");
  assert.equal(signal.aborted, false);
  const began = performance.now();
  leave(running);
  assert.equal((await canceled).code, "canceled");
  const noticedMs = performance.now() - began;
  await over;
  return noticedMs;
}

function check(sorted: readonly number[]): string {
  const median = sorted[samples / 2] ?? Number.POSITIVE_INFINITY;
  const told = `median ${median.toFixed(1)} ms, largest ${sorted.at(-1)?.toFixed(1)} ms`;
  assert.ok(median <= limitMs, told);
  return told;
}

for (const protocol of protocols)
  describe(protocol.name, () => {
    for (const kind of kinds) {
      const codec = codecs.find((one) => {
        const cell = { kind, codec: one, compression: "identity" } as const;
        return protocol.absent(cell) === undefined && protocol.refused(cell) === undefined;
      });
      // What a protocol cannot carry is counted, with the reason, by the matrix.
      if (codec === undefined) continue;
      const column = { codec, compression: "identity" } as const;

      test(`${kind}: who cancels is noticed within ${limitMs} ms`, { timeout: 10_000 }, async (t) => {
        const driver = protocol.driver(echo, column);
        const all: number[] = [];
        for (let n = 0; n < samples; n += 1)
          all.push(await sample(driver, kind, (running) => running.cancel()));
        driver.close();
        t.diagnostic(check(all.sort((a, b) => a - b)));
      });

      if (!sharesConnections(protocol)) continue;
      test(`${kind}: whose connection is gone is noticed within ${limitMs} ms`, {
        timeout: 10_000,
      }, async (t) => {
        const all: number[] = [];
        for (let n = 0; n < samples; n += 1) {
          // grpc-js closes when its last call is over: frames by hand, which the other codec has, just go.
          const driver = protocol.driver(echo, protocol.name.startsWith("grpc on") ? byHand : column);
          all.push(await sample(driver, kind, () => driver.close()));
        }
        t.diagnostic(check(all.sort((a, b) => a - b)));
      });
    }
  });
