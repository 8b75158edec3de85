/** What only a file can promise: its rows stay, its schema moves forward, and one process has it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { RpcError } from "#rpc/error.ts";
import { openStorage } from "#storage/storage.ts";
import { ids, migrations, type TestTables, thing } from "./storage-suite.ts";

const second = {
  name: "0002",
  statements: () => [
    "INSERT INTO things (id, name, size, labels, made, bytes) VALUES ('b', 'b', 1, '{}', 0, x'00')",
  ],
};

export function sqliteFileSuite(fresh: () => Promise<string>): void {
  test("keeps its rows, and migrations run once", async () => {
    const url = await fresh();
    const first = await openStorage({ url, migrations });
    await first.tables<TestTables>().db.insertInto("things").values(thing("a")).execute();
    await first.close();
    for (let time = 0; time < 2; time += 1) {
      const again = await openStorage({ url, migrations: [...migrations, second] });
      assert.deepEqual(await ids(again.tables<TestTables>().db), ["a", "b"]);
      await again.close();
    }
    await assert.rejects(openStorage({ url, migrations }), /written by a newer version.*0002/);
  });

  test("a migration that fails leaves the file as it was and is named", async () => {
    const url = await fresh();
    await (await openStorage({ url, migrations: [...migrations, second] })).close();
    const broken = { name: "0003", statements: () => ["DELETE FROM things", "nonsense"] };
    await assert.rejects(
      openStorage({ url, migrations: [...migrations, second, broken] }),
      /the migration 0003 failed .*nonsense.*nothing was changed/s,
    );
    const storage = await openStorage({ url, migrations: [...migrations, second] });
    assert.deepEqual(await ids(storage.tables<TestTables>().db), ["b"]);
    await storage.close();
  });

  test("row 79: without room what is written is refused as a whole, what is there is read, and with room all goes on", async () => {
    const storage = await openStorage({ url: await fresh(), migrations });
    const { db, transaction } = storage.tables<TestTables>();
    const large = (id: string) => thing(id, { bytes: new Uint8Array(100_000) });
    await db.insertInto("things").values(thing("kept")).execute();
    // As many pages as there are.
    await sql`PRAGMA max_page_count = 1`.execute(db);
    const full = (error: unknown) => error instanceof RpcError && error.reason === "DATABASE_FULL";
    await assert.rejects(db.insertInto("things").values(large("alone")).execute(), full);
    await assert.rejects(
      transaction(async (inside) => {
        await inside.insertInto("things").values(thing("before")).execute();
        await inside.insertInto("things").values(large("within")).execute();
      }),
      full,
    );
    assert.deepEqual(await ids(db), ["kept"]);
    await sql`PRAGMA max_page_count = 100000`.execute(db);
    await transaction(async (inside) => {
      await inside.insertInto("things").values(large("later")).execute();
    });
    assert.deepEqual(await ids(db), ["kept", "later"]);
    await storage.close();
  });
}
