/** What the processes of an installation let pass, in the PostgreSQL that they share. The clock is the database's, so theirs may differ. */
import { hash } from "node:crypto";
import { sql } from "kysely";
import type { LimitStore } from "#std/shared-limiter.ts";
import type { Migration, Storage, Tables } from "#storage/storage.ts";

export const limitMigrations: readonly Migration[] = [
  {
    name: "policy_0002_limits",
    statements: ({ text, integer, options }) => [
      `CREATE TABLE policy_limits (key ${text} NOT NULL PRIMARY KEY, full_at ${integer} NOT NULL)${options}`,
      "CREATE INDEX policy_limits_full_at ON policy_limits (full_at)",
    ],
  },
];

interface LimitTables {
  readonly policy_limits: { key: string; full_at: number };
}

const purgeEveryMs = 600_000;
const databaseNow = sql<number>`(extract(epoch from clock_timestamp()) * 1000)::bigint`;

export interface LimitStoreHost {
  /** Undefined: one process has this database to itself, and its own count is the whole truth. */
  readonly store: LimitStore | undefined;
  close(): Promise<void>;
}

export function createLimitStore(storage: Storage): LimitStoreHost {
  if (storage.engine !== "postgres") return { store: undefined, close: async () => undefined };
  const tables = storage.tables<LimitTables>();
  let purging: Promise<unknown> = Promise.resolve();
  const timer = setInterval(() => {
    const full = tables.db.deleteFrom("policy_limits").where("full_at", "<", databaseNow);
    // A database that is away now is asked again in ten minutes.
    purging = full.execute().catch(() => undefined);
  }, purgeEveryMs).unref();
  return {
    store: sharedIn(tables),
    close: async () => {
      clearInterval(timer);
      await purging;
    },
  };
}

function sharedIn(tables: Tables<LimitTables>): LimitStore {
  return {
    spend: async (entries) => {
      // In one order everywhere: two processes that tell the same keys at once wait for each other and never in a circle.
      const sorted = entries
        .map((entry) => ({ ...entry, key: idOf(entry.key) }))
        .sort((a, b) => (a.key < b.key ? -1 : 1));
      const list = sql.join(
        sorted.map(
          ({ key, spentMs, burstMs }) => sql`(${key}::text, ${spentMs}::float8, ${burstMs}::float8)`,
        ),
      );
      const { rows } = await sql<{ key: string; left: number }>`
        INSERT INTO policy_limits AS known (key, full_at)
        SELECT key, ${databaseNow} + least(spent, burst)::bigint FROM (VALUES ${list}) AS told (key, spent, burst)
        ON CONFLICT (key) DO UPDATE SET full_at =
          greatest(known.full_at, ${databaseNow}) + (excluded.full_at - ${databaseNow})
        RETURNING key, full_at - ${databaseNow} AS left`.execute(tables.db);
      const left = new Map(rows.map((row) => [row.key, Number(row.left)]));
      return entries.map(({ key, burstMs }) => Math.min(Math.max(0, left.get(idOf(key)) ?? 0), burstMs));
    },
    clear: async (key) => {
      await tables.db.deleteFrom("policy_limits").where("key", "=", idOf(key)).execute();
    },
  };
}

/** Of one size, whatever it is made of; addresses and e-mails are nobody's business there. */
function idOf(key: string): string {
  return hash("sha256", key, "base64url");
}
