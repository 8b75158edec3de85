import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, test } from "node:test";
import { openStorage, type Storage } from "./storage.ts";

const folder = mkdtempSync(path.join(tmpdir(), "portico-storage-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const migrations = [
  { name: "0001", sql: "CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;\n" },
];

for (const url of ["memory:", `sqlite:${path.join(folder, "deep/er/a.db")}`]) {
  describe(url === "memory:" ? url : "a file", () => {
    test("a transaction that throws leaves nothing", () => {
      const storage = openStorage({ url, migrations });
      assert.throws(() =>
        storage.transaction(() => {
          storage.run("INSERT INTO t (text) VALUES (?)", "a");
          throw new Error("no");
        }),
      );
      assert.deepEqual(storage.all("SELECT * FROM t"), []);
      storage.close();
    });
  });
}

describe("a file", () => {
  const url = `sqlite:${path.join(folder, "b.db")}`;
  const texts = (storage: Storage): unknown[] =>
    storage.all("SELECT text FROM t ORDER BY id").map((row) => row.text);

  test("keeps its rows, and migrations run once", () => {
    const first = openStorage({ url, migrations });
    first.run("INSERT INTO t (text) VALUES (?)", "a");
    first.close();
    const second = openStorage({
      url,
      migrations: [...migrations, { name: "0002", sql: "INSERT INTO t (text) VALUES ('b')" }],
    });
    assert.deepEqual(texts(second), ["a", "b"]);
    second.close();
  });

  test("written by a newer version is refused by an older one", () => {
    assert.throws(() => openStorage({ url, migrations }), /written by a newer version.*0002/);
  });

  test("a migration that fails leaves the database as it was", () => {
    const later = [...migrations, { name: "0002", sql: "INSERT INTO t (text) VALUES ('b')" }];
    assert.throws(() =>
      openStorage({ url, migrations: [...later, { name: "0003", sql: "DELETE FROM t;\nnonsense" }] }),
    );
    const storage = openStorage({ url, migrations: later });
    assert.deepEqual(texts(storage), ["a", "b"]);
    storage.close();
  });
});
