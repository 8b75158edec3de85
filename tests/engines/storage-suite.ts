/** What storage promises on every engine. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type Kysely, type SqlBool, sql } from "kysely";
import { RpcError } from "#rpc/error.ts";
import { parseFilter } from "#storage/filter.ts";
import { type Condition, type FilterFields, toCondition } from "#storage/filter-sql.ts";
import { parseOrder } from "#storage/order.ts";
import { type Migration, openStorage, type Storage, type Tables } from "#storage/storage.ts";

export interface TestTables {
  readonly things: {
    id: string;
    name: string;
    size: number;
    labels: string;
    made: number;
    bytes: Uint8Array;
  };
  readonly parts: { thing: string; code: string; good: number };
}

export const migrations: readonly Migration[] = [
  {
    name: "0001",
    statements: ({ text, integer, bytes, options }) => [
      `CREATE TABLE things (id ${text} PRIMARY KEY, name ${text} NOT NULL, size ${integer} NOT NULL, labels ${text} NOT NULL, made ${integer} NOT NULL, bytes ${bytes} NOT NULL)${options}`,
      `CREATE TABLE parts (thing ${text} NOT NULL, code ${text} NOT NULL, good ${integer} NOT NULL)${options}`,
    ],
  },
];

export function thing(id: string, more: Partial<TestTables["things"]> = {}): TestTables["things"] {
  return { id, name: id, size: 1, labels: "{}", made: 0, bytes: new Uint8Array([1, 255, 0]), ...more };
}

export const ids = async (db: Kysely<TestTables>): Promise<string[]> =>
  (await db.selectFrom("things").select("id").orderBy("id").execute()).map(({ id }) => id);

export function storageSuite(fresh: () => Promise<string>): void {
  const open = async (): Promise<{ storage: Storage; tables: Tables<TestTables> }> => {
    const storage = await openStorage({ url: await fresh(), migrations });
    return { storage, tables: storage.tables<TestTables>() };
  };

  test("tells how long statements and transactions took, what was waited for, and how many connections there are", async () => {
    const told = { statement: [] as number[], transaction: [] as number[], waited: [] as number[] };
    const storage = await openStorage({
      ...{ url: await fresh(), migrations },
      observer: {
        statement: (ms) => told.statement.push(ms),
        transaction: (ms) => told.transaction.push(ms),
        waited: (ms) => told.waited.push(ms),
      },
    });
    const tables = storage.tables<TestTables>();
    const read = tables.prepare<{ id: string }>((db, parameter) =>
      db.selectFrom("things").select("id").where("id", "=", parameter<string>(0)),
    );
    for (const of of Object.values(told)) of.length = 0;
    const insert = (id: string) =>
      tables.transaction(async (db) => {
        await db.insertInto("things").values(thing(id)).execute();
      });
    // More at once than any engine has connections.
    await Promise.all(Array.from({ length: 12 }, (_, at) => insert(`t${at}`)));
    assert.equal(told.transaction.length, 12);
    assert.ok(told.waited.length > 0);
    await assert.rejects(insert("t0"));
    assert.equal(told.transaction.length, 13);
    const before = told.statement.length;
    assert.equal((await read("t0"))?.id, "t0");
    await ids(tables.db);
    assert.equal(told.statement.length, before + 2);
    assert.ok(Object.values(told).every((all) => all.every((ms) => ms >= 0 && ms < 60_000)));
    const { limit, open: opened, idle, waiting } = storage.pool();
    assert.ok(limit >= 1 && opened >= 1 && opened <= limit && idle <= opened && waiting === 0);
    await storage.close();
  });

  test("a transaction that throws leaves nothing, and its error arrives", async () => {
    const { storage, tables } = await open();
    await assert.rejects(
      tables.transaction(async (db) => {
        await db.insertInto("things").values(thing("a")).execute();
        throw new Error("no");
      }),
      /^Error: no$/,
    );
    assert.deepEqual(await ids(tables.db), []);
    await storage.close();
  });

  test("twenty transactions at once on one row all count", async () => {
    const { storage, tables } = await open();
    await tables.db
      .insertInto("things")
      .values(thing("n", { size: 0 }))
      .execute();
    await Promise.all(
      Array.from({ length: 20 }, () =>
        tables.transaction(async (db) => {
          const select = db.selectFrom("things").select("size").where("id", "=", "n");
          const { size } = await (tables.engine === "postgres"
            ? select.forUpdate()
            : select
          ).executeTakeFirstOrThrow();
          await db
            .updateTable("things")
            .set({ size: size + 1 })
            .where("id", "=", "n")
            .execute();
        }),
      ),
    );
    const { size } = await tables.db.selectFrom("things").select("size").executeTakeFirstOrThrow();
    assert.equal(size, 20);
    await storage.close();
  });

  test("a prepared read sees what is committed and nothing of a transaction under way", async () => {
    const { storage, tables } = await open();
    const read = tables.prepare((db, parameter) =>
      db.selectFrom("things").select("size").where("id", "=", parameter<string>(0)),
    );
    await tables.db.insertInto("things").values(thing("a")).execute();
    const begun = Promise.withResolvers<void>();
    const mayEnd = Promise.withResolvers<void>();
    const change = tables.transaction(async (db) => {
      await db.updateTable("things").set({ size: 2 }).execute();
      begun.resolve();
      await mayEnd.promise;
    });
    await begun.promise;
    const pending = read("a");
    if (tables.engine === "postgres") assert.equal((await pending)?.size, 1);
    else assert.ok(pending instanceof Promise, "it must wait for the transaction");
    mayEnd.resolve();
    await change;
    if (tables.engine === "sqlite") assert.equal((await pending)?.size, 2);
    assert.equal((await read("a"))?.size, 2);
    assert.equal(await read("b"), undefined);
    await storage.close();
  });

  test("who is inside a transaction and asks beside it never waits for itself", async () => {
    const { storage, tables } = await open();
    if (tables.engine === "postgres") return await storage.close();
    const read = tables.prepare((db, parameter) =>
      db.selectFrom("things").select("size").where("id", "=", parameter<string>(0)),
    );
    const beside: readonly (() => unknown)[] = [
      () => read("a"),
      () => ids(tables.db),
      () => tables.of("t").db.selectFrom("things").select("id").execute(),
      () => tables.transaction(async () => undefined),
    ];
    for (const ask of beside)
      await assert.rejects(
        tables.transaction(async (db) => {
          await db.insertInto("things").values(thing("a")).execute();
          await ask();
        }),
        /use the transaction's own handle, or ask before it begins/,
      );
    assert.deepEqual(await ids(tables.db), [], "nothing stays of what was refused");
    // What a transaction started and did not wait for may ask when it is over.
    let late: Promise<unknown> | undefined;
    await tables.transaction(async () => {
      late = new Promise((resolve) => setTimeout(resolve, 5)).then(() => ids(tables.db));
    });
    assert.deepEqual(await late, []);
    const both = [ids(tables.db), tables.transaction((db) => ids(db)), ids(tables.db)];
    assert.deepEqual(await Promise.all(both), [[], [], []]);
    await storage.close();
  });

  test("counts what may have written, where nobody else writes: no write goes uncounted, and no read counts", async () => {
    const { storage, tables } = await open();
    const { writes } = tables;
    assert.equal(writes === undefined, storage.engine === "postgres");
    if (writes !== undefined) {
      const counted = async (work: () => Promise<unknown>): Promise<number> => {
        const before = writes();
        await work();
        return writes() - before;
      };
      const { db } = tables;
      const read = tables.prepare<{ id: string }>((from, parameter) =>
        from.selectFrom("things").select("id").where("id", "=", parameter<string>(0)),
      );
      assert.equal(await counted(() => ids(db)), 0);
      assert.equal(await counted(async () => read("a")), 0);
      const writing: (() => Promise<unknown>)[] = [
        () => db.insertInto("things").values(thing("a")).execute(),
        () => db.insertInto("things").values(thing("b")).returning("id").execute(),
        () => db.updateTable("things").set({ size: 2 }).where("id", "=", "a").execute(),
        () =>
          sql`with old as (select id from things) update things set size = 3 where id in (select id from old)`.execute(
            db,
          ),
        () => db.deleteFrom("things").where("id", "=", "b").execute(),
      ];
      for (const write of writing) assert.notEqual(await counted(write), 0);
      let inside = 0;
      const undone = await counted(() =>
        assert.rejects(
          tables.transaction(async (transaction) => {
            inside = writes();
            await transaction.deleteFrom("things").execute();
            inside = writes() - inside;
            throw new Error("undone");
          }),
        ),
      );
      assert.ok(inside > 0 && undone > inside, "what is undone is a change for whoever saw it done");
    }
    await storage.close();
  });

  test("bytes, text of any language and integers up to 2^53 come back as they went", async () => {
    const { storage, tables } = await open();
    const bytes = new Uint8Array(100_000).map((_, at) => at);
    const row = thing("ü", { name: "日本 'quoted' \\ 🎉", size: Number.MAX_SAFE_INTEGER, bytes });
    await tables.db.insertInto("things").values(row).execute();
    const back = await tables.db.selectFrom("things").selectAll().executeTakeFirstOrThrow();
    assert.deepEqual({ ...back, bytes: new Uint8Array(back.bytes) }, row);
    await storage.close();
  });

  describe("a filter", () => {
    const fields: FilterFields = {
      id: { type: "text", column: "things.id" },
      display_name: { type: "text", column: "things.name" },
      size: { type: "number", column: "things.size" },
      make_time: { type: "time", column: "things.made" },
      labels: { type: "map", column: "things.labels" },
      "parts.code": { type: "text", column: "parts.code", exists: inParts },
      "parts.good": { type: "boolean", column: "parts.good", exists: inParts },
    };
    const rows = [
      thing("a", { name: "Order 50%", size: 1, labels: '{"team":"red"}', made: Date.parse("2030-01-01") }),
      thing("b", { name: "Order*", size: 2, labels: '{"team":"blue","a.b":"x"}', made: 5 }),
      thing("c", { name: "order_c", size: 3 }),
      thing("d", { name: "[x]\\?", size: 30 }),
    ];
    let storage: Storage;
    let tables: Tables<TestTables>;
    before(async () => {
      ({ storage, tables } = await open());
      await tables.db.insertInto("things").values(rows).execute();
      await tables.db
        .insertInto("parts")
        .values([
          { thing: "a", code: "p1", good: 1 },
          { thing: "b", code: "p1", good: 0 },
          { thing: "b", code: "p2", good: 0 },
        ])
        .execute();
    });
    after(() => storage.close());
    for (const [filter, expected] of [
      ["", "abcd"],
      ["id = b", "b"],
      ['id != "b"', "acd"],
      ["displayName = Order*", "ab"],
      ["display_name = order*", "c"],
      ['display_name = "Order\\*"', "b"],
      ['display_name:"50%"', "a"],
      ["display_name:_", "c"],
      ["display_name = *c", "c"],
      ['display_name = "[x]*"', "d"],
      ['display_name:"?"', "d"],
      ["size > 1 size < 30", "bc"],
      ["size >= 2 AND size <= 3", "bc"],
      ["size = 1 OR size = 30", "ad"],
      // OR binds tighter than AND (AIP-160).
      ["size < 3 AND id = a OR id = c", "a"],
      ["(size < 3 AND id = a) OR id = c", "ac"],
      ["NOT size = 1", "bcd"],
      ["-size = 1 -size = 2", "cd"],
      ["size > -5", "abcd"],
      ["labels.team = red", "a"],
      ["labels.team != red", "bcd"],
      ["labels.team = r*", "a"],
      ["labels:team", "ab"],
      ["labels.a.b = x", "b"],
      ['make_time > "2029-12-31T23:59:59.999+00:00"', "a"],
      ['make_time <= "1970-01-01T00:00:00.005Z"', "bcd"],
      ["make_time = 2030-01-01", "a"],
      ["parts.code = p1", "ab"],
      ["parts.code != p1", "cd"],
      ["parts.good = true", "a"],
      ["order", "c"],
      ["x' OR '1'='1", ""],
      ["constructor = 1", ""],
      ["__proto__ = 1", ""],
      ["constructor.name = x", ""],
    ] as const) {
      test(`${filter === "" ? "that is empty" : filter} finds ${expected === "" ? "an error or nothing" : expected}`, async () => {
        let found = "";
        try {
          const parsed = parseFilter(filter);
          const select = tables.db.selectFrom("things").select("id").orderBy("id");
          const scope = { engine: tables.engine, fields, anywhere: ["display_name"] };
          const all = await (parsed === undefined
            ? select
            : select.where(toCondition(parsed, scope))
          ).execute();
          found = all.map(({ id }) => id).join("");
        } catch (error) {
          assert.ok(error instanceof RpcError && error.reason === "FILTER_INVALID", String(error));
        }
        assert.equal(found, expected);
      });
    }
    test("only narrows what it is added to, however it is written", async () => {
      for (const text of [
        "order",
        "size = 1 OR size = 30",
        "NOT size = 1",
        "NOT (id = a OR id = b)",
        "order OR x",
      ]) {
        const filter = parseFilter(text);
        assert.ok(filter !== undefined);
        const scope = { engine: tables.engine, fields, anywhere: ["display_name", "id"] };
        const found = await tables.db
          .selectFrom("things")
          .select("id")
          .where("size", "<", 0)
          .where(toCondition(filter, scope))
          .execute();
        assert.deepEqual(found, [], text);
      }
    });
  });

  test("pages in every order hold every row once, rows that are equal in it too", async () => {
    const { storage, tables } = await open();
    const rows = Array.from({ length: 23 }, (_, at) =>
      thing(`t${String(at).padStart(2, "0")}`, { name: "Abba"[at % 4] ?? "", size: at % 3 }),
    );
    await tables.db.insertInto("things").values(rows).execute();
    const fields = { id: "id", name: "name", size: "size" };
    for (const text of ["", "name", "size desc, name", "name desc,size,id desc", "id desc"]) {
      const order = parseOrder(text, fields, "id");
      const seen: string[] = [];
      let after: (string | number)[] = [];
      for (let page = 0; page < 10; page += 1) {
        const select = tables.db.selectFrom("things").selectAll().orderBy(order.clause).limit(5);
        const found = await (after.length === 0 ? select : select.where(order.after(after))).execute();
        seen.push(...found.map(({ id }) => id));
        const last = found.at(-1);
        if (last === undefined) break;
        after = order.columns.map(({ column }) => last[column as "id" | "name" | "size"]);
      }
      const whole = await tables.db.selectFrom("things").select("id").orderBy(order.clause).execute();
      assert.deepEqual(
        seen,
        whole.map(({ id }) => id),
        text,
      );
      assert.equal(new Set(seen).size, 23, text);
    }
    await storage.close();
  });
}

function inParts(condition: Condition): Condition {
  return sql<SqlBool>`EXISTS (SELECT 1 FROM parts WHERE parts.thing = things.id AND ${condition})`;
}
