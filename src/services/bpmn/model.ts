/** Rows to messages, and what follows from a row: names, etag, content limits. */
import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type BPMNDocument,
  BPMNDocumentSchema,
  type BPMNRevision,
  BPMNRevisionSchema,
  type DiffBPMNResponse,
  DiffBPMNResponse_Change_Kind,
  DiffBPMNResponseSchema,
} from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { type Diagnostic, DiagnosticSchema, Severity } from "#gen/portico/common/v1/common_pb.ts";
import { RpcError } from "#rpc/error.ts";
import type { Diff } from "./diff.ts";
import type { Finding } from "./finding.ts";
import type { DocumentRow, RevisionRow } from "./tables.ts";

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

const severities = { error: Severity.ERROR, warning: Severity.WARNING } as const;

export function toDiagnostic(finding: Finding): Diagnostic {
  return create(DiagnosticSchema, { ...finding, severity: severities[finding.severity] });
}

const kinds = {
  added: DiffBPMNResponse_Change_Kind.ADDED,
  removed: DiffBPMNResponse_Change_Kind.REMOVED,
  changed: DiffBPMNResponse_Change_Kind.CHANGED,
  moved: DiffBPMNResponse_Change_Kind.MOVED,
} as const;

export function toDiff(diff: Diff): DiffBPMNResponse {
  return create(DiffBPMNResponseSchema, {
    changes: diff.changes.map((change) => ({
      ...change,
      kind: kinds[change.kind],
      attributes: change.attributes.map((attribute) => ({ ...attribute })),
    })),
    summary: { ...diff.counts, behaviourChanged: diff.behaviourChanged },
    truncated: diff.truncated,
  });
}

/** Where content is read from. */
export interface ContentSource {
  readContent(digest: string, size: number): Promise<Uint8Array>;
}

/** @throws RpcError CONTENT_TOO_LARGE, naming download. */
export async function inlineXml(source: ContentSource, row: DocumentRow): Promise<string> {
  if (row.size <= maxInlineBytes)
    return Buffer.from(await source.readContent(row.digest, row.size)).toString("utf8");
  throw new RpcError("failed_precondition", {
    reason: "CONTENT_TOO_LARGE",
    message: `bpmn/${row.id} has ${row.size} bytes of XML, more than ${maxInlineBytes}; download it, or ask for view BASIC`,
    metadata: { resource: `bpmn/${row.id}`, limitBytes: String(maxInlineBytes) },
  });
}

/** Left out where it is too long for a message. */
export function shortXml(bytes: Uint8Array): { xml?: string } {
  return bytes.length > maxInlineBytes ? {} : { xml: Buffer.from(bytes).toString("utf8") };
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
