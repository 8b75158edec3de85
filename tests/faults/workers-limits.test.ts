/** Limits that several processes hold on one PostgreSQL: what is let in is what one process would let in, and little more. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startPostgres, type TestPostgres } from "../support/postgres.ts";
import { type Running, serve } from "../support/process.ts";

/** What `docs/decisions/0028-shared-limits.md` lets each further process take before it has heard of the others: a share of the burst, at least one call. */
const aheadOf = (burst: number): number => Math.max(1, Math.floor(burst / 16));

const folder = mkdtempSync(path.join(tmpdir(), "portico-limits-"));
let postgres: TestPostgres;

before(async () => {
  postgres = await startPostgres();
});
after(async () => {
  await postgres.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Fleet {
  /** One for each process that can be reached by itself. */
  readonly bases: readonly string[];
  readonly key: string;
  stop(): Promise<void>;
}

/** Three processes on a database of their own: workers of one, or as many containers as would run. */
async function start(kind: "workers" | "containers", flags: readonly string[]): Promise<Fleet> {
  const env = { PORTICO_DATABASE_URL: await postgres.createDatabase() };
  const data = mkdtempSync(path.join(folder, "data-"));
  const all = ["--log-level", "warn", "--authentication", "on", ...flags];
  const running: Running[] = [];
  const count = kind === "workers" ? 1 : 3;
  for (let index = 0; index < count; index += 1)
    running.push(await serve(data, [...all, ...(kind === "workers" ? ["--workers", "3"] : [])], { env }));
  return {
    bases: running.map(({ base }) => base),
    key: readFileSync(path.join(data, "dev-key"), "utf8").trim(),
    stop: async () => {
      for (const { child } of running) child.kill("SIGTERM");
      assert.deepEqual(
        await Promise.all(running.map(({ ended }) => ended)),
        running.map(() => 0),
      );
    },
  };
}

interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly agent?: http.Agent | false;
}

/** @returns its status. Without an agent on a connection of its own: the system chooses the process anew. */
function ask(url: string, { method = "GET", headers = {}, body, agent = false }: Ask): Promise<number> {
  return new Promise((resolve, reject) => {
    http
      .request(url, { method, headers, agent }, (response) => {
        response
          .resume()
          .once("end", () => resolve(response.statusCode ?? 0))
          .once("error", reject);
      })
      .once("error", reject)
      .end(body);
  });
}

const count = (statuses: readonly number[], status: number): number =>
  statuses.filter((one) => one === status).length;

for (const kind of ["workers", "containers"] as const)
  describe(`three ${kind}`, () => {
    test("look at ten passwords of an account in a quarter of an hour, whoever is asked", async () => {
      const fleet = await start(kind, ["--rate-limit", "off", "--tenant-rate-limit", "off"]);
      try {
        const attempt = (index: number, email: string): Promise<number> =>
          ask(`${fleet.bases[index % fleet.bases.length]}/api/v1/auth:signIn`, {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: JSON.stringify({ email, password: `wrong password wrong ${index}` }),
          });
        const burst = (attempts: number, email: string): Promise<number[]> =>
          Promise.all(Array.from({ length: attempts }, (_, index) => attempt(index, email)));
        const first = await burst(60, "ana@example.org");
        assert.deepEqual([count(first, 401), count(first, 429)], [10, 50]);
        const again = await burst(30, "ana@example.org");
        assert.equal(count(again, 429), 30, "and none after a pause");
        // A hundred of this address, sixty and thirty of which were counted above.
        const others = await Promise.all(
          Array.from({ length: 30 }, (_, index) => attempt(index, `${index}@example.org`)),
        );
        assert.deepEqual([count(others, 401), count(others, 429)], [10, 20]);
      } finally {
        await fleet.stop();
      }
    });

    const rates = [[10, 20], ...(kind === "workers" ? [[100, 200] as const] : [])] as const;
    for (const [perSecond, burst] of rates)
      test(`let a caller in ${perSecond} times a second, ${burst} times at once`, async (t) => {
        const rate = `${perSecond}/s:${burst}`;
        const fleet = await start(kind, ["--rate-limit", rate, "--tenant-rate-limit", "off"]);
        const agents = Array.from({ length: 12 }, () => new http.Agent({ keepAlive: true, maxSockets: 1 }));
        try {
          const me = (index: number, agent: http.Agent | false): Promise<number> =>
            ask(`${fleet.bases[index % fleet.bases.length]}/api/v1/me`, {
              headers: { "x-api-key": fleet.key },
              agent,
            });
          const startedAtMs = performance.now();
          // All at once, then as fast as they are answered, then with pauses in which something comes back.
          const statuses = await Promise.all(
            Array.from({ length: 2 * burst }, (_, index) => me(index, false)),
          );
          for (let round = 0; round < 2; round += 1) {
            const untilMs = performance.now() + 1000;
            await Promise.all(
              agents.map(async (agent, index) => {
                while (performance.now() < untilMs) {
                  statuses.push(await me(index, agent));
                  await sleep(2);
                }
              }),
            );
            await sleep(500);
            statuses.push(
              ...(await Promise.all(Array.from({ length: burst }, (_, index) => me(index, false)))),
            );
          }
          const seconds = (performance.now() - startedAtMs) / 1000;
          // On a busy machine some are sent away before anybody counts them.
          assert.deepEqual(
            [...new Set(statuses)].filter((status) => ![200, 429, 503].includes(status)),
            [],
          );
          const letIn = count(statuses, 200);
          const most = burst + perSecond * seconds + 2 * aheadOf(burst);
          t.diagnostic(
            `${letIn} in ${seconds.toFixed(2)} s; ${(burst + perSecond * seconds).toFixed(0)} by the rate`,
          );
          assert.ok(letIn <= most, `${letIn} were let in, at most ${most.toFixed(1)} may be`);
          assert.ok(letIn >= 0.85 * (burst + perSecond * seconds), `no more than ${letIn} were let in`);
        } finally {
          for (const agent of agents) agent.destroy();
          await fleet.stop();
        }
      });
  });
