/** A Portico in a process of its own, and what an attack on it costs: processor time, memory, and how long others wait. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { bpmnXml } from "../../support/portico.ts";
import { type Running, serve } from "../../support/process.ts";
import { queuedMs, undisturbedMs } from "../../support/thread-time.ts";
import { writeTlsFiles } from "../../support/tls-files.ts";

/** The timers are shortened to keep the tests short; what they do is the same. */
const shortened = {
  "http-headers-timeout-ms": 700,
  "http-request-timeout-ms": 1200,
  "http-stalled-timeout-ms": 1000,
  "http2-first-request-timeout-ms": 700,
  "http2-header-block-timeout-ms": 700,
  "websocket-first-message-timeout-ms": 700,
  "tls-handshake-timeout-ms": 700,
};

export interface Victim {
  readonly httpPort: number;
  readonly grpcPort: number;
  /** PEM: who signed its certificate; empty where both ports are in clear text. */
  readonly ca: string;
  /** What an attack cost. @throws AssertionError where it cost more than an attack may. */
  survives(attack: () => Promise<void>): Promise<Cost>;
  stop(): Promise<void>;
}

export interface Cost {
  readonly cpuMs: number;
  readonly grownMb: number;
  readonly slowestProbeMs: number;
}

const maxCpuMs = 500;
const maxGrownMb = 32;
const maxProbeMs = 300;

export async function startVictim(over: "clear text" | "TLS" = "clear text"): Promise<Victim> {
  const dataDir = mkdtempSync(path.join(tmpdir(), "portico-attacks-"));
  const tls = over === "TLS" ? await writeTlsFiles(dataDir) : { flags: [], ca: "" };
  const flags = Object.entries(shortened).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const running = await serve(dataDir, [
    ...["--database-url", "memory:", "--log-level", "silent", ...flags, ...tls.flags],
  ]);
  const { child, base, grpcPort } = running;
  const asker = new Asker(base, tls.ca);
  assert.equal(await asker.create("kept"), 201);
  // So that what is measured is the attack, and not code that is compiled for the first time and a heap that grows to its usual size.
  for (let call = 0; call < 8000; call += 1) await asker.get("kept");
  asker.close();
  return {
    ...{ httpPort: Number(new URL(base).port), grpcPort, ca: tls.ca },
    survives: (attack) => measure(running, tls.ca, attack),
    stop: async () => {
      child.kill("SIGKILL");
      await running.ended;
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

async function measure({ child, base }: Running, ca: string, attack: () => Promise<void>): Promise<Cost> {
  const pid = child.pid ?? 0;
  const probe = startProbe(new Asker(base, ca), pid);
  await sleep(100);
  const idleFrom = performance.now();
  const before = { cpuMs: cpuMsOf(pid), rss: rssMbOf(pid) };
  let highest = before.rss;
  const watching = setInterval(() => {
    highest = Math.max(highest, rssMbOf(pid));
  }, 10);
  try {
    await attack();
  } catch (error) {
    await probe.stop();
    throw error;
  } finally {
    clearInterval(watching);
  }
  const elapsed = performance.now() - idleFrom;
  const cpuMs = cpuMsOf(pid) - before.cpuMs;
  const { slowestMs, count } = await probe.stop();
  assert.equal(child.exitCode, null, "the process ended");
  // The probe's own calls are not the attack's: about half a millisecond each.
  const cost: Cost = { cpuMs, grownMb: highest - before.rss, slowestProbeMs: slowestMs };
  const said = `${JSON.stringify(cost)} in ${elapsed} ms with ${count} probes`;
  assert.ok(cpuMs <= maxCpuMs, `processor time: ${said}`);
  assert.ok(cost.grownMb <= maxGrownMb, `memory: ${said}`);
  assert.ok(slowestMs <= maxProbeMs, `others waited: ${said}`);
  return cost;
}

/** Asks for a document over HTTP/1, one after the other. What either process waits for a processor is the machine's, not the attack's. */
function startProbe(asker: Asker, pid: number): { stop(): Promise<{ slowestMs: number; count: number }> } {
  let slowestMs = 0;
  let count = 0;
  let on = true;
  const loop = (async () => {
    while (on) {
      const started = undisturbedMs() - queuedMs(pid);
      const status = await asker.get("kept");
      assert.equal(status, 200);
      slowestMs = Math.max(slowestMs, undisturbedMs() - queuedMs(pid) - started);
      count += 1;
      await sleep(20);
    }
  })();
  return {
    stop: async () => {
      on = false;
      await loop;
      asker.close();
      return { slowestMs, count };
    },
  };
}

/** A client of documents over HTTP/1 that keeps its connection. */
class Asker {
  readonly #base: string;
  readonly #agent: http.Agent;

  constructor(base: string, ca: string) {
    this.#base = base;
    this.#agent = base.startsWith("https:")
      ? new https.Agent({ keepAlive: true, ca })
      : new http.Agent({ keepAlive: true });
  }

  get(id: string): Promise<number | undefined> {
    return this.#ask(`/api/v1/bpmn/${id}`, { method: "GET" }, undefined);
  }

  create(id: string): Promise<number | undefined> {
    const headers = { "content-type": "application/json" };
    return this.#ask(`/api/v1/bpmn?documentId=${id}`, { method: "POST", headers }, { xml: bpmnXml() });
  }

  close(): void {
    this.#agent.destroy();
  }

  #ask(target: string, how: http.RequestOptions, body: object | undefined): Promise<number | undefined> {
    const client = this.#base.startsWith("https:") ? https : http;
    return new Promise((resolve, reject) => {
      client
        .request(this.#base + target, { ...how, agent: this.#agent }, (response) => {
          response.resume().once("end", () => resolve(response.statusCode));
        })
        .once("error", reject)
        .end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}

/** User and system time; /proc counts in ticks of 10 ms. @see proc_pid_stat(5) */
function cpuMsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name in parentheses may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function rssMbOf(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1] ?? 0) / 1024;
}
