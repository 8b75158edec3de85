/** Decisions about BPMN documents that need no storage: what a field may hold, what a mask may name, what a range means. */
import { create } from "@bufbuild/protobuf";
import { BadRequestSchema } from "#gen/google/rpc/error_details_pb.ts";
import type { BPMNDocument } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { RpcError } from "#rpc/error.ts";
import { checkEtag, demand, maskedFields } from "#rpc/resource.ts";
import { nearest } from "#std/nearest.ts";
import type { Finding } from "./finding.ts";
import { etagOf } from "./model.ts";
import { type Profile, profiles } from "./profiles.ts";
import type { DocumentRow } from "./tables.ts";

const mutable = ["display_name", "description", "labels", "xml"] as const;
export type MutableField = (typeof mutable)[number];

/** The fields an update changes. @throws RpcError FIELD_INVALID naming the good paths. */
export function changedFields(
  paths: readonly string[] | undefined,
  document: BPMNDocument,
): readonly MutableField[] {
  return maskedFields(paths, mutable, (name) => isPresent(name, document));
}

function isPresent(name: MutableField, document: BPMNDocument): boolean {
  switch (name) {
    case "display_name":
      return document.displayName !== "";
    case "description":
      return document.description !== "";
    case "labels":
      return Object.keys(document.labels).length > 0;
    case "xml":
      return document.xml !== "";
  }
}

/** The error of XML that cannot be kept, with every finding. */
export function modelInvalid(findings: readonly Finding[], field = "document.xml"): RpcError {
  const [first] = findings;
  const where =
    first === undefined || first.line === 0 ? "" : ` (line ${first.line}, column ${first.column})`;
  return new RpcError("invalid_argument", {
    reason: "MODEL_INVALID",
    message: `${field}: ${first?.message ?? "is not BPMN 2.0"}${where}`,
    metadata:
      first === undefined
        ? { field }
        : {
            field,
            rule: first.code,
            line: String(first.line),
            column: String(first.column),
            elementId: first.elementId,
          },
    details: [
      create(BadRequestSchema, {
        fieldViolations: findings.map((finding) => ({
          field,
          description: `line ${finding.line}, column ${finding.column}: ${finding.message}`,
          reason: "MODEL_INVALID",
        })),
      }),
    ],
  });
}

/** Bytes from `start` up to but not including `end`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * One range of RFC 9110 section 14. What is not one is passed over, as the RFC asks: undefined means all of it.
 * "unsatisfiable": the range begins behind the end.
 */
export function parseRange(text: string, size: number): ByteRange | "unsatisfiable" | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(text.trim());
  if (match === null || (match[1] === "" && match[2] === "")) return undefined;
  if (match[1] === "") {
    const last = Number(match[2]);
    return last === 0 ? "unsatisfiable" : { start: Math.max(0, size - last), end: size };
  }
  const start = Number(match[1]);
  const end = match[2] === "" ? size : Math.min(size, Number(match[2]) + 1);
  if (start >= size) return "unsatisfiable";
  return end <= start ? undefined : { start, end };
}

/** RFC 6266: an ASCII name for everyone and the real one for those who can. */
export function contentDisposition(name: string): string {
  const ascii = name.replace(/[^A-Za-z0-9._ -]/g, "_");
  return `attachment; filename="${ascii}"; filename*=UTF-8''${encodeURIComponent(name).replace(/['()*]/g, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`)}`;
}

/** The values of the fields that a mask names. */
export function pick(
  fields: readonly string[],
  document: BPMNDocument,
): Partial<Pick<DocumentRow, "displayName" | "description" | "labels">> {
  return {
    ...(fields.includes("display_name") ? { displayName: document.displayName } : {}),
    ...(fields.includes("description") ? { description: document.description } : {}),
    ...(fields.includes("labels") ? { labels: document.labels } : {}),
  };
}

/** @throws RpcError FIELD_INVALID when there is no document, or its name is no resource name. */
export function required(document: BPMNDocument | undefined): BPMNDocument {
  if (document === undefined)
    throw new RpcError("invalid_argument", {
      reason: "FIELD_INVALID",
      message: "document: must be given",
      metadata: { field: "document" },
    });
  if (document.name !== "" && !document.name.startsWith("bpmn/"))
    demand([{ field: "document.name", description: "is the resource name; put the label into displayName" }]);
  return document;
}

/** @throws RpcError ETAG_MISMATCH with the current one. */
export function checkRowEtag(row: DocumentRow, etag: string): void {
  checkEtag(`bpmn/${row.id}`, etagOf(row), etag);
}

/** @throws RpcError FIELD_INVALID naming the nearest profile. */
export function checkProfiles(asked: readonly string[]): readonly Profile[] {
  for (const [index, name] of asked.entries())
    if (!(profiles as readonly string[]).includes(name))
      demand([
        {
          field: `profiles[${index}]`,
          description: `"${name.slice(0, 50)}" is not a profile; did you mean ${nearest(name, profiles)}? (${profiles.join(", ")})`,
        },
      ]);
  return asked as readonly Profile[];
}
