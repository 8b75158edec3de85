/** Ten thousand clients that change their mind: every handler hears of it and ends, and no timer, socket or stream of theirs stays. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Driver, Kind } from "../support/drivers.ts";
import { type EchoServer, startEcho } from "../support/echo.ts";
import { grpcJsDriver } from "../support/grpc-driver.ts";
import { restDriver } from "../support/rest-driver.ts";
import { webSocketDriver } from "../support/websocket-driver.ts";

const inAll = 10_000;
/** At once on one connection, and in all: more resets than 200 on one look like an attack, and end it. */
const atOnce = 50;
const onOneConnection = 150;
const kinds: readonly Kind[] = ["unary", "server_stream", "client_stream", "bidi_stream"];

/** What the process has open, by kind. */
function open(): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

const drivers: Readonly<Record<string, (echo: EchoServer) => Driver>> = {
  gRPC: (echo) => grpcJsDriver(echo, { port: echo.grpcPort, compression: "identity" }),
  "REST over h2c": (echo) =>
    restDriver({ port: echo.httpPort, compression: "identity", http: 2, form: "events", proto: false }),
  "REST over HTTP/1": (echo) =>
    restDriver({ port: echo.httpPort, compression: "identity", http: 1, form: "events", proto: false }),
  WebSocket: (echo) => webSocketDriver(echo, { port: echo.httpPort, json: true, shared: true }),
};
const each = inAll / Object.keys(drivers).length;

test(`${inAll} cancels leave nothing behind`, { timeout: 60_000 }, async (t) => {
  const before = open();
  const echo = await startEcho();
  t.after(() => echo.close());
  const running = new Set<string>();
  let longestMs = 0;
  for (const [name, make] of Object.entries(drivers)) {
    let driver = make(echo);
    let count = 0;
    const one = async (): Promise<void> => {
      const kind = kinds[count % kinds.length] ?? "unary";
      count += 1;
      const id = `cancel-${name.replaceAll(/\W/g, "-")}-${count}`;
      // With a deadline far away: its timer has to go too.
      const call = driver.open({ kind, id, plan: { wait: true }, timeoutMs: 250_000 });
      call.send("a");
      // Over HTTP/1 a client that leaves is heard of where nothing of its request is left to be read.
      if (kind === "unary" || kind === "server_stream" || name.startsWith("REST")) call.endSending();
      const probe = await echo.probe(id);
      running.add(id);
      void probe.over.then(() => running.delete(id));
      const since = performance.now();
      call.cancel();
      await probe.over;
      longestMs = Math.max(longestMs, performance.now() - since);
    };
    while (count < each) {
      await Promise.all(Array.from({ length: atOnce }, one));
      if (count % onOneConnection !== 0) continue;
      driver.close();
      driver = make(echo);
    }
    driver.close();
  }
  assert.deepEqual([...running], []);
  t.diagnostic(`a handler was over at most ${longestMs.toFixed(0)} ms after its client left`);
  await sleep(200);
  const timers = (counts: Readonly<Record<string, number>>): number => counts.Timeout ?? 0;
  const sockets = (counts: Readonly<Record<string, number>>): number => counts.TCPSocketWrap ?? 0;
  const now = open();
  // One for each of what is bounded by the server and not by its calls: its own checks, and this test's sleep.
  assert.ok(timers(now) - timers(before) < 10, `${timers(before)} timers before, ${timers(now)} after`);
  await echo.close();
  await sleep(200);
  const end = open();
  assert.ok(sockets(end) <= sockets(before), `${sockets(before)} sockets before, ${sockets(end)} after`);
  assert.ok(timers(end) <= timers(before) + 1, `${timers(before)} timers before, ${timers(end)} after`);
});
