/** Rows by the names that requests give them, or the error that says which is missing. */
import { missing, missingRevision } from "./failures.ts";
import type { BpmnStore } from "./store.ts";
import type { DocumentRow, RevisionRow } from "./tables.ts";

/** A malformed id is like one that does not exist. */
export async function known(store: BpmnStore, id: string): Promise<DocumentRow> {
  const row = await store.find(id);
  if (row === undefined) throw missing(id);
  return row;
}

export async function knownRevision(
  store: BpmnStore,
  row: DocumentRow,
  revision: string,
): Promise<RevisionRow> {
  const number =
    revision === "latest" ? row.revision : /^[1-9]\d{0,9}$/.test(revision) ? Number(revision) : 0;
  const found = await store.findRevision(row.id, number);
  if (found === undefined) throw missingRevision(row.id, revision);
  return found;
}

/** The XML of an answer to a change: the new one, or the stored one where it did not change. */
