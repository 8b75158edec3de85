/**
 * The log: one row an event, numbered without gaps in the order of the commits.
 *
 * The number comes from a row of the tenant that the transaction keeps until it commits. So whoever has seen number n has seen all before
 * it: no event becomes visible behind a reader's cursor.
 */
import type { Kysely } from "kysely";
import type { DomainEvent, EventCaller, EventLog } from "#rpc/event.ts";
import type { Clock } from "#std/clock.ts";
import { ulid } from "#std/ulid.ts";
import type { Tables } from "#storage/storage.ts";
import type { EventRow, EventsTables } from "./tables.ts";

export interface LogOptions {
  readonly tables: Tables<EventsTables>;
  readonly clock: Clock;
  /** A tenant has new events, and they can be read. */
  written(tenant: string): void;
}

export class Log implements EventLog {
  readonly #options: LogOptions;

  constructor(options: LogOptions) {
    this.#options = options;
  }

  record(event: DomainEvent, call: EventCaller): void {
    const { tenant } = call.principal;
    call.beforeCommit((transaction) => this.#append(transaction as Kysely<EventsTables>, event, call));
    call.afterCommit(() => this.#options.written(tenant));
  }

  async #append(db: Kysely<EventsTables>, event: DomainEvent, call: EventCaller): Promise<void> {
    const { tenant, name } = call.principal;
    const number = await nextNumber(db, tenant);
    const now = this.#options.clock.now();
    await db
      .insertInto("events_log")
      .values({
        ...{ tenant, number, id: `evt-${ulid(now)}`, time: now, principal: name },
        ...{ type: `portico.${event.type}.v1`, subject: event.subject, etag: event.etag ?? "" },
        ...{ data: JSON.stringify(event.data), request_id: call.id ?? "" },
      })
      .execute();
  }

  /** Of the last event of a tenant; 0: there is none. */
  async head(tenant: string): Promise<number> {
    const row = await this.#options.tables
      .of(tenant)
      .db.selectFrom("events_heads")
      .select("number")
      .where("tenant", "=", tenant)
      .executeTakeFirst();
    return row?.number ?? 0;
  }

  /** Of the oldest event that is kept; undefined: none is. */
  async oldest(tenant: string): Promise<number | undefined> {
    const row = await this.#options.tables
      .of(tenant)
      .db.selectFrom("events_log")
      .select("number")
      .where("tenant", "=", tenant)
      .orderBy("number")
      .limit(1)
      .executeTakeFirst();
    return row?.number;
  }

  /** In order. */
  async read(tenant: string, after: number, limit: number): Promise<EventRow[]> {
    return await this.#options.tables
      .of(tenant)
      .db.selectFrom("events_log")
      .selectAll()
      .where("tenant", "=", tenant)
      .where("number", ">", after)
      .orderBy("number")
      .limit(limit)
      .execute();
  }

  /** @returns how many events were forgotten. */
  async purge(before: number): Promise<number> {
    const [done] = await this.#options.tables.db
      .deleteFrom("events_log")
      .where("time", "<", before)
      .execute();
    return Number(done?.numDeletedRows ?? 0);
  }
}

async function nextNumber(db: Kysely<EventsTables>, tenant: string): Promise<number> {
  const row = await db
    .insertInto("events_heads")
    .values({ tenant, number: 1 })
    .onConflict((conflict) =>
      conflict.column("tenant").doUpdateSet((eb) => ({ number: eb("events_heads.number", "+", 1) })),
    )
    .returning("number")
    .executeTakeFirstOrThrow();
  return row.number;
}
