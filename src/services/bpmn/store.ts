/**
 * Rows of BPMN documents. A store belongs to one tenant and cannot see another's rows: every statement names the tenant, and
 * the tenant is given once, when the store is made.
 */
import { type Kysely, sql } from "kysely";
import type { Engine, PreparedRead, Tables } from "#storage/storage.ts";
import type { ListQuery } from "./list-query.ts";
import {
  type BpmnTables,
  type DocumentColumns,
  type DocumentRow,
  type RevisionRow,
  toColumns,
  toDocumentRow,
  toRevisionRow,
} from "./tables.ts";

/** Content is kept in pieces of this size: a download reads one at a time. */
export const chunkBytes = 262_144;
/** A total is counted no further than this. */
export const maxTotal = 10_000;

/** Reads that many calls make: compiled once, whatever the tenant. */
export interface BpmnReads {
  readonly document: PreparedRead<DocumentColumns>;
  readonly stamp: PreparedRead<{ readonly stamp: string }>;
  readonly chunk: PreparedRead<{ readonly bytes: Uint8Array }>;
}

export function prepareReads(tables: Tables<BpmnTables>): BpmnReads {
  return {
    document: tables.prepare(
      (db, parameter) =>
        db
          .selectFrom("bpmn_documents")
          .selectAll()
          .where("tenant", "=", parameter<string>(0))
          .where("id", "=", parameter<string>(1)),
      "tenant",
    ),
    stamp: tables.prepare(
      (db, parameter) =>
        db
          .selectFrom("bpmn_documents")
          .select(sql<string>`uid || version`.as("stamp"))
          .where("tenant", "=", parameter<string>(0))
          .where("id", "=", parameter<string>(1)),
      "tenant",
    ),
    chunk: tables.prepare(
      (db, parameter) =>
        db
          .selectFrom("bpmn_contents")
          .select("bytes")
          .where("tenant", "=", parameter<string>(0))
          .where("digest", "=", parameter<string>(1))
          .where("part", "=", parameter<number>(2)),
      "tenant",
    ),
  };
}

export class BpmnStore {
  readonly #db: Kysely<BpmnTables>;
  readonly #engine: Engine;
  readonly #tenant: string;

  /** @param db outside a transaction or inside one: the store does not care. */
  constructor(db: Kysely<BpmnTables>, engine: Engine, tenant: string) {
    this.#db = db;
    this.#engine = engine;
    this.#tenant = tenant;
  }

  async find(id: string): Promise<DocumentRow | undefined> {
    const row = await this.#documents().selectAll().where("id", "=", id).executeTakeFirst();
    return row === undefined ? undefined : toDocumentRow(row);
  }

  /** Like `find`, and nobody else changes the row until the transaction ends. */
  async lock(id: string): Promise<DocumentRow | undefined> {
    const query = this.#documents().selectAll().where("id", "=", id);
    // SQLite has one writer at a time, and no word for it.
    const row = await (this.#engine === "postgres" ? query.forUpdate() : query).executeTakeFirst();
    return row === undefined ? undefined : toDocumentRow(row);
  }

  /** In the order asked for. */
  async findMany(ids: readonly string[]): Promise<Map<string, DocumentRow>> {
    const rows = await this.#documents()
      .selectAll()
      .where("id", "in", [...ids])
      .execute();
    return new Map(rows.map((row) => [row.id, toDocumentRow(row)]));
  }

  async list(
    query: ListQuery,
    after: readonly (string | number)[],
    limit: number,
  ): Promise<DocumentColumns[]> {
    let select = this.#matching(query).selectAll().orderBy(query.order.clause).limit(limit);
    if (after.length > 0) select = select.where(query.order.after(after));
    return await select.execute();
  }

  /** At most `maxTotal`. */
  async count(query: ListQuery): Promise<number> {
    const { total } = await this.#db
      .selectFrom(this.#matching(query).select("id").limit(maxTotal).as("matching"))
      .select(({ fn }) => fn.countAll<number>().as("total"))
      .executeTakeFirstOrThrow();
    return total;
  }

  /** Another living document with the same content. */
  async findTwin(digest: string, id: string): Promise<string | undefined> {
    const row = await this.#documents()
      .select("id")
      .where("digest", "=", digest)
      .where("id", "<>", id)
      .where("deleted_at", "is", null)
      .orderBy("id")
      .limit(1)
      .executeTakeFirst();
    return row?.id;
  }

  /** False when the id is taken. */
  async insert(row: DocumentRow): Promise<boolean> {
    const { numInsertedOrUpdatedRows } = await this.#db
      .insertInto("bpmn_documents")
      .values(toColumns(this.#tenant, row))
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirstOrThrow();
    if (numInsertedOrUpdatedRows === 0n) return false;
    await this.#index(row);
    return true;
  }

  /** @param reindex the content is another one. */
  async save(row: DocumentRow, reindex: boolean): Promise<void> {
    const { tenant: _tenant, id: _id, uid: _uid, ...columns } = toColumns(this.#tenant, row);
    await this.#db
      .updateTable("bpmn_documents")
      .set(columns)
      .where("tenant", "=", this.#tenant)
      .where("id", "=", row.id)
      .execute();
    if (!reindex) return;
    await this.#unindex(row.id);
    await this.#index(row);
  }

  async addRevision(row: DocumentRow, comment: string): Promise<void> {
    await this.#db
      .insertInto("bpmn_revisions")
      .values({
        tenant: this.#tenant,
        document: row.id,
        revision: row.revision,
        snapshot: JSON.stringify(row),
        digest: row.digest,
        creator: row.editor,
        comment,
        created_at: row.updatedAt,
      })
      .execute();
  }

  async findRevision(id: string, revision: number): Promise<RevisionRow | undefined> {
    const row = await this.#revisions(id).where("revision", "=", revision).executeTakeFirst();
    return row === undefined ? undefined : toRevisionRow(row);
  }

  /** Newest first, older than `before`. */
  async listRevisions(id: string, before: number, limit: number): Promise<RevisionRow[]> {
    const rows = await this.#revisions(id)
      .where("revision", "<", before)
      .orderBy("revision", "desc")
      .limit(limit)
      .execute();
    return rows.map(toRevisionRow);
  }

  /** Content is the same for the same digest: what is there already stays. */
  async saveContent(digest: string, content: Uint8Array): Promise<void> {
    for (let part = 0, at = 0; at < content.length; part += 1, at += chunkBytes) {
      await this.#db
        .insertInto("bpmn_contents")
        .values({ tenant: this.#tenant, digest, part, bytes: content.subarray(at, at + chunkBytes) })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    }
  }

  async readChunk(digest: string, part: number): Promise<Uint8Array | undefined> {
    const row = await this.#db
      .selectFrom("bpmn_contents")
      .select("bytes")
      .where("tenant", "=", this.#tenant)
      .where("digest", "=", digest)
      .where("part", "=", part)
      .executeTakeFirst();
    return row?.bytes;
  }

  async readContent(digest: string, size: number): Promise<Uint8Array> {
    const first = (await this.readChunk(digest, 0)) ?? new Uint8Array(0);
    if (first.length === size) return first;
    const whole = new Uint8Array(size);
    whole.set(first);
    for (let part = 1; part * chunkBytes < size; part += 1)
      whole.set((await this.readChunk(digest, part)) ?? new Uint8Array(0), part * chunkBytes);
    return whole;
  }

  #documents() {
    return this.#db.selectFrom("bpmn_documents").where("tenant", "=", this.#tenant);
  }

  #matching(query: ListQuery) {
    let select = this.#documents();
    if (!query.showDeleted) select = select.where("deleted_at", "is", null);
    return query.condition === undefined ? select : select.where(query.condition);
  }

  #revisions(id: string) {
    return this.#db
      .selectFrom("bpmn_revisions")
      .selectAll()
      .where("tenant", "=", this.#tenant)
      .where("document", "=", id);
  }

  async #index(row: DocumentRow): Promise<void> {
    const base = { tenant: this.#tenant, document: row.id };
    for (const process of row.summary.processes)
      await this.#db
        .insertInto("bpmn_processes")
        .values({
          ...base,
          id: process.id,
          display_name: process.displayName,
          executable: process.executable ? 1 : 0,
        })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    for (const binding of row.summary.taskBindings)
      await this.#db
        .insertInto("bpmn_bindings")
        .values({ ...base, binding })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
  }

  async #unindex(id: string): Promise<void> {
    for (const table of ["bpmn_processes", "bpmn_bindings"] as const)
      await this.#db
        .deleteFrom(table)
        .where("tenant", "=", this.#tenant)
        .where("document", "=", id)
        .execute();
  }
}

/** Rows of one purge run: bounded, so that it never holds up calls for long. */
const purgeBatch = 100;

/** Removes documents deleted before `deletedBefore` with their revisions, and content nobody refers to. Returns how many. */
export function purge(tables: Tables<BpmnTables>, deletedBefore: number): Promise<number> {
  return tables.transaction(async (db) => {
    const rows = await db
      .selectFrom("bpmn_documents")
      .select(["tenant", "id"])
      .where("deleted_at", "<", deletedBefore)
      .limit(purgeBatch)
      .execute();
    for (const { tenant, id } of rows) await remove(db, tenant, id);
    return rows.length;
  });
}

async function remove(db: Kysely<BpmnTables>, tenant: string, id: string): Promise<void> {
  const digests = await db
    .selectFrom("bpmn_revisions")
    .select("digest")
    .distinct()
    .where("tenant", "=", tenant)
    .where("document", "=", id)
    .execute();
  await db.deleteFrom("bpmn_documents").where("tenant", "=", tenant).where("id", "=", id).execute();
  for (const table of ["bpmn_revisions", "bpmn_processes", "bpmn_bindings"] as const)
    await db.deleteFrom(table).where("tenant", "=", tenant).where("document", "=", id).execute();
  for (const { digest } of digests)
    await db
      .deleteFrom("bpmn_contents")
      .where("tenant", "=", tenant)
      .where("digest", "=", digest)
      .where(({ not, exists, selectFrom }) =>
        not(
          exists(
            selectFrom("bpmn_revisions")
              .select("digest")
              .where("tenant", "=", tenant)
              .where("digest", "=", digest),
          ),
        ),
      )
      .execute();
}
