/**
 * Load of every kind for minutes: memory finds its level, and what calls open is closed. The process is asked from outside (memory after a
 * collection that it is told to make, file descriptors in /proc) and by its own metrics.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import http from "node:http";
import { Session } from "node:inspector/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { getHeapCodeStatistics, getHeapSpaceStatistics } from "node:v8";
import { connect as connectClient } from "#client/client.ts";
import { type Portico, start } from "#compose.ts";
import { loadConfig } from "#config/config.ts";
import { BPMNService } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { connect, unary } from "../support/grpc.ts";
import { ask, bpmnXml } from "../support/portico.ts";

const mebi = 1024 * 1024;
const seconds = Number(process.env.TEST_SOAK_SECONDS ?? 120);
/** Share of the time after which memory should have found its level. */
const warmUp = 0.4;
/**
 * Rounds at once while it warms up. Compiled code is on the heap too, and a path that is used once a round takes thousands of rounds to reach
 * its last tier: one round after the other spreads that over the time that is judged, and it looks like a slow leak.
 */
const warmUpLanes = 5;
/** Part of the warm-up that has them: what many at once hold is given back before anything is judged. */
const lanesShare = 0.75;
/** How much the heap may grow, in bytes in ten minutes. */
const maxSlope = mebi;

const folder = mkdtempSync(path.join(tmpdir(), "portico-soak-"));
let portico: Portico;
let base: string;
const session = new Session();

before(async () => {
  session.connect();
  const flags = {
    ...{ httpPort: "0", grpcPort: "0", databaseUrl: "memory:", authentication: "off", logLevel: "silent" },
    ...{ dataDir: folder, rateLimit: "off", tenantRateLimit: "off" },
  };
  portico = await start(await loadConfig({ flags, env: {}, cwd: folder }, "development"));
  base = `http://127.0.0.1:${portico.httpPort}`;
});
after(() => {
  session.disconnect();
  rmSync(folder, { recursive: true, force: true });
});

/**
 * Bytes of what is still in use. Collected twice: fetch, which asks here, registers every answer for finalization, and the table of those that
 * are gone (up to 8 MiB between two looks) is let go of behind the first collection.
 */
async function heapInUse(): Promise<number> {
  await session.post("HeapProfiler.collectGarbage");
  await nextTurn();
  await session.post("HeapProfiler.collectGarbage");
  return process.memoryUsage().heapUsed;
}

/** Bytes in use of every space of the heap, and of compiled code apart: says what grew, ours or the engine's. */
type Spaces = ReadonlyMap<string, number>;

function spacesNow(): Spaces {
  const code = getHeapCodeStatistics();
  return new Map([
    ...getHeapSpaceStatistics().map((one) => [one.space_name, one.space_used_size] as const),
    ["of it machine code and its data", code.code_and_metadata_size],
    ["of it bytecode and its data", code.bytecode_and_metadata_size],
  ]);
}

/** What of the spaces changed, each in KiB. */
function growth(before: Spaces, after: Spaces): string {
  return [...after]
    .map(([name, bytes]) => [name, Math.round((bytes - (before.get(name) ?? 0)) / 1024)] as const)
    .filter(([, kib]) => kib !== 0)
    .map(([name, kib]) => `${name} ${kib > 0 ? "+" : ""}${kib} KiB`)
    .join(", ");
}

interface Open {
  readonly descriptors: number;
  readonly timers: number;
  readonly sockets: number;
}

function openNow(): Open {
  const resources = process.getActiveResourcesInfo();
  const count = (name: string): number => resources.filter((one) => one === name).length;
  return {
    descriptors: readdirSync("/proc/self/fd").length,
    timers: count("Timeout"),
    sockets: count("TCPSocketWrap"),
  };
}

/** One round of every kind of use; the same documents over and over, so that nothing has to grow. */
async function everythingOnce(round: number): Promise<void> {
  const id = `soak-${round % 20}`;
  const agent = new http.Agent({ keepAlive: false });
  await ask(base, "POST", `/api/v1/bpmn?documentId=${id}`, { body: { xml: bpmnXml() } });
  await ask(base, "GET", `/api/v1/bpmn/${id}`);
  await ask(base, "GET", "/api/v1/bpmn?pageSize=20");
  await ask(base, "GET", "/api/v1/bpmn/none");
  await ask(base, "POST", "/api/v1/bpmn:validate", { body: { xml: "<broken" } });
  await ask(base, "POST", "/portico.bpmn.v1.BPMNService/GetBPMN", {
    body: { id },
    headers: { "connect-protocol-version": "1" },
  });
  await ask(base, "POST", "/graphql", { body: { query: "{ __typename }" } });
  const grpc = connect(portico.grpcPort);
  await unary(grpc, BPMNService.method.getBPMN, { id });
  grpc.close();
  const client = connectClient(base);
  const call = client.serverStream("portico.events.v1.EventService/Subscribe", { topics: ["bpmn/*"] });
  await client.unary("portico.bpmn.v1.BPMNService/GetBPMN", { id });
  call.cancel();
  client.close();
  await readAWhile(agent);
  await ask(base, "DELETE", `/api/v1/bpmn/${id}`);
  await ask(base, "POST", `/api/v1/bpmn/${id}:undelete`, { body: {} });
  agent.destroy();
}

/** A reader of events that leaves. */
function readAWhile(agent: http.Agent): Promise<void> {
  return new Promise((resolve) => {
    const request = http.get(
      `${base}/api/v1/events:subscribe?topics=bpmn/*&after=0`,
      { agent, headers: { accept: "text/event-stream" } },
      (response) => {
        response.once("data", () => request.destroy()).on("error", () => undefined);
      },
    );
    request.on("error", () => undefined).once("close", resolve);
  });
}

test(`${seconds} seconds of everything leave nothing behind`, {
  timeout: seconds * 1000 + 120_000,
}, async (t) => {
  for (let round = 0; round < 20; round += 1) await everythingOnce(round);
  const before = openNow();
  const startedAtMs = performance.now();
  const samples: { readonly atMs: number; readonly bytes: number }[] = [];
  let rounds = 0;
  let warmUpRounds = 0;
  let nextLookMs = 0;
  let warm: Spaces | undefined;
  const elapsedMs = (): number => performance.now() - startedAtMs;
  while (elapsedMs() < seconds * 1000) {
    const warmedUp = elapsedMs() / (seconds * 1000 * warmUp);
    const lanes = warmedUp < lanesShare ? warmUpLanes : 1;
    await Promise.all(Array.from({ length: lanes }, (_, lane) => everythingOnce(rounds + lane)));
    rounds += lanes;
    if (warmedUp < 1) warmUpRounds = rounds;
    const atMs = elapsedMs();
    if (atMs < nextLookMs) continue;
    nextLookMs = atMs + Math.max(1000, seconds * 10);
    samples.push({ atMs, bytes: await heapInUse() });
    if (warmedUp >= 1) warm ??= spacesNow();
  }
  await heapInUse();
  const grown = growth(warm ?? spacesNow(), spacesNow());
  // What closes a moment later: sessions, keep-alive.
  await sleep(6000);
  const end = openNow();
  const late = samples.filter(({ atMs }) => atMs > seconds * 1000 * warmUp);
  const slope = slopeOf(late) * 600_000;
  const [first, last] = [samples[0]?.bytes ?? 0, samples.at(-1)?.bytes ?? 0];
  t.diagnostic(
    `${rounds} rounds of 14 uses, ${warmUpRounds} of them to warm up; heap ${mib(first)} at first, ${mib(last)} at the end, ${mib(slope)} in 10 minutes after warm-up; open before ${JSON.stringify(before)}, after ${JSON.stringify(end)}`,
  );
  t.diagnostic(`after warm-up, in MiB: ${late.map(({ bytes }) => (bytes / mebi).toFixed(2)).join(" ")}`);
  t.diagnostic(`after warm-up, by space: ${grown}`);
  assert.ok(late.length >= 20, "there are enough looks at memory");
  assert.ok(slope < maxSlope, `the heap grows by ${mib(slope)} in ten minutes`);
  for (const name of ["descriptors", "timers", "sockets"] as const)
    assert.ok(end[name] <= before[name] + 1, `${name}: ${before[name]} before, ${end[name]} after`);
  await portico.stop();
});

/** Least squares, in bytes a millisecond. */
function slopeOf(samples: readonly { readonly atMs: number; readonly bytes: number }[]): number {
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, one) => sum + one, 0) / values.length;
  const x = mean(samples.map(({ atMs }) => atMs));
  const y = mean(samples.map(({ bytes }) => bytes));
  const over = samples.reduce((sum, { atMs, bytes }) => sum + (atMs - x) * (bytes - y), 0);
  return over / samples.reduce((sum, { atMs }) => sum + (atMs - x) ** 2, 0);
}

function mib(bytes: number): string {
  return `${(bytes / mebi).toFixed(2)} MiB`;
}
