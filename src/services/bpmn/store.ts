/**
 * Rows of BPMN documents. A store belongs to one tenant and cannot see another's rows: every statement names the tenant, and
 * the tenant is given once, when the store is made.
 */
import type { Row, Storage } from "#storage/storage.ts";
import type { Summary } from "./analyze.ts";

export interface DocumentRow {
  readonly id: string;
  readonly uid: string;
  readonly revision: number;
  /** Counts every change; the etag is made of it. */
  readonly version: number;
  readonly displayName: string;
  readonly description: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly digest: string;
  readonly size: number;
  readonly summary: Summary;
  readonly creator: string;
  readonly editor: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly deletedAt: number | undefined;
}

export interface RevisionRow {
  readonly revision: number;
  readonly snapshot: DocumentRow;
  readonly creator: string;
  readonly comment: string;
  readonly createdAt: number;
}

/** Content is kept in pieces of this size: a download reads one at a time. */
export const chunkBytes = 262_144;

export class BpmnStore {
  readonly #storage: Storage;
  readonly #tenant: string;

  constructor(storage: Storage, tenant: string) {
    this.#storage = storage;
    this.#tenant = tenant;
  }

  transaction<T>(work: () => T): T {
    return this.#storage.transaction(work);
  }

  find(id: string): DocumentRow | undefined {
    const row = this.#storage.get(
      "SELECT * FROM bpmn_documents WHERE tenant = ? AND id = ?",
      this.#tenant,
      id,
    );
    return row === undefined ? undefined : toDocument(row);
  }

  /** Changes with every change of the document: what a reader compares before it uses something it kept. */
  findStamp(id: string): string | undefined {
    const row = this.#storage.get(
      "SELECT uid || version AS stamp FROM bpmn_documents WHERE tenant = ? AND id = ?",
      this.#tenant,
      id,
    );
    return row === undefined ? undefined : (row.stamp as string);
  }

  /** In order of id, after `after`. */
  list(after: string, limit: number, showDeleted: boolean): DocumentRow[] {
    const sql =
      "SELECT * FROM bpmn_documents WHERE tenant = ? AND id > ? AND (deleted_at IS NULL OR ?) ORDER BY id LIMIT ?";
    return this.#storage.all(sql, this.#tenant, after, showDeleted ? 1 : 0, limit).map(toDocument);
  }

  /** Another living document with the same content. */
  findTwin(digest: string, id: string): string | undefined {
    const sql =
      "SELECT id FROM bpmn_documents WHERE tenant = ? AND digest = ? AND id <> ? AND deleted_at IS NULL ORDER BY id LIMIT 1";
    const row = this.#storage.get(sql, this.#tenant, digest, id);
    return row === undefined ? undefined : String(row.id);
  }

  save(row: DocumentRow): void {
    this.#storage.run(
      `INSERT OR REPLACE INTO bpmn_documents (tenant, id, uid, revision, version, display_name, description, labels, digest, size,
       metadata, creator, editor, created_at, updated_at, deleted_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...[
        this.#tenant,
        row.id,
        row.uid,
        row.revision,
        row.version,
        row.displayName,
        row.description,
        JSON.stringify(row.labels),
      ],
      ...[
        row.digest,
        row.size,
        JSON.stringify(row.summary),
        row.creator,
        row.editor,
        row.createdAt,
        row.updatedAt,
        row.deletedAt ?? null,
      ],
    );
  }

  addRevision(row: DocumentRow, comment: string): void {
    this.#storage.run(
      "INSERT INTO bpmn_revisions (tenant, document, revision, snapshot, digest, creator, comment, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      ...[
        this.#tenant,
        row.id,
        row.revision,
        JSON.stringify(row),
        row.digest,
        row.editor,
        comment,
        row.updatedAt,
      ],
    );
  }

  findRevision(id: string, revision: number): RevisionRow | undefined {
    const row = this.#storage.get(
      "SELECT * FROM bpmn_revisions WHERE tenant = ? AND document = ? AND revision = ?",
      this.#tenant,
      id,
      revision,
    );
    return row === undefined ? undefined : toRevision(row);
  }

  /** Newest first, older than `before`. */
  listRevisions(id: string, before: number, limit: number): RevisionRow[] {
    const sql =
      "SELECT * FROM bpmn_revisions WHERE tenant = ? AND document = ? AND revision < ? ORDER BY revision DESC LIMIT ?";
    return this.#storage.all(sql, this.#tenant, id, before, limit).map(toRevision);
  }

  saveContent(digest: string, content: Uint8Array): void {
    for (let part = 0, at = 0; at < content.length; part += 1, at += chunkBytes) {
      this.#storage.run(
        "INSERT OR IGNORE INTO bpmn_contents (tenant, digest, part, bytes) VALUES (?, ?, ?, ?)",
        this.#tenant,
        digest,
        part,
        content.subarray(at, at + chunkBytes),
      );
    }
  }

  readChunk(digest: string, part: number): Uint8Array | undefined {
    const row = this.#storage.get(
      "SELECT bytes FROM bpmn_contents WHERE tenant = ? AND digest = ? AND part = ?",
      this.#tenant,
      digest,
      part,
    );
    return row === undefined ? undefined : (row.bytes as Uint8Array);
  }

  readContent(digest: string, size: number): Uint8Array {
    const first = this.readChunk(digest, 0) ?? new Uint8Array(0);
    if (first.length === size) return first;
    const parts = [first];
    for (let part = 1; part * chunkBytes < size; part += 1)
      parts.push(this.readChunk(digest, part) ?? new Uint8Array(0));
    return Buffer.concat(parts, size);
  }
}

/** Rows of one purge run: bounded, so that it never holds up calls for long. */
const purgeBatch = 100;

/** Removes documents deleted before `deletedBefore` with their revisions, and content nobody refers to. Returns how many. */
export function purge(storage: Storage, deletedBefore: number): number {
  return storage.transaction(() => {
    const rows = storage.all(
      "SELECT tenant, id FROM bpmn_documents WHERE deleted_at < ? LIMIT ?",
      deletedBefore,
      purgeBatch,
    );
    for (const row of rows) {
      const digests = storage.all(
        "SELECT DISTINCT digest FROM bpmn_revisions WHERE tenant = ? AND document = ?",
        String(row.tenant),
        String(row.id),
      );
      storage.run(
        "DELETE FROM bpmn_documents WHERE tenant = ? AND id = ?",
        String(row.tenant),
        String(row.id),
      );
      storage.run(
        "DELETE FROM bpmn_revisions WHERE tenant = ? AND document = ?",
        String(row.tenant),
        String(row.id),
      );
      for (const { digest } of digests) {
        storage.run(
          "DELETE FROM bpmn_contents WHERE tenant = ?1 AND digest = ?2 AND NOT EXISTS (SELECT 1 FROM bpmn_revisions WHERE tenant = ?1 AND digest = ?2)",
          ...[String(row.tenant), String(digest)],
        );
      }
    }
    return rows.length;
  });
}

function toDocument(row: Row): DocumentRow {
  return {
    id: String(row.id),
    uid: String(row.uid),
    revision: Number(row.revision),
    version: Number(row.version),
    displayName: String(row.display_name),
    description: String(row.description),
    labels: JSON.parse(String(row.labels)) as Record<string, string>,
    digest: String(row.digest),
    size: Number(row.size),
    summary: JSON.parse(String(row.metadata)) as Summary,
    creator: String(row.creator),
    editor: String(row.editor),
    createdAt: Number(row.created_at),
    updatedAt: Number(row.updated_at),
    deletedAt: row.deleted_at === null ? undefined : Number(row.deleted_at),
  };
}

function toRevision(row: Row): RevisionRow {
  return {
    revision: Number(row.revision),
    snapshot: JSON.parse(String(row.snapshot)) as DocumentRow,
    creator: String(row.creator),
    comment: String(row.comment),
    createdAt: Number(row.created_at),
  };
}
