/** A process that is killed between a change and its audit entry leaves both or neither. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ask } from "../support/portico.ts";
import { serve } from "../support/process.ts";

const folder = mkdtempSync(path.join(tmpdir(), "portico-kill-"));
let child: ChildProcess | undefined;
after(() => {
  child?.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

describe("kill -9 while users are created", () => {
  let acknowledged = 0;
  for (let round = 1; round <= 5; round += 1)
    test(`round ${round}: never a change without its entry, nor an entry without its change`, async () => {
      const server = await serve(folder, [
        "--authentication",
        "on",
        "--rate-limit",
        "off",
        "--tenant-rate-limit",
        "off",
        "--log-level",
        "error",
      ]);
      child = server.child;
      const { base, ended } = server;
      const headers = { "x-api-key": readFileSync(path.join(folder, "dev-key"), "utf8").trim() };
      if (round > 1) {
        const verified = await ask(base, "POST", "/api/v1/auditEntries:verify", { headers, body: {} });
        assert.equal(verified.json.intact, true, verified.text);
      }
      let running = true;
      const create = async (writer: number): Promise<void> => {
        for (let count = 0; running; count += 1) {
          const target = `/api/v1/users?userId=u-${round}-${writer}-${count}`;
          const made = await ask(base, "POST", target, { headers, body: { kind: "SERVICE" } }).catch(
            () => undefined,
          );
          if (made?.status === 201) acknowledged += 1;
        }
      };
      const writers = Array.from({ length: 8 }, (_, writer) => create(writer));
      // In the middle of the work, which begins when it begins.
      const before = acknowledged;
      for (let waited = 0; acknowledged === before && waited < 10_000; waited += 5) await sleep(5);
      await sleep(50 + Math.random() * 150);
      child.kill("SIGKILL");
      await ended;
      running = false;
      await Promise.all(writers);

      const database = new DatabaseSync(path.join(folder, "portico.db"));
      const column = (sql: string): string[] =>
        database
          .prepare(sql)
          .all()
          .map((row) => String(Object.values(row)[0]))
          .sort();
      const users = column("SELECT id FROM users_users WHERE id LIKE 'u-%'");
      const entries = column(
        "SELECT json_extract(request, '$.userId') FROM users_audit WHERE method LIKE '%CreateUser' AND code = 0",
      );
      database.close();
      assert.deepEqual(users, entries);
      assert.ok(users.length >= acknowledged, `${acknowledged} were acknowledged, ${users.length} are there`);
      assert.ok(users.length > 0);
    });
});
