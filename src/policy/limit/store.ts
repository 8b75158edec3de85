/** What the processes of an installation let pass, in the PostgreSQL that they share. The clock is the database's, so theirs may differ. */
import { hash } from "node:crypto";
import { type RawBuilder, sql } from "kysely";
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
  {
    name: "policy_0003_limit_grants",
    // What the last message was granted: no other way to learn it from the statement that grants.
    statements: ({ integer }) => [
      `ALTER TABLE policy_limits ADD COLUMN granted ${integer} NOT NULL DEFAULT 0`,
    ],
  },
];

interface LimitTables {
  readonly policy_limits: { key: string; full_at: number; granted: number };
}

const purgeEveryMs = 600_000;
/** Of the whole statement: it may wait for rows that others change meanwhile, and what it answers is counted from one time. */
const statementTime = sql<number>`(extract(epoch from statement_timestamp()) * 1000)::bigint`;
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
    spend: async (entries, { burst, intervalMs }) => {
      // In one order everywhere: two processes that tell the same keys at once wait for each other and never in a circle.
      const sorted = entries
        .map((entry) => ({ ...entry, key: idOf(entry.key) }))
        .sort((a, b) => (a.key < b.key ? -1 : 1));
      const list = sql.join(
        sorted.map(({ key, spent, wanted }) => sql`(${key}::text, ${spent}::float8, ${wanted}::float8)`),
      );
      const interval = sql`${intervalMs}::float8`;
      /** Whole calls that a bucket has room for of which so much is used; the small part is what rounding may take of one. */
      const room = (usedMs: RawBuilder<unknown>) =>
        sql`greatest(0, floor(${burst}::float8 - greatest(${usedMs}, 0) / ${interval} + 0.001))`;
      // A new row is as if the bucket had been full: what it grants is no less than what an older one would.
      const spentMs = sql`(excluded.full_at - ${statementTime} - excluded.granted * ${interval})`;
      const usedMs = sql`greatest(greatest(known.full_at - ${statementTime}, 0) + ${spentMs}, 0)`;
      const granted = sql`least(excluded.granted, ${room(usedMs)})`;
      const { rows } = await sql<{ key: string; granted: number; left: number }>`
        INSERT INTO policy_limits AS known (key, full_at, granted)
        SELECT key, ${statementTime} + round((spent + granted) * ${interval}), granted FROM (
          SELECT key, spent, least(wanted, ${room(sql`spent * ${interval}`)}) AS granted
          FROM (VALUES ${list}) AS told (key, spent, wanted)
        ) AS fresh
        ON CONFLICT (key) DO UPDATE SET
          full_at = ${statementTime} + round(${usedMs} + ${granted} * ${interval}),
          granted = ${granted}
        RETURNING key, granted, full_at - ${statementTime} AS left`.execute(tables.db);
      const answers = new Map(rows.map((row) => [row.key, row]));
      return entries.map(({ key }) => {
        const { granted: given = 0, left = 0 } = answers.get(idOf(key)) ?? {};
        return { granted: Number(given), fullInMs: Math.max(0, Number(left)) };
      });
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
