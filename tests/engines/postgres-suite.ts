/** What only PostgreSQL can show: several processes, a schema that others migrate, and a database that goes away. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { sql } from "kysely";
import pg from "pg";
import { createLimitStore, migrations as policyMigrations } from "#policy/policy.ts";
import { migrations as bpmnMigrations } from "#services/bpmn/bpmn.ts";
import { migrations as usersMigrations } from "#services/users/users.ts";
import { openStorage } from "#storage/storage.ts";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { ask, bpmnXml, reasonOf, startPortico } from "../support/portico.ts";
import type { TestPostgres } from "../support/postgres.ts";
import { ids, migrations, type TestTables, thing } from "./storage-suite.ts";

const released = [...policyMigrations, ...bpmnMigrations, ...usersMigrations];

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

  test("buckets grant what there is room for, whoever asks at once, and owe what was taken beyond", async () => {
    const storage = await openStorage({
      url: await database().createDatabase(),
      migrations: policyMigrations,
    });
    const { store, close } = createLimitStore(storage);
    assert.ok(store !== undefined);
    const minute = 60_000;
    const rate = { burst: 10, intervalMs: minute };
    const spend = async (key: string, spent: number, wanted: number): Promise<[number, number]> => {
      const [answer] = await store.spend([{ key, spent, wanted }], rate);
      return [answer?.granted ?? -1, Math.round((answer?.fullInMs ?? -1) / minute)];
    };
    assert.deepEqual(await spend("a", 3, 4), [4, 7]);
    const asked = await Promise.all(Array.from({ length: 8 }, () => spend("a", 0, 2)));
    assert.equal(
      asked.reduce((sum, [granted]) => sum + granted, 0),
      3,
    );
    assert.deepEqual(await spend("a", 5, 1), [0, 15], "it owes five");
    assert.deepEqual(await spend("a", -6, 2), [1, 10], "and was given six back");
    const both = [
      { key: "b", spent: 12, wanted: 1 },
      { key: "a", spent: 0, wanted: 1 },
      { key: "c", spent: 0, wanted: 30 },
    ];
    assert.deepEqual(
      (await store.spend(both, rate)).map(({ granted }) => granted),
      [0, 0, 10],
    );
    await store.clear("a");
    assert.deepEqual(await spend("a", -2, 30), [10, 8]);
    await close();
    await storage.close();
  });

  test("nothing waits longer than the options say", async () => {
    const url = await database().createDatabase();
    const limits = { poolSize: 2, acquireMs: 600, statementMs: 1500, lockMs: 100, idleInTransactionMs: 250 };
    const storage = await openStorage({ url, migrations, limits });
    const { db, transaction } = storage.tables<TestTables>();
    const failed = async (work: Promise<unknown>) => {
      const startedAtMs = performance.now();
      const error = await work.then(
        () => undefined,
        (thrown: { readonly reason?: string; readonly code?: string }) => thrown,
      );
      const ms = performance.now() - startedAtMs;
      return { why: `${error?.code} ${error?.reason}`, ms };
    };
    const sleep = (seconds: number) => sql`select pg_sleep(${seconds})`.execute(db);
    assert.equal(storage.pool().limit, 2);
    const statement = await failed(sleep(5));
    assert.equal(statement.why, "aborted DATABASE_CONFLICT");
    assert.ok(statement.ms >= 1490 && statement.ms < 3000, `${statement.ms} ms`);
    const [, , third] = await Promise.all([sleep(1), sleep(1), failed(sleep(0))]);
    assert.equal(third?.why, "unavailable DATABASE_UNAVAILABLE");
    await db.insertInto("things").values(thing("locked")).execute();
    const change = { name: "changed" };
    await transaction(async (holder) => {
      await holder.updateTable("things").set(change).where("id", "=", "locked").execute();
      const lock = await failed(db.updateTable("things").set(change).where("id", "=", "locked").execute());
      assert.equal(lock.why, "aborted DATABASE_CONFLICT");
      assert.ok(lock.ms >= 90 && lock.ms < 1400, `${lock.ms} ms`);
    });
    const idle = await failed(
      transaction(async (holder) => {
        await holder.updateTable("things").set(change).where("id", "=", "locked").execute();
        await new Promise((resolve) => setTimeout(resolve, 600));
        await holder.updateTable("things").set(change).where("id", "=", "locked").execute();
      }),
    );
    assert.equal(idle.why, "unavailable DATABASE_UNAVAILABLE");
    await storage.close();
  });

  test("and the process gives the database what its options say", async () => {
    const databaseUrl = await database().createDatabase();
    const own = {
      ...{ databasePoolSize: "3", databaseStatementMs: "7001", databaseLockMs: "2001" },
      ...{ databaseIdleMs: "9001", databaseAcquireMs: "777" },
    };
    const portico = await startPortico({ databaseUrl, ...own });
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    try {
      const { text } = await ask(portico.base, "GET", "/metrics");
      assert.match(text, /^portico_store_connections_limit 3$/m);
      // A lock of ours holds up whatever wants to write, for as long as it was told to wait.
      await client.query("BEGIN");
      await client.query("LOCK TABLE bpmn_documents IN ACCESS EXCLUSIVE MODE");
      const startedAtMs = performance.now();
      const answer = await ask(portico.base, "GET", "/api/v1/bpmn?pageSize=1");
      const ms = performance.now() - startedAtMs;
      assert.deepEqual([answer.status, reasonOf(answer)], [409, "DATABASE_CONFLICT"]);
      assert.ok(ms >= 1990 && ms < 3000, `${ms} ms`);
    } finally {
      await client.end();
      await portico.stop();
    }
  });

  test("what one process writes another one serves at once, and an etag of one refuses the other", async () => {
    const databaseUrl = await database().createDatabase();
    const one = await startPortico({ databaseUrl });
    const two = await startPortico({ databaseUrl });
    const made = await ask(one.base, "POST", "/api/v1/bpmn?documentId=shared", { body: { xml: bpmnXml() } });
    assert.equal(made.status, 201);
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

  test("what one process revokes or suspends is refused by the other within five seconds", () =>
    withTwo({}, async (one, two) => {
      const admin = { "x-api-key": one.adminKey };
      const password = "correct horse battery staple";
      const requests = [
        { userId: "vera", password, user: { email: "vera@example.org", roles: ["roles/viewer"] } },
      ];
      const made = await ask(one.base, "POST", "/api/v1/users:batchCreate", {
        headers: admin,
        body: { requests },
      });
      assert.equal(made.status, 200, made.text);
      const signIn = async () => {
        const body = { email: "vera@example.org", password };
        const { json } = await ask(one.base, "POST", "/api/v1/auth:signIn", { body });
        return { authorization: `Bearer ${json.accessToken}` };
      };
      const key = await one.userWithKey("leaver", ["viewer"]);
      const kept = await one.userWithKey("suspended", ["viewer"]);
      const ends = [
        ["a revoked key", async () => ({ "x-api-key": key }), `apiKeys/${key.split("_")[2] ?? ""}:revoke`],
        ["a suspended user's key", async () => ({ "x-api-key": kept }), "users/suspended:suspend"],
        ["a session that was ended", signIn, "users/vera:revokeSessions"],
        ["a suspended user's token", signIn, "users/vera:suspend"],
      ] as const;
      for (const [what, show, end] of ends) {
        const headers = await show();
        const status = async () => (await ask(two.base, "GET", "/api/v1/bpmn", { headers })).status;
        assert.equal(await status(), 200, what);
        const ended = await ask(one.base, "POST", `/api/v1/${end}`, { headers: admin, body: {} });
        assert.equal(ended.status, end.endsWith(":revokeSessions") ? 204 : 200, ended.text);
        const started = performance.now();
        while ((await status()) === 200) {
          assert.ok(performance.now() - started < 5000, what);
          await pause();
        }
        assert.equal(await status(), 401, what);
      }
    }));

  test("keys that sign are changed under load, on two processes, and no call fails", () =>
    withTwo({}, async (one, two) => {
      const servers = [one, two];
      const login = { email: "olga@example.org", password: "correct horse battery staple" };
      const made = await ask(one.base, "POST", "/portico.users.v1.UserService/CreateUser", {
        headers: { "x-api-key": one.adminKey },
        body: {
          userId: "olga",
          password: login.password,
          user: { email: login.email, roles: ["roles/viewer"] },
        },
      });
      assert.equal(made.status, 200, made.text);
      const signIn = await ask(one.base, "POST", "/api/v1/auth:signIn", { body: login });
      let token: string = signIn.json.accessToken;
      const kids = new Set<string>();
      const failures: string[] = [];
      let calls = 0;
      let running = true;
      const work = async (index: number): Promise<void> => {
        while (running) {
          const base = servers[calls % 2]?.base ?? "";
          const headers = { authorization: `Bearer ${token}` };
          const answer =
            index === 0
              ? await ask(base, "POST", "/api/v1/auth:exchange", { headers, body: {} })
              : await ask(base, "GET", "/api/v1/bpmn", { headers });
          calls += 1;
          if (answer.status !== 200) failures.push(answer.text);
          else if (index === 0) {
            token = answer.json.accessToken;
            kids.add(JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString()).kid);
          }
        }
      };
      const workers = Array.from({ length: 8 }, (_, index) => work(index));
      // Published for as long as anybody may keep the keys, here two seconds, before it signs.
      await one.users.signingKeys.rotate(2500);
      await new Promise((resolve) => setTimeout(resolve, 3000));
      await two.users.signingKeys.rotate(2500);
      await new Promise((resolve) => setTimeout(resolve, 3000));
      running = false;
      await Promise.all(workers);
      assert.deepEqual(failures, []);
      assert.equal(kids.size, 3, "three keys have signed");
      assert.ok(calls > 500, `${calls} calls`);
    }));

  test("the application role sees one tenant, whatever a statement says", () =>
    withTwo({}, async (server) => {
      const { db } = server.storage.tables<Record<string, Record<string, unknown>>>();
      const admin = { "x-api-key": server.adminKey };
      const model = readFileSync(
        path.resolve(import.meta.dirname, "../../examples/models/invoice.bpmn"),
        "utf8",
      );
      const password = "correct horse battery staple";
      for (const tenantId of ["attacker", "victim"]) {
        const body = { tenantId, adminEmail: `root@${tenantId}.example`, adminPassword: password };
        assert.equal(
          (await ask(server.base, "POST", "/api/v1/tenants", { headers: admin, body })).status,
          201,
        );
        const signIn = { tenant: tenantId, email: body.adminEmail, password };
        const { json } = await ask(server.base, "POST", "/api/v1/auth:signIn", { body: signIn });
        const headers = { authorization: `Bearer ${json.accessToken}` };
        const make = async (path: string, given: unknown, status = 201) => {
          const made = await ask(server.base, "POST", `/api/v1/${path}`, { headers, body: given });
          assert.equal(made.status, status, made.text);
        };
        await make("bpmn?documentId=model", { xml: model });
        await make("roles?roleId=own", { scopes: ["bpmn:read"] });
        await make("apiKeys", { displayName: "own" });
        await make("auth:ticket", {}, 200);
        await make("oauthClients", { displayName: "own", kind: "PUBLIC" });
        await make("users?userId=robot", { kind: "SERVICE", certificates: [`spiffe://${tenantId}/robot`] });
      }
      const found = await sql<{ name: string; forced: boolean }>`
        SELECT c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant'
        JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
        WHERE c.relkind = 'r' ORDER BY 1`.execute(db);
      assert.ok(found.rows.length >= 14, JSON.stringify(found.rows));
      const role = await sql<{ unsafe: boolean }>`
        SELECT rolsuper OR rolbypassrls OR rolcanlogin AS unsafe FROM pg_roles WHERE rolname = 'portico_app'`.execute(
        db,
      );
      assert.deepEqual(role.rows, [{ unsafe: false }]);
      for (const { name, forced } of found.rows) {
        assert.ok(forced, `${name} has row security that its owner cannot pass by`);
        const table = sql.table(name);
        const all = await sql<{
          count: number;
        }>`SELECT count(*) AS count FROM ${table} WHERE tenant = 'victim'`.execute(db);
        assert.ok(Number(all.rows[0]?.count) > 0, `${name} has nothing to protect`);
        const mine = server.storage.tables<Record<string, Record<string, unknown>>>().of("attacker").db;
        // As the stores' statements would be without their filter.
        const read = await sql<{ tenant: string }>`SELECT DISTINCT tenant FROM ${table}`.execute(mine);
        assert.deepEqual(read.rows, [{ tenant: "attacker" }], name);
        const removed = await sql`DELETE FROM ${table} WHERE tenant = 'victim'`.execute(mine);
        assert.equal(removed.numAffectedRows, 0n, name);
        await assert.rejects(
          sql`UPDATE ${table} SET tenant = 'victim'`.execute(mine),
          /row-level security/,
          name,
        );
        // Without a tenant nothing is there.
        const none = await db.transaction().execute(async (transaction) => {
          await sql`SET LOCAL ROLE portico_app`.execute(transaction);
          return await sql`SELECT 1 FROM ${table}`.execute(transaction);
        });
        assert.deepEqual(none.rows, [], name);
      }
      const keys = sql`SELECT 1 FROM users_signing_keys`;
      await assert.rejects(
        keys.execute(server.storage.tables<Record<string, never>>().of("attacker").db),
        /permission denied/,
      );
    }));

  test("a database of the version before is brought up to date", async () => {
    const url = await database().createDatabase();
    const old = released.filter(({ name }) => name.includes("_0001_"));
    await (await openStorage({ url, migrations: old })).close();
    const now = await startIdentity({ databaseUrl: url });
    assert.equal(
      (await ask(now.base, "GET", "/api/v1/me", { headers: { "x-api-key": now.adminKey } })).status,
      200,
    );
    await now.close();
  });

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

  test("row 79: a database without room is 503, and reads go on", async () => {
    const databaseUrl = await database().createDatabase();
    const portico = await startPortico({ databaseUrl });
    await ask(portico.base, "POST", "/api/v1/bpmn?documentId=a", { body: { xml: bpmnXml() } });
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    // disk_full, as the server says it (appendix A of its manual).
    await client.query(`
      CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;
      CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON bpmn_documents FOR EACH ROW EXECUTE FUNCTION full_disk()`);
    const create = () => ask(portico.base, "POST", "/api/v1/bpmn?documentId=b", { body: { xml: bpmnXml() } });
    const answer = await create();
    assert.deepEqual([answer.status, reasonOf(answer)], [503, "DATABASE_FULL"], answer.text);
    assert.equal((await ask(portico.base, "GET", "/api/v1/bpmn/a")).status, 200);
    await client.query("DROP TRIGGER full_disk ON bpmn_documents");
    await client.end();
    assert.equal((await create()).status, 201);
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
      assert.equal(answer.headers.get("retry-after"), "1");
      assert.ok(!/127\.0\.0\.1|ECONN/.test(answer.text), "nothing internal leaks");
      assert.ok(performance.now() - started < 2500);
    }
    await restart.start();
    assert.equal((await ask(portico.base, "GET", "/api/v1/bpmn/a")).status, 200);
    await portico.stop();
  });
}
