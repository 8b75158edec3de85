/** Several processes on one port and one PostgreSQL: what one writes, counts, remembers or revokes holds in all of them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type OtlpReceiver, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { bpmnXml } from "../support/portico.ts";
import { startPostgres, type TestPostgres } from "../support/postgres.ts";
import { portico, type Running, serve } from "../support/process.ts";
import { Metrics } from "../support/prometheus-text.ts";

const folder = mkdtempSync(path.join(tmpdir(), "portico-workers-"));
const burst = 30;
let postgres: TestPostgres;
let receiver: OtlpReceiver;
let running: Running;
let key: string;

before(async () => {
  postgres = await startPostgres();
  receiver = await startOtlpReceiver();
  running = await start(folder, [
    ...["--authentication", "on", "--rate-limit", "1000/s:2000", "--otlp-metrics-interval-ms", "500"],
    ...["--otlp-metrics-endpoint", `${receiver.url}/v1/metrics`],
  ]);
  key = readFileSync(path.join(folder, "dev-key"), "utf8").trim();
});
after(async () => {
  running.child.kill("SIGTERM");
  await running.ended;
  await receiver.close();
  await postgres.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Two, on a database of their own. */
async function start(dataDir: string, flags: readonly string[]): Promise<Running> {
  const env = {
    PORTICO_DATABASE_URL: await postgres.createDatabase(),
    OTEL_RESOURCE_ATTRIBUTES: "service.instance.id=edge",
  };
  return await serve(dataDir, ["--workers", "2", "--log-level", "warn", ...flags], { env });
}

function workersOf({ child }: Running): number[] {
  return readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ").map(Number);
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into JSON of many shapes
  readonly json: any;
}

/** On a connection of its own: the system chooses the process anew. */
function ask(
  method: string,
  target: string,
  {
    body,
    headers = {},
    timeoutMs = 60_000,
  }: { body?: unknown; headers?: Record<string, string>; timeoutMs?: number } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request(
      `${running.base}${target}`,
      {
        method,
        agent: false,
        signal: AbortSignal.timeout(timeoutMs),
        headers: { "x-api-key": key, "content-type": "application/json", ...headers },
      },
      (response) => {
        let text = "";
        response
          .setEncoding("utf8")
          .on("data", (chunk: string) => {
            text += chunk;
          })
          .once("end", () =>
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text,
              json: /^[[{]/.test(text) ? JSON.parse(text) : undefined,
            }),
          )
          .once("error", reject);
      },
    );
    request.once("error", reject).end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Kills one, and waits for whoever follows it. */
async function replaceOne(): Promise<void> {
  const [first] = workersOf(running);
  assert.ok(first !== undefined);
  process.kill(first, "SIGKILL");
  for (
    const until = performance.now() + 10_000;
    workersOf(running).includes(first) || workersOf(running).length < 2;
  ) {
    assert.ok(performance.now() < until, "nobody followed");
    await sleep(50);
  }
}

const many = <T>(count: number, run: (index: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, index) => run(index)));

describe("two workers", () => {
  test("serve what one of them wrote, at once", async () => {
    for (let round = 0; round < 10; round += 1) {
      const created = await ask("POST", `/api/v1/bpmn?documentId=shared-${round}`, {
        body: { xml: bpmnXml() },
      });
      assert.ok(created.status < 300, JSON.stringify(created.json));
      const statuses = await many(6, async () => (await ask("GET", `/api/v1/bpmn/shared-${round}`)).status);
      assert.deepEqual(statuses, Array(6).fill(200));
    }
  });

  test("do a call with one idempotency key once, whoever gets it", async () => {
    const answers = await many(10, () =>
      ask("POST", "/api/v1/bpmn?documentId=once", {
        body: { xml: bpmnXml() },
        headers: { "idempotency-key": "workers-once" },
      }),
    );
    // Those that came while it ran are told so, and get the answer when they come again.
    for (const { status } of answers) assert.ok(status < 300 || status === 409, String(status));
    const again = await many(10, () =>
      ask("POST", "/api/v1/bpmn?documentId=once", {
        body: { xml: bpmnXml() },
        headers: { "idempotency-key": "workers-once" },
      }),
    );
    assert.deepEqual(
      [...new Set(again.map(({ status, json }) => `${status < 300} ${json.etag}`))].length,
      1,
      "one document",
    );
    assert.equal((await ask("GET", "/api/v1/bpmn/once/revisions")).json.revisions.length, 1);
  });

  test("refuse a key within five seconds of its revocation", async () => {
    const made = await ask("POST", "/api/v1/apiKeys", {
      body: { displayName: "short", scopes: ["bpmn:read"] },
    });
    assert.ok(made.status < 300, JSON.stringify(made.json));
    const headers = { "x-api-key": made.json.secret };
    const list = () => many(8, async () => (await ask("GET", "/api/v1/bpmn?pageSize=1", { headers })).status);
    assert.deepEqual(await list(), Array(8).fill(200));
    assert.ok((await ask("POST", `/api/v1/${made.json.apiKey.name}:revoke`, { body: {} })).status < 300);
    const until = performance.now() + 5000;
    let statuses = await list();
    while (statuses.some((status) => status !== 401) && performance.now() < until) {
      await sleep(100);
      statuses = await list();
    }
    assert.deepEqual(statuses, Array(8).fill(401));
  });

  test("count a caller's calls together", async () => {
    const limited = await start(folder, ["--authentication", "on", "--rate-limit", `1/s:${burst}`]);
    const before = running;
    running = limited;
    try {
      const statuses: number[] = [];
      const startedAtMs = performance.now();
      for (let round = 0; round < 8; round += 1) {
        statuses.push(...(await many(10, async () => (await ask("GET", "/api/v1/me")).status)));
        await sleep(100);
      }
      const let_in = statuses.filter((status) => status === 200).length;
      const seconds = (performance.now() - startedAtMs) / 1000;
      // One share of the burst is what the second may give before it has heard of the first: a sixteenth, one call.
      assert.ok(let_in >= burst && let_in <= burst + seconds + 1, `${let_in} of 80 were let in`);
    } finally {
      running = before;
      limited.child.kill("SIGTERM");
      assert.equal(await limited.ended, 0);
    }
  });

  const scrape = async (timeoutMs?: number): Promise<Metrics> =>
    new Metrics((await ask("GET", "/metrics", timeoutMs === undefined ? {} : { timeoutMs })).text);
  const placesOf = (metrics: Metrics, name: string): string[] =>
    [...new Set(metrics.samples(name).map(({ labels }) => String(labels.worker)))].sort();

  test("answer for each other when one of them is asked for metrics", async () => {
    const of = { method: "portico.users.v1.UserService/GetUser", protocol: "rest", code: "ok" };
    const served = (metrics: Metrics): number => metrics.value("portico_calls_total", of) ?? 0;
    const before = served(await scrape());
    await many(40, async () => assert.equal((await ask("GET", "/api/v1/me")).status, 200));
    for (let round = 0; round < 8; round += 1) {
      const metrics = await scrape();
      assert.equal(served(metrics) - before, 40, "whoever is asked knows of all");
      assert.deepEqual(placesOf(metrics, "portico_calls_total"), ["1", "2"]);
      assert.deepEqual(placesOf(metrics, "process_resident_memory_bytes"), ["1", "2"]);
      assert.deepEqual([metrics.value("portico_workers"), metrics.value("portico_workers_missing")], [2, 0]);
    }
  });

  test("and the text is one that Prometheus takes", async (context) => {
    const { text } = await ask("GET", "/metrics");
    const heads = text.split("\n").filter((one) => one.startsWith("# "));
    assert.deepEqual(heads, [...new Set(heads)]);
    for (const one of text.split("\n"))
      assert.match(
        one,
        /^(# (HELP|TYPE) .*|portico_workers(_missing)? \d+|[a-z_]+\{worker="[12]"[^{}]*\} \S+|)$/,
      );
    const checked = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" });
    if (checked.error !== undefined)
      return context.skip("there is no promtool: scripts/install-prometheus.sh");
    assert.equal(checked.status, 0, checked.stderr);
  });

  test("one that hangs is left out of the metrics, and counted", async () => {
    const [first] = workersOf(running);
    assert.ok(first !== undefined);
    process.kill(first, "SIGSTOP");
    try {
      let metrics: Metrics | undefined;
      // The system gives connections to one that hangs as well.
      for (let tries = 0; tries < 20 && metrics === undefined; tries += 1)
        metrics = await scrape(2500).catch(() => undefined);
      assert.deepEqual(
        [metrics?.value("portico_workers"), metrics?.value("portico_workers_missing")],
        [1, 1],
      );
    } finally {
      process.kill(first, "SIGCONT");
    }
  });

  test("push their metrics each for itself, as an instance of its own whatever they are told", async () => {
    const all = "portico_calls_total";
    const pids = workersOf(running);
    const sumOf = (pid: number): number => {
      const id = `edge-${pid}`;
      const last = receiver.pushes.findLast((push) => push.resource["service.instance.id"] === id);
      return (last?.metrics.get(all)?.points ?? []).reduce((sum, { value }) => sum + value, 0);
    };
    let scraped = 0;
    for (let tries = 0; tries < 50; tries += 1) {
      scraped = new Metrics((await ask("GET", "/metrics")).text).value(all) ?? 0;
      if (scraped === sumOf(pids[0] ?? 0) + sumOf(pids[1] ?? 0)) break;
      await sleep(200);
    }
    assert.ok(pids.every((pid) => sumOf(pid) > 0));
    assert.equal(sumOf(pids[0] ?? 0) + sumOf(pids[1] ?? 0), scraped);
    const ids = new Set(receiver.pushes.map(({ resource }) => resource["service.instance.id"]));
    assert.deepEqual([...ids].sort(), pids.map((pid) => `edge-${pid}`).sort());
  });

  test("change their log together, and so does who follows one of them", async () => {
    const levels = async (): Promise<string[]> => [
      ...new Set(await many(12, async () => (await ask("GET", "/api/v1/logSettings")).json.level)),
    ];
    assert.deepEqual(await levels(), ["WARN"]);
    assert.equal((await ask("PATCH", "/api/v1/logSettings", { body: { level: "ERROR" } })).status, 200);
    assert.deepEqual(await levels(), ["ERROR"], "at once");
    await replaceOne();
    for (const until = performance.now() + 10_000; (await scrape()).value("portico_workers") !== 2; ) {
      assert.ok(performance.now() < until, "who follows does not answer");
      await sleep(50);
    }
    assert.deepEqual(await levels(), ["ERROR"]);
    assert.deepEqual(placesOf(await scrape(), "process_resident_memory_bytes"), ["1", "2"]);
  });

  test("are replaced when they die, and one after the other on SIGHUP, without a lost call", async () => {
    const pids = () => workersOf(running);
    await replaceOne();
    await sleep(1500);
    const old = pids();
    let stopped = false;
    const failed: string[] = [];
    let answered = 0;
    const loops = many(4, async () => {
      while (!stopped) {
        try {
          const { status } = await ask("GET", "/api/v1/me").catch((error: NodeJS.ErrnoException) => {
            // A connection that lay in the queue of a listener that closed: nothing was read of it, and clients repeat it.
            if (error.code === "ECONNRESET") return ask("GET", "/api/v1/me");
            throw error;
          });
          if (status === 200) answered += 1;
          else failed.push(String(status));
        } catch (error) {
          failed.push(String(error));
        }
      }
    });
    running.child.kill("SIGHUP");
    for (
      const until = performance.now() + 30_000;
      pids().some((pid) => old.includes(pid)) || pids().length < 2;
    ) {
      assert.ok(performance.now() < until, `still ${pids()}, before ${old}`);
      await sleep(50);
    }
    stopped = true;
    await loops;
    assert.deepEqual(failed, []);
    assert.ok(answered > 100, `${answered} answered`);
    // New workers have what is configured.
    await sleep(500);
    assert.equal((await ask("GET", "/api/v1/logSettings")).json.level, "WARN");
  });

  test("all end when they are told to, those too that do not serve yet", async () => {
    const busy = await start(mkdtempSync(path.join(folder, "busy-")), []);
    const before = workersOf(busy);
    busy.child.kill("SIGHUP");
    for (const until = performance.now() + 10_000; workersOf(busy).length < 3; ) {
      assert.ok(performance.now() < until, "nobody follows");
      await sleep(10);
    }
    const all = new Set([...before, ...workersOf(busy)]);
    busy.child.kill("SIGTERM");
    assert.equal(await busy.ended, 0);
    assert.deepEqual([...all].filter(lives), []);
  });

  test("end when their parent does, however it ends", async () => {
    const doomed = await start(mkdtempSync(path.join(folder, "doomed-")), []);
    const workers = workersOf(doomed);
    assert.equal(workers.length, 2);
    doomed.child.kill("SIGKILL");
    for (const until = performance.now() + 10_000; workers.some(lives); ) {
      assert.ok(performance.now() < until, "a worker without a parent lives on");
      await sleep(50);
    }
  });
});

test("several workers on SQLite are refused with what to do", async () => {
  const { code, text } = await portico(["serve", "--mode", "development", "--workers", "2"], { cwd: folder });
  assert.equal(code, 2);
  assert.match(
    text,
    /PORTICO_WORKERS is 2: several processes share a PostgreSQL database only; give one in PORTICO_DATABASE_URL, or use one worker/,
  );
});
