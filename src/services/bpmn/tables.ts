/** The service's tables, as Kysely types its queries. */
import type { Summary } from "./analyze.ts";

export interface BpmnTables {
  readonly bpmn_documents: DocumentColumns;
  readonly bpmn_processes: {
    tenant: string;
    document: string;
    id: string;
    display_name: string;
    /** 0 or 1. */
    executable: number;
  };
  readonly bpmn_bindings: { tenant: string; document: string; binding: string };
  readonly bpmn_revisions: RevisionColumns;
  readonly bpmn_contents: { tenant: string; digest: string; part: number; bytes: Uint8Array };
}

export interface DocumentColumns {
  tenant: string;
  id: string;
  uid: string;
  revision: number;
  version: number;
  display_name: string;
  description: string;
  /** JSON object of strings. */
  labels: string;
  digest: string;
  size: number;
  /** JSON of a Summary. */
  summary: string;
  creator: string;
  editor: string;
  created_at: number;
  updated_at: number;
  deleted_at: number | null;
}

export interface RevisionColumns {
  tenant: string;
  document: string;
  revision: number;
  /** JSON of a DocumentRow. */
  snapshot: string;
  digest: string;
  creator: string;
  comment: string;
  created_at: number;
}

/** A document as the service works with it. */
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

export function toDocumentRow(row: DocumentColumns): DocumentRow {
  return {
    id: row.id,
    uid: row.uid,
    revision: row.revision,
    version: row.version,
    displayName: row.display_name,
    description: row.description,
    labels: JSON.parse(row.labels) as Record<string, string>,
    digest: row.digest,
    size: row.size,
    summary: JSON.parse(row.summary) as Summary,
    creator: row.creator,
    editor: row.editor,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    deletedAt: row.deleted_at ?? undefined,
  };
}

export function toColumns(tenant: string, row: DocumentRow): DocumentColumns {
  return {
    tenant,
    id: row.id,
    uid: row.uid,
    revision: row.revision,
    version: row.version,
    display_name: row.displayName,
    description: row.description,
    labels: JSON.stringify(row.labels),
    digest: row.digest,
    size: row.size,
    summary: JSON.stringify(row.summary),
    creator: row.creator,
    editor: row.editor,
    created_at: row.createdAt,
    updated_at: row.updatedAt,
    deleted_at: row.deletedAt ?? null,
  };
}

export function toRevisionRow(row: RevisionColumns): RevisionRow {
  return {
    revision: row.revision,
    snapshot: JSON.parse(row.snapshot) as DocumentRow,
    creator: row.creator,
    comment: row.comment,
    createdAt: row.created_at,
  };
}
