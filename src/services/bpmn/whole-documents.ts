/**
 * Documents with their XML, as most reads want them: those that are asked for again are kept with their encodings, and checked against the
 * database by every read that may find it changed.
 */
import type { BPMNDocument } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import { shareEncodings } from "#rpc/payload.ts";
import type { Tables } from "#storage/storage.ts";
import { missing } from "./failures.ts";
import { inlineXml, shortXml, toDocument } from "./model.ts";
import { type BpmnReads, BpmnStore, chunkBytes } from "./store.ts";
import { type BpmnTables, type DocumentColumns, type DocumentRow, toDocumentRow } from "./tables.ts";

/** A document as it was answered, good while its row has the same stamp. Shared by calls: nobody changes a reply. */
interface Kept {
  readonly stamp: string;
  readonly document: BPMNDocument;
  /** What the storage had counted of writes when the stamp was last compared; undefined: it counts none. */
  seenWrites: number | undefined;
}
/** At most 512 documents of at most 16 KiB are kept, each with its text and its bytes: 24 MiB in the worst case. */
const maxKept = 512;
const maxKeptBytes = 16_384;

export class WholeDocuments {
  readonly #tables: Tables<BpmnTables>;
  readonly #reads: BpmnReads;
  /** By tenant and id; written by reads. */
  readonly #kept = new Map<string, Kept>();
  /** Keys of what was asked for once: at most as many as are kept. */
  readonly #passing = new Set<string>();

  constructor(tables: Tables<BpmnTables>, reads: BpmnReads) {
    this.#tables = tables;
    this.#reads = reads;
  }

  /** Answers at once where the storage does. @throws RpcError RESOURCE_NOT_FOUND. */
  get(id: string, call: CallHead): BPMNDocument | Promise<BPMNDocument> {
    const key = `${call.principal.tenant}\0${id}`;
    const kept = this.#kept.get(key);
    const writes = this.#tables.writes?.();
    // Nothing was written since: nobody has to be asked, which was a twelfth of a REST call.
    if (kept !== undefined && writes !== undefined && kept.seenWrites === writes) return kept.document;
    const found = this.#reads.stamp(call.principal.tenant, id);
    return found instanceof Promise
      ? found.then((row) => this.#current(row?.stamp, { key, id, writes: undefined, call }))
      : this.#current(found?.stamp, { key, id, writes, call });
  }

  /** @param about.writes as counted before the stamp was read. */
  #current(
    stamp: string | undefined,
    about: {
      readonly key: string;
      readonly id: string;
      readonly writes: number | undefined;
      readonly call: CallHead;
    },
  ): BPMNDocument | Promise<BPMNDocument> {
    const { key, id, call } = about;
    if (stamp === undefined) throw missing(id);
    const kept = this.#kept.get(key);
    if (kept === undefined || kept.stamp !== stamp) return this.#load(id, key, call);
    kept.seenWrites = about.writes;
    return kept.document;
  }

  /** By prepared reads alone, so that even a document that is not kept is answered at once where the storage can. */
  #load(id: string, key: string, call: CallHead): BPMNDocument | Promise<BPMNDocument> {
    const found = this.#reads.document(call.principal.tenant, id);
    return found instanceof Promise
      ? found.then((columns) => this.#withXml(columns, id, { key, call }))
      : this.#withXml(found, id, { key, call });
  }

  #withXml(
    columns: DocumentColumns | undefined,
    id: string,
    about: { readonly key: string; readonly call: CallHead },
  ): BPMNDocument | Promise<BPMNDocument> {
    if (columns === undefined) throw missing(id);
    const row = toDocumentRow(columns);
    const { key, call } = about;
    if (row.size > chunkBytes)
      return inlineXml(this.#store(call), row).then((xml) => toDocument(row, { xml }));
    const found = this.#reads.chunk(call.principal.tenant, row.digest, 0);
    return found instanceof Promise
      ? found.then((chunk) => this.#whole(row, chunk?.bytes, key))
      : this.#whole(row, found?.bytes, key);
  }

  #whole(row: DocumentRow, bytes: Uint8Array | undefined, key: string): BPMNDocument {
    const document = toDocument(row, shortXml(bytes ?? new Uint8Array(0)));
    if (row.size > maxKeptBytes || !this.#isWanted(key)) return document;
    shareEncodings(document);
    // The row may be newer than the stamp that led here: the stamp is made of the row itself.
    this.#keep(key, { stamp: row.uid + row.version, document, seenWrites: undefined });
    return document;
  }

  /**
   * Whether it is asked for again, and not long after. Who reads one after the other everything that there is would have each kept until it is old
   * in V8's eyes, and then thrown away: 2,000 in turn cost 156 µs each and 445 MB resident, and now 134 and 317.
   */
  #isWanted(key: string): boolean {
    if (this.#kept.has(key) || this.#passing.delete(key)) return true;
    this.#passing.add(key);
    if (this.#passing.size <= maxKept) return false;
    const [oldest] = this.#passing;
    if (oldest !== undefined) this.#passing.delete(oldest);
    return false;
  }

  /** Oldest out first: enough for the documents that people have open. */
  #keep(key: string, kept: Kept): void {
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    if (this.#kept.size <= maxKept) return;
    const [oldest] = this.#kept.keys();
    if (oldest !== undefined) this.#kept.delete(oldest);
  }

  #store(call: CallHead): BpmnStore {
    const { tenant } = call.principal;
    return new BpmnStore(this.#tables.of(tenant).db, this.#tables.engine, tenant);
  }
}
