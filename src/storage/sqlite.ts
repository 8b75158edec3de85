/**
 * SQLite through node:sqlite, embedded in the process.
 *
 * One connection, one writer: transactions queue up in order. Every commit is on disk when it returns (`synchronous=FULL`,
 * WAL). `memory:` is the same engine without a file. A second process on the same file is refused. Statements are prepared
 * once and kept. Who is inside a transaction and asks beside it is refused at once: each would wait for the other.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  Kysely,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from "kysely";
import { RpcError } from "#rpc/error.ts";
import { systemClock as clock } from "#std/clock.ts";
import { compileRead } from "./compiled-read.ts";
import {
  committed,
  type Parameter,
  type Pool,
  type Storage,
  type StoreObserver,
  type Tables,
  withUnit,
} from "./shape.ts";

/** @throws Error when the file cannot be opened or another process has it. */
export function openSqlite(url: string, observer?: StoreObserver): Storage {
  const file = url === "memory:" ? undefined : path.resolve(url.slice("sqlite:".length));
  if (file !== undefined) mkdirSync(path.dirname(file), { recursive: true });
  const connection = new SqliteConnection(openDatabase(file), observer);
  const db = new Kysely<unknown>({
    dialect: {
      createAdapter: () => new OwnAdapter(),
      createDriver: () => new SqliteDriver(connection),
      createIntrospector: (kysely) => new SqliteIntrospector(kysely),
      createQueryCompiler: () => new SqliteQueryCompiler(),
    },
  });
  return {
    engine: "sqlite",
    place: file ?? "in memory",
    pool: () => connection.pool,
    tables: <Schema>() => tablesOf(db as Kysely<Schema>, connection),
    ping: async () => undefined,
    close: () => db.destroy(),
  };
}

/** SQLite's CREATE and ALTER are part of the transaction, so a migration that fails leaves nothing; Kysely assumes less. */
class OwnAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }

  /** Our own queue is the only one: what waits in Kysely's would be out of its sight. */
  override get supportsMultipleConnections(): boolean {
    return true;
  }
}

function tablesOf<Schema>(db: Kysely<Schema>, connection: SqliteConnection): Tables<Schema> {
  const tables: Tables<Schema> = {
    engine: "sqlite",
    db,
    transaction: (work, unit) =>
      committed(
        db.transaction().execute((transaction) => connection.inside(() => withUnit(work, transaction, unit))),
        unit,
      ),
    prepare: <Row>(build: Parameters<Tables<Schema>["prepare"]>[0]) => {
      const read = compileRead(db, build);
      const run = (parameters: readonly Parameter[]): Row | undefined =>
        connection.first(read.sql, read.bind(parameters)) as Row | undefined;
      // Inside somebody's transaction its uncommitted rows would be seen: wait until it ends.
      return (...parameters) =>
        connection.isFree ? run(parameters) : connection.exclusively(() => run(parameters));
    },
    of: () => tables,
    // The file is this process's alone (`openDatabase`).
    writes: () => connection.writes,
  };
  return tables;
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

/** Statements kept prepared; the least recently made goes first. Filters make new texts, so the number is bounded. */
const maxStatements = 300;
/** SQLite's result codes (https://sqlite.org/rescode.html): of a disk that fails, and of a full one. */
const sqliteIoError = 10;
const sqliteFull = 13;

/** The one connection, and the queue of those who want it to themselves. */
class SqliteConnection implements DatabaseConnection {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #waiting: (() => void)[] = [];
  /** Of the code that runs: the transaction that it belongs to. */
  readonly #inside = new AsyncLocalStorage<{ open: boolean }>();
  readonly #observer: StoreObserver | undefined;
  #held = false;
  /** `clock.monotonic()` reading at the beginning of the transaction under way. */
  #begunAtMs = 0;
  /** Statements that may have written, and ends of transactions. */
  writes = 0;

  constructor(database: DatabaseSync, observer: StoreObserver | undefined) {
    this.#database = database;
    this.#observer = observer;
  }

  get pool(): Pool {
    return { limit: 1, open: 1, idle: this.#held ? 0 : 1, waiting: this.#waiting.length };
  }

  get isFree(): boolean {
    return !this.#held;
  }

  /** @throws Error when the holder is who asks: it would wait for itself. */
  async acquire(): Promise<void> {
    // What was started in a transaction and outlives it has nobody to wait for.
    if (this.#held && this.#inside.getStore()?.open === true)
      throw new Error(
        "a statement beside the transaction that is open here would wait for its end, and the transaction for the statement: " +
          "use the transaction's own handle, or ask before it begins",
      );
    if (this.#held) {
      const askedAtMs = clock.monotonic();
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
      this.#observer?.waited(clock.monotonic() - askedAtMs);
    }
    this.#held = true;
  }

  /** Passes the connection on without ever letting it look free in between. */
  release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#held = false;
    else next();
  }

  /** Runs the work of the transaction that has the connection. */
  async inside<T>(work: () => Promise<T>): Promise<T> {
    const transaction = { open: true };
    try {
      return await this.#inside.run(transaction, work);
    } finally {
      transaction.open = false;
    }
  }

  async exclusively<T>(work: () => T): Promise<T> {
    await this.acquire();
    try {
      return work();
    } finally {
      this.release();
    }
  }

  first(sql: string, parameters: readonly Parameter[]): unknown {
    const observer = this.#observer;
    if (observer === undefined) return this.#prepare(sql).get(...parameters);
    const startedAtMs = clock.monotonic();
    const row = this.#prepare(sql).get(...parameters);
    observer.statement(clock.monotonic() - startedAtMs);
    return row;
  }

  begin(): void {
    this.#begunAtMs = clock.monotonic();
    this.#exec("BEGIN IMMEDIATE");
  }

  end(sql: "COMMIT" | "ROLLBACK"): void {
    this.writes += 1;
    try {
      // A full disk ends the transaction by itself; a second end would fail and hide why (https://sqlite.org/lang_transaction.html section 3.1).
      if (sql === "COMMIT" || this.#database.isTransaction) this.#exec(sql);
    } finally {
      this.#observer?.transaction(clock.monotonic() - this.#begunAtMs);
    }
  }

  #exec(sql: string): void {
    try {
      this.#database.exec(sql);
    } catch (error) {
      throw translated(error);
    }
  }

  async executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    const startedAtMs = clock.monotonic();
    // Whatever begins otherwise (INSERT … RETURNING, WITH … UPDATE, PRAGMA) may write: to count one too many costs a read.
    if (!sql.startsWith("select ")) this.writes += 1;
    try {
      const statement = this.#prepare(sql);
      const values = parameters as SQLInputValue[];
      if (statement.columns().length > 0) return { rows: statement.all(...values) as Row[] };
      const { changes } = statement.run(...values);
      return { rows: [], numAffectedRows: BigInt(changes) };
    } catch (error) {
      throw translated(error);
    } finally {
      this.#observer?.statement(clock.monotonic() - startedAtMs);
    }
  }

  // biome-ignore lint/correctness/useYield: the driver's interface asks for it; nothing here streams rows
  async *streamQuery<Row>(): AsyncIterableIterator<QueryResult<Row>> {
    throw new Error("rows are not streamed; ask for a page");
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const made = this.#database.prepare(sql);
    this.#statements.set(sql, made);
    if (this.#statements.size > maxStatements) {
      const [oldest] = this.#statements.keys();
      if (oldest !== undefined) this.#statements.delete(oldest);
    }
    return made;
  }
}

class SqliteDriver implements Driver {
  readonly #connection: SqliteConnection;

  constructor(connection: SqliteConnection) {
    this.#connection = connection;
  }

  async init(): Promise<void> {
    // The database is open already: a file that cannot be opened is an error of the start.
  }

  async acquireConnection(): Promise<DatabaseConnection> {
    await this.#connection.acquire();
    return this.#connection;
  }

  async releaseConnection(): Promise<void> {
    this.#connection.release();
  }

  async beginTransaction(): Promise<void> {
    this.#connection.begin();
  }

  async commitTransaction(): Promise<void> {
    this.#connection.end("COMMIT");
  }

  async rollbackTransaction(): Promise<void> {
    this.#connection.end("ROLLBACK");
  }

  async destroy(): Promise<void> {
    this.#connection.close();
  }
}

/** A full disk is not a mistake of the caller and not a bug: reads go on, writes may be tried again. So it is with one that fails, or has a quota. */
function translated(error: unknown): unknown {
  // The lowest byte says what kind of error it is, the others more about it.
  const code = ((error as { readonly errcode?: number }).errcode ?? 0) % 256;
  if (code === sqliteFull)
    return new RpcError("unavailable", {
      reason: "DATABASE_FULL",
      message:
        "the database has no room left; nothing was written; try again when the operator has made room",
      cause: error,
    });
  if (code === sqliteIoError)
    return new RpcError("unavailable", {
      reason: "DATABASE_UNAVAILABLE",
      message: "the database cannot read or write its file; try again shortly",
      cause: error,
    });
  return error;
}
