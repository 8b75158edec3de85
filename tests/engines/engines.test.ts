/** One contract for storage and its users, held against every engine: SQLite in memory and in a file, and PostgreSQL. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe } from "node:test";
import { startPostgres, type TestPostgres } from "../support/postgres.ts";
import { bpmnSuite } from "./bpmn-suite.ts";
import { postgresSuite } from "./postgres-suite.ts";
import { sqliteFileSuite } from "./sqlite-file-suite.ts";
import { storageSuite } from "./storage-suite.ts";
import { usersSuite } from "./users-suite.ts";

const folder = mkdtempSync(path.join(tmpdir(), "portico-engines-"));
let postgres: TestPostgres | undefined;
let files = 0;

before(async () => {
  postgres = await startPostgres();
});
after(async () => {
  await postgres?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const database = (): TestPostgres => {
  if (postgres === undefined) throw new Error("PostgreSQL was not started");
  return postgres;
};

/** Each gives the URL of an empty database. */
const engines: Readonly<Record<string, () => Promise<string>>> = {
  "memory:": async () => "memory:",
  "a SQLite file": async () => {
    files += 1;
    return `sqlite:${path.join(folder, `deep/er/${files}.db`)}`;
  },
  PostgreSQL: () => database().createDatabase(),
};

for (const [name, fresh] of Object.entries(engines)) {
  describe(name, () => {
    storageSuite(fresh);
    bpmnSuite(fresh);
    usersSuite(fresh);
  });
}

describe("a SQLite file, on its own", () => sqliteFileSuite(engines["a SQLite file"] ?? (async () => "")));
describe("PostgreSQL, on its own", () => postgresSuite(database));
