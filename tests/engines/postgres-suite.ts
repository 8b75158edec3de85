/** What only PostgreSQL can show: several processes, a schema that others migrate, and a database that goes away. */
import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import { openStorage } from "#storage/storage.ts";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { ask, bpmnXml, reasonOf, startPortico } from "../support/portico.ts";
import type { TestPostgres } from "../support/postgres.ts";
import { ids, migrations, type TestTables, thing } from "./storage-suite.ts";

export function postgresSuite(database: () => TestPostgres): void {
  test("processes that start together on an empty database migrate it once", async () => {
    const url = await database().createDatabase();
    const all = await Promise.all(Array.from({ length: 5 }, () => openStorage({ url, migrations })));
    await all[0]?.tables<TestTables>().db.insertInto("things").values(thing("a")).execute();
    for (const storage of all) {
      assert.deepEqual(await ids(storage.tables<TestTables>().db), ["a"]);
      await storage.close();
    }
  });

  test("without leave to migrate, a schema that is not current is refused and says what to do", async () => {
    const url = await database().createDatabase();
    await assert.rejects(
      openStorage({ url, migrations, autoMigrate: false }),
      /lacks 0001 and PORTICO_AUTO_MIGRATE is false; start one process with/,
    );
    await (await openStorage({ url, migrations })).close();
    await (await openStorage({ url, migrations, autoMigrate: false })).close();
  });

  test("a database that is not there is refused within three seconds, without its password", async () => {
    const started = performance.now();
    await assert.rejects(
      openStorage({ url: "postgres://portico:topsecret@127.0.0.1:1/none", migrations }),
      (error: Error) =>
        /cannot reach postgres:\/\/127\.0\.0\.1:1\/none .*ECONNREFUSED/.test(error.message) &&
        !error.message.includes("topsecret"),
    );
    assert.ok(performance.now() - started < 3000);
  });

  test("what one process writes another one serves at once, and an etag of one refuses the other", async () => {
    const databaseUrl = await database().createDatabase();
    const one = await startPortico({ databaseUrl });
    const two = await startPortico({ databaseUrl });
    const made = await ask(one.base, "POST", "/api/v1/bpmn?documentId=shared", { body: { xml: bpmnXml() } });
    assert.equal(made.status, 200);
    assert.equal((await ask(two.base, "GET", "/api/v1/bpmn/shared")).json.displayName, "Order");
    const change = (displayName: string) => ({ body: { displayName, etag: made.json.etag } });
    assert.equal((await ask(two.base, "PATCH", "/api/v1/bpmn/shared", change("by two"))).status, 200);
    assert.equal((await ask(one.base, "GET", "/api/v1/bpmn/shared")).json.displayName, "by two");
    assert.equal(
      reasonOf(await ask(one.base, "PATCH", "/api/v1/bpmn/shared", change("by one"))),
      "ETAG_MISMATCH",
    );
    await Promise.all([one.stop(), two.stop()]);
  });

  const pause = () => new Promise((resolve) => setTimeout(resolve, 80));
  /** Two servers on one database, as two processes have it. */
  const withTwo = async (
    options: Parameters<typeof startIdentity>[0],
    work: (one: IdentityServer, two: IdentityServer) => Promise<void>,
  ): Promise<void> => {
    const databaseUrl = await database().createDatabase();
    const one = await startIdentity({ ...options, databaseUrl });
    const two = await startIdentity({ ...options, databaseUrl });
    try {
      await work(one, two);
    } finally {
      await one.close();
      await two.close();
    }
  };

  test("a rate holds for two processes together", () =>
    withTwo({ rate: { burst: 40, intervalMs: 60_000 } }, async (one, two) => {
      const headers = { "x-api-key": await one.userWithKey("busy", ["viewer"]) };
      let allowed = 0;
      for (let index = 0; index < 100; index += 1) {
        const { base } = index % 2 === 0 ? one : two;
        allowed += (await ask(base, "GET", "/api/v1/bpmn", { headers })).status === 200 ? 1 : 0;
        // What one process let pass the other knows a moment later.
        if (index % 10 === 9) await pause();
      }
      assert.ok(allowed >= 40 && allowed <= 46, `${allowed} of 40`);
    }));

  test("guesses at a password are counted by two processes together", () =>
    withTwo({}, async (one, two) => {
      const body = { email: "nobody@example.org", password: "not the right one" };
      const statuses: number[] = [];
      for (let index = 0; index < 14; index += 1) {
        const { base } = index % 2 === 0 ? one : two;
        statuses.push((await ask(base, "POST", "/api/v1/auth:signIn", { body })).status);
        await pause();
      }
      // A process learns what the other let pass with its own next call: one more may slip through.
      const refused = statuses.filter((status) => status === 401).length;
      assert.ok(refused === 10 || refused === 11, statuses.join(" "));
      assert.ok(
        statuses.slice(refused).every((status) => status === 429),
        statuses.join(" "),
      );
    }));

  test("what one process revokes is refused by the other within five seconds", () =>
    withTwo({}, async (one, two) => {
      const key = await one.userWithKey("leaver", ["viewer"]);
      const status = async () =>
        (await ask(two.base, "GET", "/api/v1/bpmn", { headers: { "x-api-key": key } })).status;
      assert.equal(await status(), 200);
      await ask(one.base, "POST", `/api/v1/apiKeys/${key.split("_")[2] ?? ""}:revoke`, {
        headers: { "x-api-key": one.adminKey },
        body: {},
      });
      const started = performance.now();
      while ((await status()) === 200) {
        assert.ok(performance.now() - started < 5000);
        await pause();
      }
    }));

  test("connections that are cut answer UNAVAILABLE or are replaced, and the process goes on", async () => {
    const databaseUrl = await database().createDatabase();
    const portico = await startPortico({ databaseUrl });
    await ask(portico.base, "POST", "/api/v1/bpmn?documentId=a", { body: { xml: bpmnXml() } });
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    await client.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    await client.end();
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const answer = await ask(portico.base, "GET", "/api/v1/bpmn/a");
      assert.ok(
        answer.status === 200 || reasonOf(answer) === "DATABASE_UNAVAILABLE",
        `${answer.status} ${answer.text}`,
      );
    }
    assert.equal((await ask(portico.base, "GET", "/api/v1/bpmn/a")).status, 200);
    await portico.stop();
  });

  test("a database that is down is 503 within two seconds, and the process serves again when it is back", async (context) => {
    const { restart } = database();
    if (restart === undefined) return context.skip("the database was given, not started here");
    const databaseUrl = await database().createDatabase();
    const portico = await startPortico({ databaseUrl });
    await ask(portico.base, "POST", "/api/v1/bpmn?documentId=a", { body: { xml: bpmnXml() } });
    await restart.stop();
    for (const [method, target, body] of [
      ["GET", "/api/v1/bpmn/a", undefined],
      ["GET", "/api/v1/bpmn", undefined],
      ["PATCH", "/api/v1/bpmn/a", { displayName: "x" }],
    ] as const) {
      const started = performance.now();
      const answer = await ask(portico.base, method, target, { body });
      assert.deepEqual([answer.status, reasonOf(answer)], [503, "DATABASE_UNAVAILABLE"], answer.text);
      assert.ok(!/127\.0\.0\.1|ECONN/.test(answer.text), "nothing internal leaks");
      assert.ok(performance.now() - started < 2500);
    }
    await restart.start();
    assert.equal((await ask(portico.base, "GET", "/api/v1/bpmn/a")).status, 200);
    await portico.stop();
  });
}
