/**
 * Twenty new versions on one port, one after the other, each beside the one before, under load of every kind: nobody notices. A stream that is refused
 * before anything was done of it, and a connection that lay in the queue of a listener that closed, are asked again, as every client does.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ask, bpmnXml } from "../support/portico.ts";
import { startPostgres, type TestPostgres } from "../support/postgres.ts";
import { type Running, serve } from "../support/process.ts";
import { followEvents, Reader, readEvents } from "./readers.ts";
import { grpcLoop, http1Loop, http2Loop, keepAsking, type Once, Tally, writeLoop } from "./unary-loops.ts";

const restarts = Number(process.env.TEST_RESTARTS ?? 20);
const readers = 200;
/** Unary calls of each kind at once. */
const loops = 3;
/** How long a reader may be without its stream, in milliseconds. */
const awayMs = 5000;

const folder = mkdtempSync(path.join(tmpdir(), "portico-restarts-"));
let postgres: TestPostgres;
let flags: readonly string[];
let env: Readonly<Record<string, string>>;
const started: Running[] = [];

before(async () => {
  postgres = await startPostgres();
  env = { PORTICO_DATABASE_URL: await postgres.createDatabase() };
  flags = [
    ...["--log-level", "warn", "--reuse-port", "on"],
    ...["--rate-limit", "off", "--tenant-rate-limit", "off"],
  ];
});
/** Ends what the test has running, however the test ends. */
let over = false;
after(async () => {
  over = true;
  for (const { child } of started) child.kill("SIGKILL");
  await postgres.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function start(ports: readonly string[]): Promise<Running> {
  const running = await serve(folder, [...flags, ...ports], { env });
  started.push(running);
  return running;
}

describe("new versions on one port", () => {
  test(`${restarts} of them, and nobody notices`, { timeout: restarts * 20_000 + 60_000 }, async (t) => {
    let current = await start([]);
    const { base, grpcPort } = current;
    const ports = ["--http-port", String(new URL(base).port), "--grpc-port", String(grpcPort)];
    const kept = await ask(base, "POST", "/api/v1/bpmn?documentId=kept", { body: { xml: bpmnXml() } });
    assert.ok(kept.status < 300);

    const isOver = (): boolean => over;
    const tallies = { "HTTP/1": new Tally(), "HTTP/2": new Tally(), gRPC: new Tally(), writes: new Tally() };
    const keep = (tally: Tally, once: Once, pauseMs = 2) => keepAsking(tally, { once, pauseMs, isOver });
    const asking = Array.from({ length: loops }, () => [
      keep(tallies["HTTP/1"], http1Loop(base)),
      keep(tallies["HTTP/2"], http2Loop(base)),
      keep(tallies.gRPC, grpcLoop(grpcPort)),
    ]).flat();
    asking.push(keep(tallies.writes, writeLoop(base, 0), 40));

    const events = Array.from({ length: readers }, () => new Reader());
    for (const reader of events) readEvents(base, reader, isOver);
    const sockets = Array.from({ length: readers }, () => new Reader());
    const clients = sockets.map((reader) => followEvents(base, reader, isOver));
    await sleep(2000);

    for (let round = 0; round < restarts; round += 1) {
      const old = current;
      current = await start(ports);
      old.child.kill("SIGTERM");
      assert.equal(await old.ended, 0);
      const made = await ask(base, "POST", `/api/v1/bpmn?documentId=round-${round}`, {
        body: { xml: bpmnXml() },
      });
      assert.ok(made.status < 300, made.text);
      const madeAtMs = performance.now();
      const subject = `bpmn/round-${round}`;
      const missing = (): number =>
        [...events, ...sockets].filter(({ seen }) => ![...seen].some((one) => one.includes(subject))).length;
      // Whoever was told to go was so before: after that time it has to be back, and to have what was missed.
      while (missing() > 0 && performance.now() - madeAtMs < awayMs) await sleep(20);
      assert.equal(missing(), 0, `after restart ${round + 1} so many readers did not come back`);
      // No version is replaced in its first seconds.
      await sleep(1500);
    }
    over = true;
    await Promise.all(asking);
    for (const client of clients) client.close();

    const all = Object.entries(tallies);
    t.diagnostic(
      all
        .map(
          ([name, { answered, refused, queued, failed }]) =>
            `${name}: ${answered} answered, ${refused} refused streams, ${queued} reset in the queue, ${failed.length} failed`,
        )
        .join("; "),
    );
    const kinds = Object.entries({ SSE: events, WebSocket: sockets });
    for (const [name, them] of kinds)
      t.diagnostic(
        `${name}: the longest that one of ${them.length} was away: ${Math.max(...them.map(({ longestAwayMs }) => longestAwayMs)).toFixed(0)} ms`,
      );
    for (const [name, { failed }] of all) assert.deepEqual(failed.slice(0, 5), [], name);
    const answered = all.reduce((sum, [, tally]) => sum + tally.answered, 0);
    const again = all.reduce((sum, [, tally]) => sum + tally.again, 0);
    assert.ok(answered > restarts * 500, `there was load: ${answered}`);
    assert.ok(again <= answered / 1000, `${again} of ${answered} were asked again`);
    for (const [name, them] of kinds)
      for (const { longestAwayMs, told, cut, isAway } of them) {
        assert.deepEqual(cut, [], `${name}: streams that ended without a word`);
        assert.equal(told, restarts, `${name}: told to go each time`);
        assert.ok(longestAwayMs <= awayMs && !isAway, `${name}: away for ${longestAwayMs} ms`);
      }
    assert.equal(
      [...events, ...sockets].reduce((sum, { twice }) => sum + twice, 0),
      0,
      "no event came twice",
    );
  });
});
