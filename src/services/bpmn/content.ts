/** A document's bytes on their way to the store: read, measured and described. */
import { createHash } from "node:crypto";
import { demand } from "#rpc/resource.ts";
import type { Summary } from "./analyze.ts";
import { maxInlineBytes } from "./model.ts";
import type { DocumentRow } from "./tables.ts";

export interface Content {
  readonly bytes: Uint8Array;
  /** "sha256:" and hex digits. */
  readonly digest: string;
  readonly summary: Summary;
}

export function toContentColumns(content: Content): Pick<DocumentRow, "digest" | "size" | "summary"> {
  return { digest: content.digest, size: content.bytes.length, summary: content.summary };
}

/** @throws RpcError FIELD_INVALID for more than goes into a message. */
export function inlineBytes(xml: string, field = "document.xml"): Uint8Array {
  // Memory of its own, which can be moved to the worker thread.
  const bytes = new TextEncoder().encode(xml);
  if (bytes.length > maxInlineBytes)
    demand([{ field, description: `has more than ${maxInlineBytes} bytes; use upload` }]);
  return bytes;
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
