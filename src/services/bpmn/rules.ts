/** Decisions about BPMN documents that need no storage: what a field may hold, what a mask may name, what a range means. */
import { create } from "@bufbuild/protobuf";
import { BadRequestSchema } from "#gen/google/rpc/error_details_pb.ts";
import type { BPMNDocument } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { RpcError } from "#rpc/error.ts";
import { nearest } from "#std/nearest.ts";
import type { Finding } from "./finding.ts";
import { etagOf } from "./model.ts";
import { type Profile, profiles } from "./profiles.ts";
import type { DocumentRow } from "./tables.ts";

export interface Violation {
  readonly field: string;
  readonly description: string;
}

/** AIP-122's form of ids that people choose. */
const idForm = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;

export function isId(id: string): boolean {
  return idForm.test(id);
}

/** @throws RpcError FIELD_INVALID with every violation at once. */
export function demand(violations: readonly Violation[]): void {
  const [first] = violations;
  if (first === undefined) return;
  throw new RpcError("invalid_argument", {
    reason: "FIELD_INVALID",
    message: violations.map(({ field, description }) => `${field}: ${description}`).join("; "),
    metadata: { field: first.field },
    details: [
      create(BadRequestSchema, {
        fieldViolations: violations.map((violation) => ({ ...violation, reason: "FIELD_INVALID" })),
      }),
    ],
  });
}

/** Everything that is wrong with the fields people set. */
export function checkFields(document: BPMNDocument): Violation[] {
  const violations: Violation[] = [];
  const say = (field: string, description: string): void => {
    violations.push({ field: `document.${field}`, description });
  };
  if (document.displayName.length > 200) say("displayName", "has more than 200 characters");
  if (document.description.length > 4000) say("description", "has more than 4000 characters");
  const labels = Object.entries(document.labels);
  if (labels.length > 64) say("labels", "has more than 64 labels");
  for (const [key, value] of labels) {
    if (key === "" || key.length > 63)
      say("labels", `the key "${key.slice(0, 70)}" must have 1 to 63 characters`);
    if (value.length > 256) say("labels", `the value of "${key.slice(0, 70)}" has more than 256 characters`);
  }
  return violations;
}

const mutable = ["display_name", "description", "labels", "xml"] as const;
export type MutableField = (typeof mutable)[number];

/** The fields an update changes. @throws RpcError FIELD_INVALID naming the good paths. */
export function maskedFields(
  paths: readonly string[] | undefined,
  document: BPMNDocument,
): readonly MutableField[] {
  if (paths?.includes("*") === true) return mutable;
  if (paths === undefined) return mutable.filter((name) => isPresent(name, document));
  const unknown = paths.find((path) => !(mutable as readonly string[]).includes(path));
  if (unknown !== undefined) {
    demand([
      {
        field: "updateMask",
        description: `"${unknown.slice(0, 100)}" cannot be changed; did you mean ${nearest(unknown, mutable)}? (${mutable.join(", ")})`,
      },
    ]);
  }
  return mutable.filter((name) => paths.includes(name));
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

const maxBatch = 200;

/** @throws RpcError FIELD_INVALID for an empty, too long or repeating batch. */
export function checkBatch<T>(items: readonly T[], field: string): readonly T[] {
  if (items.length === 0) demand([{ field, description: "must not be empty" }]);
  if (items.length > maxBatch)
    demand([{ field, description: `has ${items.length} items; ${maxBatch} are allowed` }]);
  const repeated = items.findIndex(
    (item, index) => typeof item === "string" && items.indexOf(item) !== index,
  );
  if (repeated !== -1) demand([{ field: `${field}[${repeated}]`, description: "is given twice" }]);
  return items;
}

export const badId: Violation = {
  field: "documentId",
  description:
    "must be 1 to 63 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen",
};

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

export function checkComment(comment: string): Violation[] {
  return comment.length > 1000 ? [{ field: "comment", description: "has more than 1000 characters" }] : [];
}

/** @throws RpcError ETAG_MISMATCH (AIP-154) with the current one. */
export function checkEtag(row: DocumentRow, etag: string): void {
  const current = etagOf(row);
  if (etag === "" || etag === current) return;
  throw new RpcError("aborted", {
    reason: "ETAG_MISMATCH",
    message: `bpmn/${row.id} was changed since it was read; read it again, apply your change to that and send its etag`,
    metadata: { resource: `bpmn/${row.id}`, etag: current },
  });
}

/** @throws RpcError FIELD_INVALID for a negative one. */
export function pageSize(asked: number): number {
  if (asked < 0) demand([{ field: "pageSize", description: "must not be negative" }]);
  return asked === 0 ? 50 : Math.min(asked, 1000);
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
