/**
 * Forward migrations, by Kysely's migrator: under a lock, so that processes which start together take turns, and in one
 * transaction, so that a failure leaves the schema as it was.
 */
import { type QueryExecutorProvider, sql } from "kysely";
import { Migrator } from "kysely/migration";
import type { ColumnTypes, Engine, Migration, Storage } from "./shape.ts";

const columnTypes: Readonly<Record<Engine, ColumnTypes>> = {
  sqlite: { engine: "sqlite", text: "TEXT", integer: "INTEGER", bytes: "BLOB", options: " STRICT" },
  postgres: { engine: "postgres", text: 'TEXT COLLATE "C"', integer: "BIGINT", bytes: "BYTEA", options: "" },
};

/** @throws Error naming the place and what to do: a newer schema, a migration that failed, or one that is not wanted. */
export async function migrate(
  storage: Storage,
  options: { readonly migrations: readonly Migration[]; readonly autoMigrate?: boolean | undefined },
): Promise<void> {
  const { db } = storage.tables<unknown>();
  const types = columnTypes[storage.engine];
  const migrator = new Migrator({
    db,
    // Areas number their own: what one adds may sort before what another has run already.
    allowUnorderedMigrations: true,
    migrationTableName: "portico_migrations",
    migrationLockTableName: "portico_migration_lock",
    provider: { getMigrations: async () => Object.fromEntries(options.migrations.map(toKysely(types))) },
  });
  if (storage.engine === "postgres" && options.autoMigrate === false) {
    const open = (await migrator.getMigrations()).filter(({ executedAt }) => executedAt === undefined);
    if (open.length === 0) return;
    throw new Error(
      `${storage.place} lacks ${open.map(({ name }) => name).join(", ")} and PORTICO_AUTO_MIGRATE is false; start one process with PORTICO_AUTO_MIGRATE=true`,
    );
  }
  const { error, results } = await migrator.migrateToLatest();
  if (error === undefined) return;
  const failed = results?.find(({ status }) => status === "Error");
  const text = error instanceof Error ? error.message : String(error);
  throw new Error(
    failed === undefined && /missing|corrupted/.test(text)
      ? `${storage.place} was written by a newer version of this program (${text}); start that version`
      : `${storage.place}: the migration ${failed?.migrationName ?? ""} failed (${text}); nothing was changed`,
    { cause: error },
  );
}

function toKysely(types: ColumnTypes) {
  return ({ name, statements }: Migration) =>
    [
      name,
      {
        up: async (db: QueryExecutorProvider) => {
          for (const statement of statements(types)) await sql.raw(statement).execute(db);
        },
      },
    ] as const;
}
