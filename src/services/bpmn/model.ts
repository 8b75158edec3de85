/** Rows to messages, and what follows from a row: names, etag, content limits. */
import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type BPMNDocument,
  BPMNDocumentSchema,
  type BPMNRevision,
  BPMNRevisionSchema,
} from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { DiagnosticSchema, Severity } from "#gen/portico/common/v1/common_pb.ts";
import type { DocumentRow, RevisionRow } from "./store.ts";

/** XML longer than this is neither sent nor taken inside a message. */
export const maxInlineBytes = 1024 * 1024;
export const maxContentBytes = 10 * 1024 * 1024;

export interface Extras {
  readonly xml?: string;
  /** Id of a document with the same content. */
  readonly twin?: string | undefined;
}

export function etagOf(row: DocumentRow): string {
  return createHash("sha256").update(`${row.uid}\0${row.version}`).digest("base64url").slice(0, 16);
}

export function toDocument(row: DocumentRow, extras: Extras = {}): BPMNDocument {
  return create(BPMNDocumentSchema, {
    name: `bpmn/${row.id}`,
    id: row.id,
    uid: row.uid,
    displayName: row.displayName,
    description: row.description,
    labels: { ...row.labels },
    xml: extras.xml ?? "",
    sizeBytes: BigInt(row.size),
    digest: row.digest,
    metadata: {
      processes: row.summary.processes.map((process) => ({ ...process })),
      elementCount: row.summary.elementCount,
      taskBindings: [...row.summary.taskBindings],
      exporter: row.summary.exporter,
      exporterVersion: row.summary.exporterVersion,
      hasDiagram: row.summary.hasDiagram,
    },
    latestRevision: `bpmn/${row.id}/revisions/${row.revision}`,
    diagnostics: extras.twin === undefined ? [] : [duplicate(extras.twin)],
    etag: etagOf(row),
    creator: row.creator,
    lastEditor: row.editor,
    createTime: time(row.createdAt),
    updateTime: time(row.updatedAt),
    ...(row.deletedAt === undefined ? {} : { deleteTime: time(row.deletedAt) }),
  });
}

export function toRevision(row: RevisionRow, latest: number, xml?: string): BPMNRevision {
  return create(BPMNRevisionSchema, {
    name: `bpmn/${row.snapshot.id}/revisions/${row.revision}`,
    snapshot: toDocument(row.snapshot, xml === undefined ? {} : { xml }),
    createTime: time(row.createdAt),
    alternateIds: row.revision === latest ? ["latest"] : [],
    creator: row.creator,
    comment: row.comment,
  });
}

function time(ms: number): Timestamp {
  return timestampFromMs(ms);
}

function duplicate(twin: string) {
  return create(DiagnosticSchema, {
    severity: Severity.WARNING,
    code: "bpmn/duplicate-content",
    message: `bpmn/${twin} has the same content, byte for byte`,
    hint: "keep one of them, or give this one its own content",
  });
}
