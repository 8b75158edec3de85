/**
 * Load of every kind on a Portico as it is run: PostgreSQL behind it, callers known and counted, every call in the access log and in a trace that
 * somebody takes. Memory finds its level, and what calls open is closed, the database's clients among it. It is a process of its own, so that
 * what its clients hold is not counted.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { type OtlpReceiver, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { startPostgres, type TestPostgres } from "../support/postgres.ts";
import { askEverything, type Place, usesOfARound } from "./every-protocol.ts";
import type { Look, Started } from "./soak-server.ts";

const seconds = Number(process.env.TEST_SOAK_SECONDS ?? 60);
/** Share of the time after which memory should have found its level. */
const warmUp = 0.4;
/** How much the heap may grow, in bytes in ten minutes. */
const maxSlope = 1024 * 1024;
/** From when on a slope is no accident of when somebody looked, in seconds. */
const slopeSeconds = 600;
/**
 * In less time: what may be added after warm-up, in bytes. Code is still being compiled then, on a busy machine the more (0.8 MiB in 72 rounds
 * was seen); what a leak of 20 KiB for each round adds in a minute is more.
 */
const maxGrowth = 3 * 1024 * 1024;
/** The pool closes what nobody has used for 30 seconds (storage/postgres.ts). */
const idleMs = 35_000;
const callers = 3;

const folder = mkdtempSync(path.join(tmpdir(), "portico-soak-postgres-"));
let postgres: TestPostgres;
let receiver: OtlpReceiver;
let child: ChildProcess;
let place: Place;
let watcher: pg.Client;
let accessLines = 0;

before(async () => {
  [postgres, receiver] = await Promise.all([startPostgres(), startOtlpReceiver()]);
  const url = await postgres.createDatabase();
  watcher = new pg.Client({ connectionString: url, application_name: "watcher" });
  await watcher.connect();
  const flags = {
    ...{ httpPort: "0", grpcPort: "0", dataDir: folder, authentication: "on", logLevel: "info" },
    // Both are counted, and with the other processes that could be there; neither is reached.
    ...{ rateLimit: "100000/s", tenantRateLimit: "100000/s" },
    ...{ otlpEndpoint: receiver.url, traceRatio: "1" },
  };
  child = spawn(process.execPath, [path.join(import.meta.dirname, "soak-server.ts"), JSON.stringify(flags)], {
    stdio: ["ignore", "pipe", "inherit", "ipc"],
    env: { ...process.env, PORTICO_DATABASE_URL: url },
  });
  assert.ok(child.stdout !== null);
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (line.includes('"method"')) accessLines += 1;
  });
  const [{ httpPort, grpcPort }] = (await once(child, "message")) as [Started];
  const key = readFileSync(path.join(folder, "dev-key"), "utf8").trim();
  place = { base: `http://127.0.0.1:${httpPort}`, grpcPort, key };
});
after(async () => {
  if (child.exitCode === null) child.kill("SIGKILL");
  await watcher.end();
  await receiver.close();
  await postgres.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function look(): Promise<Look> {
  const answer = once(child, "message");
  child.send("look");
  return ((await answer) as [Look])[0];
}

/** Its clients, as the database sees them. */
async function databaseClients(): Promise<number> {
  const { rows } = await watcher.query<{ count: string }>(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'portico'",
  );
  return Number(rows[0]?.count);
}

test(`${seconds} seconds of everything on PostgreSQL leave nothing behind`, {
  timeout: seconds * 1000 + 240_000,
}, async (t) => {
  // What is made once, for all: connections, modules, plans.
  for (let round = 0; round < 5; round += 1) await roundOf("first", round);
  await sleep(idleMs);
  const before = { ...(await look()), clients: await databaseClients() };
  const startedAtMs = performance.now();
  const samples: { readonly atMs: number; readonly bytes: number }[] = [];
  let rounds = 0;
  let nextLookMs = 0;
  let mostClients = 0;
  while (performance.now() - startedAtMs < seconds * 1000) {
    await roundOf("soak", rounds);
    rounds += 1;
    const atMs = performance.now() - startedAtMs;
    if (atMs < nextLookMs) continue;
    nextLookMs = atMs + Math.max(500, seconds * 10);
    samples.push({ atMs, bytes: (await look()).heap });
    mostClients = Math.max(mostClients, await databaseClients());
  }
  await sleep(idleMs);
  const end = { ...(await look()), clients: await databaseClients() };
  const late = samples.filter(({ atMs }) => atMs > seconds * 1000 * warmUp);
  const slope = slopeOf(late) * 600_000;
  const growth = median(late.slice(-5)) - median(late.slice(0, 5));
  t.diagnostic(
    `${rounds * callers} rounds of ${usesOfARound} uses; heap ${mib(before.heap)} before, ${mib(end.heap)} after, by ${mib(growth)} more at the end than after warm-up (${mib(slope)} in ten minutes)`,
  );
  t.diagnostic(
    `open before ${JSON.stringify(before)}, after ${JSON.stringify(end)}; at most ${mostClients} clients`,
  );
  const uses = rounds * callers * usesOfARound;
  assert.ok(accessLines >= uses * 0.8, `${accessLines} lines in the access log, ${uses} uses`);
  assert.ok(receiver.spans.length >= uses * 0.8, `${receiver.spans.length} spans, ${uses} uses`);
  assert.ok(late.length >= 15, `${late.length} looks at memory`);
  if (seconds >= slopeSeconds) assert.ok(slope < maxSlope, `the heap grows by ${mib(slope)} in ten minutes`);
  else assert.ok(growth < maxGrowth, `the heap grew by ${mib(growth)}`);
  assert.ok(mostClients > before.clients, `${mostClients} clients of the database were seen`);
  for (const name of ["descriptors", "timers", "sockets", "clients"] as const)
    assert.ok(
      end[name] <= before[name] + (name === "clients" ? 0 : 1),
      `${name}: ${before[name]} before, ${end[name]} after`,
    );
  const exit = once(child, "exit");
  child.send("stop");
  assert.deepEqual(await exit, [0, null]);
  assert.equal(await databaseClients(), 0, "and none when it has ended");
});

async function roundOf(name: string, round: number): Promise<void> {
  const ids = Array.from({ length: callers }, (_, caller) => `${name}-${caller}-${round}`);
  await Promise.all(ids.map((id) => askEverything(place, id)));
}

/** Least squares, in bytes a millisecond. */
function slopeOf(samples: readonly { readonly atMs: number; readonly bytes: number }[]): number {
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, one) => sum + one, 0) / values.length;
  const x = mean(samples.map(({ atMs }) => atMs));
  const y = mean(samples.map(({ bytes }) => bytes));
  const over = samples.reduce((sum, { atMs, bytes }) => sum + (atMs - x) * (bytes - y), 0);
  return over / samples.reduce((sum, { atMs }) => sum + (atMs - x) ** 2, 0);
}

function median(samples: readonly { readonly bytes: number }[]): number {
  const sorted = samples.map(({ bytes }) => bytes).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

function mib(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(2)} MiB`;
}
