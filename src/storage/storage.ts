/**
 * Rows and transactions: Kysely over two engines, SQLite embedded in the process (the default) and PostgreSQL.
 *
 * Promises the same behaviour on both: transactions that are all or nothing, commits that are on disk when they return,
 * text compared byte by byte, integers as numbers, bytes as Uint8Array. What a request reads most is compiled once and run
 * on a prepared statement (`prepare`). Knows no domain words and no tenants: the stores of the services do.
 */
import { migrate } from "./migrate.ts";
import type { PostgresLimits } from "./postgres.ts";
import type { Migration, Storage, StoreObserver } from "./shape.ts";
import { openSqlite } from "./sqlite.ts";

export { rowSecurity } from "./row-security.ts";
export type {
  ColumnTypes,
  Engine,
  Migration,
  Parameter,
  Pool,
  PreparedRead,
  Storage,
  StoreObserver,
  Tables,
} from "./shape.ts";

export interface StorageOptions {
  /** `sqlite:PATH` (relative to the working directory; folders are made), `memory:`, or `postgres://…`. */
  readonly url: string;
  readonly migrations: readonly Migration[];
  /** PostgreSQL only: false refuses to start on a schema that is not current. Default true. */
  readonly autoMigrate?: boolean;
  /** Absent: nobody asks how long anything takes. */
  readonly observer?: StoreObserver;
  /** PostgreSQL only. */
  readonly limits?: Partial<PostgresLimits>;
}

/** @throws Error with the place, the reason and the remedy; never with a password. */
export async function openStorage(options: StorageOptions): Promise<Storage> {
  const storage = options.url.startsWith("postgres")
    ? (await import("./postgres.ts")).openPostgres(options.url, options)
    : openSqlite(options.url, options.observer);
  try {
    await storage.ping();
    await migrate(storage, options);
  } catch (error) {
    await storage.close();
    throw error;
  }
  return storage;
}
