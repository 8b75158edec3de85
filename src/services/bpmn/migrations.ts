/** Tables of the BPMN service. A row belongs to one tenant; content is stored once per tenant and digest, in chunks. */
import type { Migration } from "#storage/storage.ts";

export const migrations: readonly Migration[] = [
  {
    name: "bpmn_0001_documents",
    sql: `CREATE TABLE bpmn_documents (
  tenant TEXT NOT NULL, id TEXT NOT NULL, uid TEXT NOT NULL, revision INTEGER NOT NULL, version INTEGER NOT NULL,
  display_name TEXT NOT NULL, description TEXT NOT NULL, labels TEXT NOT NULL,
  digest TEXT NOT NULL, size INTEGER NOT NULL, metadata TEXT NOT NULL,
  creator TEXT NOT NULL, editor TEXT NOT NULL,
  created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, deleted_at INTEGER,
  PRIMARY KEY (tenant, id)) STRICT;
CREATE INDEX bpmn_documents_digest ON bpmn_documents (tenant, digest);
CREATE INDEX bpmn_documents_deleted ON bpmn_documents (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE TABLE bpmn_revisions (
  tenant TEXT NOT NULL, document TEXT NOT NULL, revision INTEGER NOT NULL,
  snapshot TEXT NOT NULL, digest TEXT NOT NULL, creator TEXT NOT NULL, comment TEXT NOT NULL, created_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, document, revision)) STRICT;
CREATE INDEX bpmn_revisions_digest ON bpmn_revisions (tenant, digest);
CREATE TABLE bpmn_contents (
  tenant TEXT NOT NULL, digest TEXT NOT NULL, part INTEGER NOT NULL, bytes BLOB NOT NULL,
  PRIMARY KEY (tenant, digest, part)) STRICT;
`,
  },
];
