/** What storage looks like to those who use it, and what an engine must give. */
import type { Compilable, Kysely, Transaction } from "kysely";
import type { UnitOfWork } from "#rpc/unit-of-work.ts";

export type Engine = "sqlite" | "postgres";

/** What a prepared read takes in place of a `parameter(n)`. */
export type Parameter = string | number;

/**
 * Runs a prepared read of one row, or none. Answers at once where the engine can (SQLite, no transaction under way), so that a handler may
 * answer without a turn of the event loop; everywhere else with a promise.
 */
export type PreparedRead<Row> = (
  ...parameters: readonly Parameter[]
) => Row | undefined | Promise<Row | undefined>;

/** The storage as one service sees it: its own tables, typed. */
export interface Tables<Schema> {
  readonly engine: Engine;
  /** For everything outside a transaction. */
  readonly db: Kysely<Schema>;
  /**
   * All or nothing, with what the unit of work has to keep beside it. On SQLite transactions queue up, one at a time: await
   * nothing slow inside, and ask nothing but the transaction (`db`, prepared reads and further transactions throw).
   */
  transaction<T>(work: (transaction: Transaction<Schema>) => Promise<T>, unit?: UnitOfWork): Promise<T>;
  /**
   * Compiles a read of one row once. `parameter(n)` stands for the n-th argument of every later run.
   *
   * @param scope "tenant": the first argument names the tenant, and no other's rows are there to be read.
   */
  prepare<Row>(
    build: (db: Kysely<Schema>, parameter: <T extends Parameter>(index: number) => T) => Compilable<Row>,
    scope?: "tenant",
  ): PreparedRead<Row>;
  /**
   * The same tables for work on behalf of one tenant: on PostgreSQL other tenants' rows are not there, whatever a statement says.
   * SQLite knows no such thing, and the stores alone keep tenants apart.
   */
  of(tenant: string): Pick<Tables<Schema>, "engine" | "db" | "transaction">;
  /**
   * Whether anything may have been written since: a number that is another one after every write, of any table by anybody, committed or not.
   * Absent where others write too, and only the database knows.
   */
  readonly writes?: () => number;
}

/** Hears how long the database takes, in milliseconds. */
export interface StoreObserver {
  statement(durationMs: number): void;
  /** From its beginning to its commit, or to what ended it; without the wait for a connection. */
  transaction(durationMs: number): void;
  /** For a connection, or for a transaction's turn. */
  waited(durationMs: number): void;
}

export interface Pool {
  readonly limit: number;
  readonly open: number;
  readonly idle: number;
  readonly waiting: number;
}

export interface Storage {
  readonly engine: Engine;
  /** Connections now. */
  pool(): Pool;
  /** Where the data is, for people; never holds a password. */
  readonly place: string;
  tables<Schema>(): Tables<Schema>;
  /** Rejects when the database does not answer within two seconds. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** How an engine spells the column types that both have. */
export interface ColumnTypes {
  /** For what one engine alone has. */
  readonly engine: Engine;
  /** Compared and sorted byte by byte. */
  readonly text: string;
  /** 64 bits; read as a number, so within ±2^53. */
  readonly integer: string;
  readonly bytes: string;
  /** Stands after the closing parenthesis of CREATE TABLE. */
  readonly options: string;
}

export interface Migration {
  /** Sorted by name; never changed once released. */
  readonly name: string;
  /** One statement each, run in order in one transaction. */
  statements(types: ColumnTypes): readonly string[];
}

/** Says that it was committed, and passes on what the work gave. */
export async function committed<T>(transaction: Promise<T>, unit: UnitOfWork | undefined): Promise<T> {
  const done = await transaction;
  unit?.runAfterCommit();
  return done;
}

/** Runs a transaction's work, and then what has to be kept beside it. */
export async function withUnit<Schema, T>(
  work: (transaction: Transaction<Schema>) => Promise<T>,
  transaction: Transaction<Schema>,
  unit: UnitOfWork | undefined,
): Promise<T> {
  const done = await work(transaction);
  await unit?.runBeforeCommit(transaction);
  return done;
}
