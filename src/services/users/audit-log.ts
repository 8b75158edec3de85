/**
 * The audit log: entries of each tenant in a chain. Every entry's hash covers the one before, keyed with the installation's secret, so
 * an entry that was changed, removed or slipped in breaks the chain from there on.
 */
import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Kysely } from "kysely";
import {
  type AuditEntry as AuditEntryMessage,
  AuditEntrySchema,
  type ListAuditEntriesRequest,
  type VerifyAuditChainRequest,
} from "#gen/portico/users/v1/audit_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import { type PageSizes, pageSize } from "#rpc/resource.ts";
import type { Clock } from "#std/clock.ts";
import { parseFilter } from "#storage/filter.ts";
import { type FilterFields, toCondition } from "#storage/filter-sql.ts";
import { createPageTokens, type PageTokens } from "#storage/page-token.ts";
import type { Tables } from "#storage/storage.ts";
import type { Secrets } from "./secrets.ts";
import type { AuditRow, UsersTables } from "./tables.ts";

/** What is kept of a call. */
export type AuditRecord = Omit<AuditRow, "number" | "chain" | "request_id"> & { readonly requestId: string };

const text = (column: string) => ({ type: "text", column: `users_audit.${column}` }) as const;
const filterFields: FilterFields = {
  principal: text("principal"),
  credential: text("credential"),
  method: text("method"),
  resource: text("resource"),
  address: text("address"),
  reason: text("reason"),
  request_id: text("request_id"),
  code: { type: "number", column: "users_audit.code" },
  time: { type: "time", column: "users_audit.time" },
};
const verifyAtOnce = 500;

export class AuditLog {
  readonly #tables: Tables<UsersTables>;
  readonly #secrets: Secrets;
  readonly #tokens: PageTokens;
  readonly #pages: PageSizes | undefined;

  constructor(
    tables: Tables<UsersTables>,
    secrets: Secrets,
    about: { readonly secret: Uint8Array; readonly clock: Clock; readonly pages?: PageSizes | undefined },
  ) {
    this.#tables = tables;
    this.#secrets = secrets;
    this.#tokens = createPageTokens(about.secret, about.clock);
    this.#pages = about.pages;
  }

  /** @param transaction the one of the change; absent: one of its own. */
  async append(record: AuditRecord, transaction?: unknown): Promise<void> {
    if (transaction === undefined)
      await this.#tables.of(record.tenant).transaction((db) => this.#append(db, record));
    else await this.#append(transaction as Kysely<UsersTables>, record);
  }

  /** The latest first. */
  async list(request: ListAuditEntriesRequest, call: CallHead) {
    const size = pageSize(request.pageSize, this.#pages);
    const { tenant } = call.principal;
    const filter = parseFilter(request.filter);
    const bound = JSON.stringify(["audit", tenant, request.filter]);
    let query = this.#tables
      .of(tenant)
      .db.selectFrom("users_audit")
      .selectAll()
      .where("tenant", "=", tenant)
      .orderBy("number", "desc")
      .limit(size + 1);
    if (filter !== undefined)
      query = query.where(
        toCondition(filter, {
          engine: this.#tables.engine,
          fields: filterFields,
          anywhere: ["principal", "method", "resource"],
        }),
      );
    if (request.pageToken !== "")
      query = query.where("number", "<", Number(this.#tokens.open(request.pageToken, bound)[0]));
    const rows = await query.execute();
    const page = rows.slice(0, size);
    const last = page.at(-1);
    return {
      entries: page.map(toEntry),
      nextPageToken: rows.length > size && last !== undefined ? this.#tokens.seal([last.number], bound) : "",
    };
  }

  /** From the first entry on, or from the first of a time; up to the last, or to the last of a time. */
  async verify(request: VerifyAuditChainRequest, call: CallHead) {
    const { tenant } = call.principal;
    const from = request.from === undefined ? 0 : timestampMs(request.from);
    const to = request.to === undefined ? Number.POSITIVE_INFINITY : timestampMs(request.to);
    let before: AuditRow | undefined;
    let checked = 0;
    for (;;) {
      const rows = await this.#tables
        .of(tenant)
        .db.selectFrom("users_audit")
        .selectAll()
        .where("tenant", "=", tenant)
        .where("number", ">", before?.number ?? 0)
        .orderBy("number")
        .limit(verifyAtOnce)
        .execute();
      for (const row of rows) {
        // Entries before the time asked for are walked over: each is the proof of the next.
        if (row.time > to) return { intact: true, checked: BigInt(checked) };
        if (row.number !== (before?.number ?? 0) + 1 || row.chain !== this.#chainOf(before?.chain ?? "", row))
          return { intact: false, checked: BigInt(checked), firstBroken: `auditEntries/${row.number}` };
        if (row.time >= from) checked += 1;
        before = row;
      }
      if (rows.length < verifyAtOnce) break;
    }
    const head = await this.#tables
      .of(tenant)
      .db.selectFrom("users_audit_heads")
      .selectAll()
      .where("tenant", "=", tenant)
      .executeTakeFirst();
    const whole =
      (head?.number ?? 0) === (before?.number ?? 0) && (head?.chain ?? "") === (before?.chain ?? "");
    return whole
      ? { intact: true, checked: BigInt(checked) }
      : { intact: false, checked: BigInt(checked), firstBroken: `auditEntries/${(before?.number ?? 0) + 1}` };
  }

  async #append(db: Kysely<UsersTables>, record: AuditRecord): Promise<void> {
    const { requestId, ...columns } = record;
    const { tenant } = record;
    await db
      .insertInto("users_audit_heads")
      .values({ tenant, number: 0, chain: "" })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    const query = db.selectFrom("users_audit_heads").selectAll().where("tenant", "=", tenant);
    const head = await (this.#tables.engine === "postgres"
      ? query.forUpdate()
      : query
    ).executeTakeFirstOrThrow();
    const row: AuditRow = { ...columns, request_id: requestId, number: head.number + 1, chain: "" };
    row.chain = this.#chainOf(head.chain, row);
    await db.insertInto("users_audit").values(row).execute();
    await db
      .updateTable("users_audit_heads")
      .set({ number: row.number, chain: row.chain })
      .where("tenant", "=", tenant)
      .execute();
  }

  #chainOf(before: string, row: AuditRow): string {
    const entry = JSON.stringify([
      ...[row.tenant, row.number, row.time, row.principal, row.credential, row.method, row.resource],
      ...[row.protocol, row.address, row.code, row.reason, row.request, row.request_id],
    ]);
    return this.#secrets.link(before, entry);
  }
}

function toEntry(row: AuditRow): AuditEntryMessage {
  return create(AuditEntrySchema, {
    name: `auditEntries/${row.number}`,
    time: timestampFromMs(row.time),
    principal: row.principal,
    credential: row.credential,
    method: row.method,
    resource: row.resource,
    protocol: row.protocol,
    address: row.address,
    code: row.code,
    reason: row.reason,
    request: JSON.parse(row.request),
    requestId: row.request_id,
    chain: row.chain,
  });
}
