/** What is done with stored documents: written, read, listed, deleted and brought back; over the store, the analyzer and the rules. */
import { randomUUID } from "node:crypto";
import type {
  BPMNDocument,
  CreateBPMNRequest,
  ListBPMNRequest,
  UpdateBPMNRequest,
} from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { BPMNView } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import type { EventLog } from "#rpc/event.ts";
import { demand, inBatch, isId, type PageSizes, pageSize, within, wrongState } from "#rpc/resource.ts";
import type { Clock } from "#std/clock.ts";
import { ulid } from "#std/ulid.ts";
import { createPageTokens, type PageTokens } from "#storage/page-token.ts";
import type { Tables } from "#storage/storage.ts";
import type { Analyzer } from "./analyzer.ts";
import { type Content, digestOf, inlineBytes, toContentColumns } from "./content.ts";
import { missing, taken } from "./failures.ts";
import { cursorOf, parseListQuery } from "./list-query.ts";
import { known, knownRevision } from "./lookup.ts";
import { etagOf, inlineXml, maxInlineBytes, shortXml, toDocument, toRevision } from "./model.ts";
import { changedFields, checkRowEtag, modelInvalid, pick, required } from "./rules.ts";
import { type BpmnReads, BpmnStore, prepareReads } from "./store.ts";
import { type BpmnTables, type DocumentRow, toDocumentRow } from "./tables.ts";
import type { Upload } from "./upload.ts";
import { WholeDocuments } from "./whole-documents.ts";

export interface DocumentsOptions {
  readonly tables: Tables<BpmnTables>;
  readonly analyzer: Analyzer;
  readonly secret: Uint8Array;
  readonly clock: Clock;
  readonly pages?: PageSizes | undefined;
  readonly events: EventLog;
}

/** A change as `changed` makes a row of it: the row before, what differs, and the new content where there is one. */
interface Change {
  readonly before: DocumentRow;
  readonly fields: Partial<Pick<DocumentRow, "displayName" | "description" | "labels" | "deletedAt">>;
  readonly content?: Pick<DocumentRow, "digest" | "size" | "summary"> | undefined;
}

export class Documents {
  readonly #tables: Tables<BpmnTables>;
  readonly #reads: BpmnReads;
  readonly #whole: WholeDocuments;
  readonly #clock: Clock;
  readonly #events: EventLog;
  readonly #analyzer: Analyzer;
  readonly #tokens: PageTokens;
  readonly #pages: PageSizes | undefined;

  constructor(options: DocumentsOptions) {
    this.#tables = options.tables;
    this.#reads = prepareReads(options.tables);
    this.#whole = new WholeDocuments(options.tables, this.#reads);
    this.#clock = options.clock;
    this.#events = options.events;
    this.#analyzer = options.analyzer;
    this.#tokens = createPageTokens(options.secret, options.clock);
    this.#pages = options.pages;
  }

  get(id: string, basic: boolean, call: CallHead): BPMNDocument | Promise<BPMNDocument> {
    return basic ? known(this.#store(call), id).then((row) => toDocument(row)) : this.#whole.get(id, call);
  }

  /** In the order of the ids; one that is missing fails the call. */
  async getMany(ids: readonly string[], full: boolean, call: CallHead): Promise<BPMNDocument[]> {
    const store = this.#store(call);
    const rows = await store.findMany(ids);
    const documents: BPMNDocument[] = [];
    for (const [index, id] of ids.entries()) {
      const row = rows.get(id);
      if (row === undefined) throw inBatch("ids", index, missing(id));
      documents.push(toDocument(row, full ? { xml: await inlineXml(store, row) } : {}));
    }
    return documents;
  }

  async list(request: ListBPMNRequest, call: CallHead) {
    const { engine } = this.#tables;
    const store = this.#store(call);
    const size = pageSize(request.pageSize, this.#pages);
    const query = parseListQuery(request, engine);
    const scope = JSON.stringify([
      "list",
      call.principal.tenant,
      request.showDeleted,
      request.filter,
      request.orderBy,
    ]);
    const after = request.pageToken === "" ? [] : this.#tokens.open(request.pageToken, scope);
    const rows = await store.list(query, after, size + 1);
    const page = rows.slice(0, size);
    const last = page.at(-1);
    const documents: BPMNDocument[] = [];
    for (const columns of page) {
      const row = toDocumentRow(columns);
      documents.push(
        toDocument(row, request.view === BPMNView.FULL ? { xml: await inlineXml(store, row) } : {}),
      );
    }
    return {
      documents,
      nextPageToken:
        rows.length > size && last !== undefined ? this.#tokens.seal(cursorOf(last, query.order), scope) : "",
      ...(request.includeTotalSize ? { totalSize: await store.count(query) } : {}),
    };
  }

  /** All or none. @param field name of the batch in errors; absent: a single request. */
  async create(
    requests: readonly CreateBPMNRequest[],
    call: CallHead,
    field?: string,
  ): Promise<BPMNDocument[]> {
    const prepared: { row: DocumentRow; content: Content; request: CreateBPMNRequest }[] = [];
    for (const [index, request] of requests.entries())
      await within(field, index, async () => {
        prepared.push({ request, ...(await this.#prepare(request, call)) });
      });
    return await this.#transaction(call, async (store) => {
      const documents: BPMNDocument[] = [];
      for (const [index, { row, content, request }] of prepared.entries()) {
        await within(field, index, () => this.#insert(store, { row, content, dry: request.validateOnly }));
        if (!request.validateOnly) this.#tell("created", row, call);
        const twin = await store.findTwin(row.digest, row.id);
        documents.push(
          toDocument(row, field === undefined ? { twin, ...shortXml(content.bytes) } : { twin }),
        );
      }
      return documents;
    });
  }

  async update(request: UpdateBPMNRequest, call: CallHead): Promise<BPMNDocument> {
    const document = required(request.document);
    const found = await this.#store(call).find(document.id);
    if (found === undefined && request.allowMissing && isId(document.id)) {
      const created = { document, documentId: document.id, validateOnly: request.validateOnly };
      const [made] = await this.create([created as CreateBPMNRequest], call);
      if (made !== undefined) return made;
    }
    if (found === undefined) throw missing(document.id);
    writable(found);
    const fields = changedFields(request.updateMask?.paths, document);
    const content = fields.includes("xml") ? await this.#read(inlineBytes(document.xml), call) : undefined;
    return await this.#transaction(call, async (store) => {
      const before = await this.#locked(store, document.id);
      checkRowEtag(before, document.etag);
      const columns = content && toContentColumns(content);
      const row = this.#changed({ before, fields: pick(fields, document), content: columns }, call);
      if (!request.validateOnly)
        await this.#write(store, { before, row, comment: request.comment, bytes: content?.bytes });
      if (!request.validateOnly) this.#tell("updated", row, call);
      return toDocument(row, {
        ...(await currentXml(store, row, content)),
        twin: await store.findTwin(row.digest, row.id),
      });
    });
  }

  /** All or none; a single request is a batch of one. */
  remove(
    requests: readonly { readonly id: string; readonly etag: string; readonly allowMissing: boolean }[],
    call: CallHead,
  ): Promise<BPMNDocument[]> {
    return this.#transaction(call, async (store) => {
      const documents: BPMNDocument[] = [];
      for (const { id, etag, allowMissing } of requests) {
        const before = await store.lock(id);
        if (before === undefined || before.deletedAt !== undefined) {
          if (!allowMissing) throw missing(id);
          if (before !== undefined) documents.push(toDocument(before));
          continue;
        }
        checkRowEtag(before, etag);
        const row = this.#changed({ before, fields: { deletedAt: this.#clock.now() } }, call);
        await store.save(row, false);
        this.#tell("deleted", row, call);
        documents.push(toDocument(row));
      }
      return documents;
    });
  }

  undelete(id: string, call: CallHead): Promise<BPMNDocument> {
    return this.#transaction(call, async (store) => {
      const before = await store.lock(id);
      if (before === undefined) throw missing(id);
      if (before.deletedAt === undefined) throw wrongState(`bpmn/${id} is not deleted`);
      const row = { ...this.#changed({ before, fields: {} }, call), deletedAt: undefined };
      await store.save(row, false);
      this.#tell("undeleted", row, call);
      return toDocument(row);
    });
  }

  async upload(upload: Upload, call: CallHead): Promise<BPMNDocument> {
    const { metadata } = upload;
    if (metadata.id !== "") return await this.#uploadRevision(upload, call);
    const content = await this.#read(upload.bytes, call, upload.digest);
    const displayName =
      metadata.displayName || content.summary.processes[0]?.displayName || metadata.filename;
    const row = this.#fresh(
      { documentId: metadata.documentId, displayName, description: "", labels: {} },
      content,
      call,
    );
    return await this.#transaction(call, async (store) => {
      await this.#insert(store, { row, content, comment: metadata.comment });
      this.#tell("created", row, call);
      return toDocument(row, { twin: await store.findTwin(row.digest, row.id) });
    });
  }

  /** The document as it is, or as one of its revisions left it. */
  async locate(id: string, revision: string, call: CallHead): Promise<DocumentRow> {
    const store = this.#store(call);
    const row = await known(store, id);
    return revision === "" || revision === "latest"
      ? row
      : (await knownRevision(store, row, revision)).snapshot;
  }

  async readChunk(digest: string, part: number, call: CallHead): Promise<Uint8Array> {
    const row = await this.#reads.chunk(call.principal.tenant, digest, part);
    return row?.bytes ?? new Uint8Array(0);
  }

  async getRevision(id: string, revision: string, call: CallHead) {
    const store = this.#store(call);
    const row = await known(store, id);
    const found = await knownRevision(store, row, revision);
    return toRevision(found, row.revision, await inlineXml(store, found.snapshot));
  }

  async listRevisions(request: { id: string; pageSize: number; pageToken: string }, call: CallHead) {
    const store = this.#store(call);
    const row = await known(store, request.id);
    const size = pageSize(request.pageSize, this.#pages);
    const scope = JSON.stringify(["revisions", call.principal.tenant, row.uid]);
    const before =
      request.pageToken === "" ? row.revision + 1 : Number(this.#tokens.open(request.pageToken, scope)[0]);
    const rows = await store.listRevisions(request.id, before, size + 1);
    const page = rows.slice(0, size);
    const last = page.at(-1);
    return {
      revisions: page.map((revision) => toRevision(revision, row.revision)),
      nextPageToken:
        rows.length > size && last !== undefined ? this.#tokens.seal([last.revision], scope) : "",
    };
  }

  rollback(request: { id: string; revision: string; etag: string }, call: CallHead) {
    return this.#transaction(call, async (store) => {
      const before = await this.#locked(store, request.id);
      checkRowEtag(before, request.etag);
      const { snapshot, revision } = await knownRevision(store, before, request.revision);
      const comment = `rollback to revision ${revision}`;
      // A revision of its own even where the content is the current one: somebody decided it.
      const row = {
        ...this.#changed({ before, fields: {}, content: snapshot }, call),
        revision: before.revision + 1,
      };
      await this.#write(store, { before, row, comment });
      this.#tell("updated", row, call);
      return toRevision(await knownRevision(store, row, String(row.revision)), row.revision);
    });
  }

  async #uploadRevision({ metadata, bytes, digest }: Upload, call: CallHead): Promise<BPMNDocument> {
    const found = writable(await known(this.#store(call), metadata.id));
    checkRowEtag(found, metadata.etag);
    const content = await this.#read(bytes, call, digest);
    const fields = metadata.displayName === "" ? {} : { displayName: metadata.displayName };
    return await this.#transaction(call, async (store) => {
      const before = await this.#locked(store, metadata.id);
      checkRowEtag(before, metadata.etag);
      const row = this.#changed({ before, fields, content: toContentColumns(content) }, call);
      await this.#write(store, { before, row, comment: metadata.comment, bytes: content.bytes });
      this.#tell("updated", row, call);
      return toDocument(row, { twin: await store.findTwin(row.digest, row.id) });
    });
  }

  #tell(what: string, row: DocumentRow, call: CallHead): void {
    const { displayName, revision, digest } = row;
    const data = { displayName, revision, digest };
    this.#events.record({ type: `bpmn.${what}`, subject: `bpmn/${row.id}`, etag: etagOf(row), data }, call);
  }

  #store(call: CallHead): BpmnStore {
    const { tenant } = call.principal;
    return new BpmnStore(this.#tables.of(tenant).db, this.#tables.engine, tenant);
  }

  #transaction<T>(call: CallHead, work: (store: BpmnStore) => Promise<T>): Promise<T> {
    const { engine } = this.#tables;
    const { tenant } = call.principal;
    return this.#tables.of(tenant).transaction((db) => work(new BpmnStore(db, engine, tenant)), call);
  }

  async #locked(store: BpmnStore, id: string): Promise<DocumentRow> {
    const row = await store.lock(id);
    if (row === undefined) throw missing(id);
    return writable(row);
  }

  async #prepare(
    request: CreateBPMNRequest,
    call: CallHead,
  ): Promise<{ row: DocumentRow; content: Content }> {
    const document = required(request.document);
    if (document.xml === "")
      demand([{ field: "document.xml", description: "must not be empty; send BPMN 2.0 XML" }]);
    const content = await this.#read(inlineBytes(document.xml), call);
    return { content, row: this.#fresh({ ...document, documentId: request.documentId }, content, call) };
  }

  /** @throws RpcError MODEL_INVALID with every finding. */
  async #read(bytes: Uint8Array, call: CallHead, digest = digestOf(bytes)): Promise<Content> {
    const { outcome, xml } = await this.#analyzer.analyze(bytes, call);
    if (outcome.kind === "invalid") throw modelInvalid(outcome.findings);
    return { bytes: xml, digest, summary: outcome.summary };
  }

  #fresh(
    from: { documentId: string; displayName: string; description: string; labels: Record<string, string> },
    content: Content,
    call: CallHead,
  ): DocumentRow {
    const now = this.#clock.now();
    const id = from.documentId === "" ? `bpm-${ulid(now)}` : from.documentId;
    return {
      id,
      uid: randomUUID(),
      revision: 1,
      version: 1,
      displayName: from.displayName || content.summary.processes[0]?.displayName || id,
      description: from.description,
      labels: from.labels,
      ...toContentColumns(content),
      creator: call.principal.name,
      editor: call.principal.name,
      createdAt: now,
      updatedAt: now,
      deletedAt: undefined,
    };
  }

  #changed({ before, fields, content }: Change, call: CallHead): DocumentRow {
    const isNew = content !== undefined && content.digest !== before.digest;
    return {
      ...before,
      ...fields,
      ...(content === undefined
        ? {}
        : { digest: content.digest, size: content.size, summary: content.summary }),
      revision: before.revision + (isNew ? 1 : 0),
      version: before.version + 1,
      editor: call.principal.name,
      updatedAt: this.#clock.now(),
    };
  }

  async #insert(
    store: BpmnStore,
    made: {
      readonly row: DocumentRow;
      readonly content: Content;
      readonly comment?: string;
      readonly dry?: boolean;
    },
  ): Promise<void> {
    if (made.dry === true) {
      if ((await store.find(made.row.id)) !== undefined) throw taken(made.row.id);
      return;
    }
    if (!(await store.insert(made.row))) throw taken(made.row.id);
    await store.saveContent(made.row.digest, made.content.bytes);
    await store.addRevision(made.row, made.comment ?? "");
  }

  async #write(
    store: BpmnStore,
    change: {
      readonly before: DocumentRow;
      readonly row: DocumentRow;
      readonly comment: string;
      readonly bytes?: Uint8Array | undefined;
    },
  ): Promise<void> {
    const { before, row, comment, bytes } = change;
    if (bytes !== undefined) await store.saveContent(row.digest, bytes);
    await store.save(row, row.digest !== before.digest);
    if (row.revision !== before.revision) await store.addRevision(row, comment);
  }
}

function writable(row: DocumentRow): DocumentRow {
  if (row.deletedAt !== undefined) throw wrongState(`bpmn/${row.id} is deleted; undelete it first`);
  return row;
}

async function currentXml(store: BpmnStore, row: DocumentRow, content: Content | undefined) {
  if (content !== undefined) return shortXml(content.bytes);
  return row.size > maxInlineBytes ? {} : shortXml(await store.readContent(row.digest, row.size));
}
