/**
 * Rows and transactions: SQLite through node:sqlite, embedded in the process.
 *
 * One connection, one writer: transactions queue up in order. Every commit is on disk when it returns (`synchronous=FULL`,
 * WAL). `memory:` is the same engine without a file. A second process on the same file is refused. Statements are prepared
 * once and kept. No domain words here.
 */
import { mkdirSync } from "node:fs";
import path from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";

export type Row = Readonly<Record<string, unknown>>;
export type Parameter = SQLInputValue;

export interface Storage {
  /** All rows. Statements are cached by their text: never build text from input. */
  all(sql: string, ...parameters: Parameter[]): Row[];
  /** The first row, or undefined. */
  get(sql: string, ...parameters: Parameter[]): Row | undefined;
  /** Number of rows changed. */
  run(sql: string, ...parameters: Parameter[]): number;
  /** All or nothing; synchronous, so nothing else runs in between. Commits when `work` returns, rolls back when it throws. */
  transaction<T>(work: () => T): T;
  /** Where the data is, for people. */
  readonly place: string;
  close(): void;
}

export interface Migration {
  /** Sorted by name; never changed once released. */
  readonly name: string;
  readonly sql: string;
}

export interface StorageOptions {
  /** `sqlite:PATH` (relative to the working directory; folders are made) or `memory:`. */
  readonly url: string;
  readonly migrations: readonly Migration[];
}

/** @throws Error with the file, the reason and the remedy. */
export function openStorage(options: StorageOptions): Storage {
  const file = options.url === "memory:" ? undefined : path.resolve(options.url.slice("sqlite:".length));
  if (file !== undefined) mkdirSync(path.dirname(file), { recursive: true });
  const storage = new SqliteStorage(openDatabase(file), file);
  try {
    migrate(storage, options.migrations);
  } catch (error) {
    storage.close();
    throw error;
  }
  return storage;
}

function openDatabase(file: string | undefined): DatabaseSync {
  if (file === undefined) return new DatabaseSync(":memory:");
  const database = new DatabaseSync(file);
  try {
    // EXCLUSIVE keeps the lock of the first write for the life of the process, and dies with it even under kill -9.
    database.exec(
      "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; BEGIN IMMEDIATE; COMMIT;",
    );
    return database;
  } catch (error) {
    database.close();
    const locked = error instanceof Error && /locked|busy/.test(error.message);
    throw locked
      ? new Error(
          `${file} is in use by another process; stop it, or give this one a database of its own with PORTICO_DATABASE_URL`,
        )
      : error;
  }
}

/** More statements than this are more than the program has: a sign of text built from input. */
const maxStatements = 500;

class SqliteStorage implements Storage {
  readonly place: string;
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(database: DatabaseSync, file: string | undefined) {
    this.#database = database;
    this.place = file ?? "in memory";
  }

  all(sql: string, ...parameters: Parameter[]): Row[] {
    return this.#prepare(sql).all(...parameters) as Row[];
  }

  get(sql: string, ...parameters: Parameter[]): Row | undefined {
    return this.#prepare(sql).get(...parameters) as Row | undefined;
  }

  run(sql: string, ...parameters: Parameter[]): number {
    return Number(this.#prepare(sql).run(...parameters).changes);
  }

  transaction<T>(work: () => T): T {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      this.#database.exec("COMMIT");
      return result;
    } catch (error) {
      this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    if (this.#statements.size >= maxStatements)
      throw new Error(`more than ${maxStatements} statements: their text must not depend on input`);
    const made = this.#database.prepare(sql);
    this.#statements.set(sql, made);
    return made;
  }
}

/** Forward only, each in one transaction with its record. */
function migrate(storage: SqliteStorage, migrations: readonly Migration[]): void {
  storage.run(
    "CREATE TABLE IF NOT EXISTS portico_migrations (name TEXT PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT",
  );
  const applied = new Set(storage.all("SELECT name FROM portico_migrations").map((row) => String(row.name)));
  const known = new Set(migrations.map((migration) => migration.name));
  const newer = [...applied].filter((name) => !known.has(name));
  if (newer.length > 0)
    throw new Error(
      `${storage.place} was written by a newer version of this program (${newer.join(", ")}); start that version`,
    );
  for (const migration of migrations) {
    if (applied.has(migration.name)) continue;
    storage.transaction(() => {
      for (const statement of migration.sql.split(/;\s*\n/))
        if (statement.trim() !== "") storage.run(statement);
      storage.run(
        "INSERT INTO portico_migrations (name, applied_at) VALUES (?, unixepoch())",
        migration.name,
      );
    });
  }
}
