/** Tables of the BPMN service. A row belongs to one tenant; content is stored once per tenant and digest, in chunks. */
import { type Migration, rowSecurity } from "#storage/storage.ts";

export const migrations: readonly Migration[] = [
  {
    name: "bpmn_0001_documents",
    statements: ({ text, integer, bytes, options }) => [
      `CREATE TABLE bpmn_documents (
        tenant ${text} NOT NULL, id ${text} NOT NULL, uid ${text} NOT NULL,
        revision ${integer} NOT NULL, version ${integer} NOT NULL,
        display_name ${text} NOT NULL, description ${text} NOT NULL, labels ${text} NOT NULL,
        digest ${text} NOT NULL, size ${integer} NOT NULL, summary ${text} NOT NULL,
        creator ${text} NOT NULL, editor ${text} NOT NULL,
        created_at ${integer} NOT NULL, updated_at ${integer} NOT NULL, deleted_at ${integer},
        PRIMARY KEY (tenant, id))${options}`,
      "CREATE INDEX bpmn_documents_digest ON bpmn_documents (tenant, digest)",
      "CREATE INDEX bpmn_documents_name ON bpmn_documents (tenant, display_name, id)",
      "CREATE INDEX bpmn_documents_created ON bpmn_documents (tenant, created_at, id)",
      "CREATE INDEX bpmn_documents_updated ON bpmn_documents (tenant, updated_at, id)",
      "CREATE INDEX bpmn_documents_deleted ON bpmn_documents (deleted_at) WHERE deleted_at IS NOT NULL",
      // What lists are filtered by and documents have many of.
      `CREATE TABLE bpmn_processes (
        tenant ${text} NOT NULL, document ${text} NOT NULL, id ${text} NOT NULL,
        display_name ${text} NOT NULL, executable ${integer} NOT NULL,
        PRIMARY KEY (tenant, document, id))${options}`,
      "CREATE INDEX bpmn_processes_id ON bpmn_processes (tenant, id)",
      `CREATE TABLE bpmn_bindings (
        tenant ${text} NOT NULL, document ${text} NOT NULL, binding ${text} NOT NULL,
        PRIMARY KEY (tenant, document, binding))${options}`,
      "CREATE INDEX bpmn_bindings_binding ON bpmn_bindings (tenant, binding)",
      `CREATE TABLE bpmn_revisions (
        tenant ${text} NOT NULL, document ${text} NOT NULL, revision ${integer} NOT NULL,
        snapshot ${text} NOT NULL, digest ${text} NOT NULL,
        creator ${text} NOT NULL, comment ${text} NOT NULL, created_at ${integer} NOT NULL,
        PRIMARY KEY (tenant, document, revision))${options}`,
      "CREATE INDEX bpmn_revisions_digest ON bpmn_revisions (tenant, digest)",
      `CREATE TABLE bpmn_contents (
        tenant ${text} NOT NULL, digest ${text} NOT NULL, part ${integer} NOT NULL, bytes ${bytes} NOT NULL,
        PRIMARY KEY (tenant, digest, part))${options}`,
    ],
  },
  {
    name: "bpmn_0002_row_security",
    statements: (types) =>
      rowSecurity(types, [
        ...["bpmn_documents", "bpmn_processes", "bpmn_bindings", "bpmn_revisions", "bpmn_contents"],
      ]),
  },
];
