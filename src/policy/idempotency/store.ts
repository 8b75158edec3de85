/** Claims in the database: shared by all processes, kept for a day. */
import type { Kysely } from "kysely";
import type { Clock } from "#std/clock.ts";
import { type Migration, rowSecurity, type Storage, type Tables } from "#storage/storage.ts";
import type { Claim, IdempotencyStore, Standing } from "./idempotency.ts";

export const migrations: readonly Migration[] = [
  {
    name: "policy_0001_idempotency",
    statements: ({ text, integer, bytes, options }) => [
      `CREATE TABLE policy_idempotency (
        id ${text} NOT NULL PRIMARY KEY, digest ${text} NOT NULL, state ${text} NOT NULL, answer ${bytes},
        claimed_at ${integer} NOT NULL)${options}`,
      "CREATE INDEX policy_idempotency_claimed ON policy_idempotency (claimed_at)",
    ],
  },
  {
    // A claim is settled in the transaction of the change.
    name: "policy_0003_row_security",
    statements: (types) => rowSecurity(types, [], ["policy_idempotency"]),
  },
];

interface IdempotencyTables {
  readonly policy_idempotency: {
    id: string;
    digest: string;
    /** running: claimed; settled: its change is committed; done, failed: its answer is there. */
    state: "running" | "settled" | "done" | "failed";
    answer: Uint8Array | null;
    claimed_at: number;
  };
}

const keptMs = 24 * 3600 * 1000;
/** Longer than any call may take: a claim of a process that died is taken over. */
const abandonedMs = 330_000;
const purgeEveryMs = 3600 * 1000;

export interface IdempotencyHost {
  readonly store: IdempotencyStore;
  close(): Promise<void>;
}

export function createIdempotencyStore(storage: Storage, clock: Clock): IdempotencyHost {
  const store = new StoredClaims(storage.tables<IdempotencyTables>(), clock);
  let purging: Promise<unknown> = Promise.resolve();
  const timer = setInterval(() => {
    // A database that is away now is asked again in an hour.
    purging = store.purge().catch(() => undefined);
  }, purgeEveryMs).unref();
  return {
    store,
    close: async () => {
      clearInterval(timer);
      await purging;
    },
  };
}

class StoredClaims implements IdempotencyStore {
  readonly #tables: Tables<IdempotencyTables>;
  readonly #clock: Clock;

  constructor(tables: Tables<IdempotencyTables>, clock: Clock) {
    this.#tables = tables;
    this.#clock = clock;
  }

  async claim({ id, digest }: Claim): Promise<Standing> {
    const now = this.#clock.now();
    const { numInsertedOrUpdatedRows } = await this.#tables.db
      .insertInto("policy_idempotency")
      .values({ id, digest, state: "running", answer: null, claimed_at: now })
      .onConflict((conflict) =>
        conflict
          .column("id")
          .doUpdateSet({ digest, state: "running", answer: null, claimed_at: now })
          // Only what is over, or was left behind: one statement, so that one of many claims it.
          .where(({ eb, or, and }) =>
            or([
              eb("policy_idempotency.claimed_at", "<=", now - keptMs),
              and([
                eb("policy_idempotency.state", "=", "running"),
                eb("policy_idempotency.claimed_at", "<=", now - abandonedMs),
              ]),
            ]),
          ),
      )
      .executeTakeFirstOrThrow();
    if (numInsertedOrUpdatedRows !== 0n) return { kind: "claimed" };
    const row = await this.#tables.db
      .selectFrom("policy_idempotency")
      .selectAll()
      .where("id", "=", id)
      .executeTakeFirst();
    // Released between the two statements: it is asked for again.
    if (row === undefined) return { kind: "running" };
    if (row.digest !== digest) return { kind: "different" };
    if (row.state === "running") return { kind: "running" };
    if (row.state === "settled") return { kind: "settled" };
    return row.answer === null
      ? { kind: "unanswered" }
      : { kind: "answered", answer: row.answer, failed: row.state === "failed" };
  }

  async settle(id: string, transaction: unknown): Promise<void> {
    await (transaction as Kysely<IdempotencyTables>)
      .updateTable("policy_idempotency")
      .set({ state: "settled" })
      .where("id", "=", id)
      .execute();
  }

  async answer(id: string, answer: { readonly bytes: Uint8Array | undefined; readonly failed: boolean }) {
    await this.#tables.db
      .updateTable("policy_idempotency")
      .set({ state: answer.failed ? "failed" : "done", answer: answer.bytes ?? null })
      .where("id", "=", id)
      .execute();
  }

  async release(id: string): Promise<void> {
    await this.#tables.db
      .deleteFrom("policy_idempotency")
      .where("id", "=", id)
      .where("state", "=", "running")
      .execute();
  }

  async purge(): Promise<void> {
    await this.#tables.db
      .deleteFrom("policy_idempotency")
      .where("claimed_at", "<=", this.#clock.now() - keptMs)
      .execute();
  }
}
