/** The log, page by page: only what its reader may see. */
import { type SqlBool, sql } from "kysely";
import type { ListEventsRequest } from "#gen/portico/events/v1/events_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import { type PageSizes, pageSize } from "#rpc/resource.ts";
import type { Clock } from "#std/clock.ts";
import { parseFilter } from "#storage/filter.ts";
import { type FilterFields, toCondition } from "#storage/filter-sql.ts";
import { createPageTokens, type PageTokens } from "#storage/page-token.ts";
import type { Tables } from "#storage/storage.ts";
import { readCursor } from "./cursor.ts";
import type { Log } from "./log.ts";
import { toEvent } from "./model.ts";
import type { EventsTables } from "./tables.ts";
import type { Topics } from "./topics.ts";

export interface ListsOptions {
  readonly tables: Tables<EventsTables>;
  readonly topics: Topics;
  readonly log: Log;
  readonly clock: Clock;
  readonly pages?: PageSizes | undefined;
  readonly secret: Uint8Array;
}

const text = (column: string) => ({ type: "text", column: `events_log.${column}` }) as const;
const filterFields: FilterFields = {
  type: text("type"),
  subject: text("subject"),
  topic: text("subject"),
  principal: text("principal"),
  time: { type: "time", column: "events_log.time" },
};

export class Lists {
  readonly #options: ListsOptions;
  readonly #tokens: PageTokens;

  constructor(options: ListsOptions) {
    this.#options = options;
    this.#tokens = createPageTokens(options.secret, options.clock);
  }

  /** The oldest first. @param from number of an event: those up to it are known not to be in the list. Default: nothing is known. */
  async list(request: ListEventsRequest, call: CallHead, from = 0) {
    const { tables } = this.#options;
    const { tenant } = call.principal;
    const size = pageSize(request.pageSize, this.#options.pages);
    const filter = parseFilter(request.filter);
    const bound = JSON.stringify(["events", tenant, call.principal.name, request.filter, request.after]);
    const after =
      request.pageToken === ""
        ? await this.#start(request, tenant)
        : Number(this.#tokens.open(request.pageToken, bound)[0]);
    let query = tables
      .of(tenant)
      .db.selectFrom("events_log")
      .selectAll()
      .where("tenant", "=", tenant)
      .where("number", ">", Math.max(after, from))
      .where(this.#visible(call))
      .orderBy("number")
      .limit(size + 1);
    if (filter !== undefined)
      query = query.where(
        toCondition(filter, {
          ...{ engine: tables.engine, fields: filterFields, anywhere: ["type", "subject", "principal"] },
        }),
      );
    const rows = await query.execute();
    const page = rows.slice(0, size);
    const last = page.at(-1);
    return {
      events: page.map(toEvent),
      nextPageToken: rows.length > size && last !== undefined ? this.#tokens.seal([last.number], bound) : "",
    };
  }

  /** @throws RpcError CURSOR_INVALID, CURSOR_EXPIRED. */
  async #start(request: ListEventsRequest, tenant: string): Promise<number> {
    if (request.after === "") return 0;
    const { log } = this.#options;
    const head = await log.head(tenant);
    const after = readCursor(request.after, head, "after");
    const oldest = (await log.oldest(tenant)) ?? head + 1;
    if (after > 0 && after + 1 < oldest)
      throw new RpcError("out_of_range", {
        reason: "CURSOR_EXPIRED",
        message: "after: events after this cursor are gone; read what you follow anew, and go on without it",
        metadata: { field: "after" },
      });
    return after;
  }

  #visible(call: CallHead) {
    const { kinds, own } = this.#options.topics.visible(call.principal);
    const conditions = kinds.map((kind) => sql<SqlBool>`events_log.subject LIKE ${`${kind}/%`}`);
    if (own !== undefined) conditions.push(sql<SqlBool>`events_log.subject = ${own}`);
    return conditions.length === 0 ? sql<SqlBool>`1 = 0` : sql<SqlBool>`(${sql.join(conditions, sql` OR `)})`;
  }
}
