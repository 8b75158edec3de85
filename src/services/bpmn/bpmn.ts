/**
 * The BPMN service: design documents with revisions, stored byte for byte.
 *
 * Every change of the XML is analysed in a worker thread before it is stored, and makes an immutable revision. Deleted
 * documents can be brought back for 30 days, then a job removes them. Nothing reads across tenants. Does not know how it was
 * called, and runs nothing: executing processes is another service's work.
 */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import type { BPMNDocument } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import {
  BPMNService,
  BPMNView,
  type CreateBPMNRequest,
  type UpdateBPMNRequest,
} from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { Severity } from "#gen/portico/common/v1/common_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import { type HostedService, hostService, type ServiceImplementation } from "#rpc/service.ts";
import type { Clock } from "#std/clock.ts";
import { createPageTokens, type PageTokens } from "#storage/page-token.ts";
import type { Storage } from "#storage/storage.ts";
import type { Summary } from "./analyze.ts";
import { type Analyzer, createAnalyzer } from "./analyzer.ts";
import { download } from "./download.ts";
import { etagOf, maxContentBytes, maxInlineBytes, toDocument, toRevision } from "./model.ts";
import { checkFields, demand, isId, maskedFields, modelInvalid } from "./rules.ts";
import { BpmnStore, type DocumentRow, purge } from "./store.ts";
import { collectUpload } from "./upload.ts";

export { migrations } from "./migrations.ts";

export interface BpmnOptions {
  readonly storage: Storage;
  /** Seals page tokens. */
  readonly secret: Uint8Array;
  readonly clock: Clock;
}

export interface BpmnHost {
  readonly service: HostedService;
  /** Removes what was deleted 30 days ago; the timer calls it hourly. Returns how many documents. */
  purgeDeleted(): number;
  close(): Promise<void>;
}

const keptMs = 30 * 24 * 3600 * 1000;
const purgeEveryMs = 3600 * 1000;
const maxBatch = 200;

export function createBpmn(options: BpmnOptions): BpmnHost {
  const analyzer = createAnalyzer();
  const documents = new Documents(options, analyzer);
  const purgeDeleted = (): number => purge(options.storage, options.clock.now() - keptMs);
  const timer = setInterval(purgeDeleted, purgeEveryMs).unref();
  return {
    service: hostService(BPMNService, implementationOf(documents)),
    purgeDeleted,
    close: async () => {
      clearInterval(timer);
      await analyzer.close();
    },
  };
}

function implementationOf(documents: Documents): ServiceImplementation<typeof BPMNService> {
  return {
    createBPMN: async (request, call) => (await documents.create([request], call))[0] ?? {},
    batchCreateBPMN: async (request, call) => ({
      documents: await documents.create(checkBatch(request.requests, "requests"), call, "requests"),
    }),
    getBPMN: (request, call) => documents.get(request.id, request.view === BPMNView.BASIC, call),
    batchGetBPMN: (request, call) => ({
      documents: checkBatch(request.ids, "ids").map((id) =>
        documents.get(id, request.view !== BPMNView.FULL, call),
      ),
    }),
    listBPMN: (request, call) => documents.list(request, call),
    updateBPMN: (request, call) => documents.update(request, call),
    deleteBPMN: (request, call) => documents.remove([request], call)[0] ?? {},
    batchDeleteBPMN: (request, call) => {
      documents.remove(
        checkBatch(request.ids, "ids").map((id) => ({ id, etag: "", allowMissing: false })),
        call,
      );
      return {};
    },
    undeleteBPMN: (request, call) => documents.undelete(request.id, call),
    validateBPMN: (request, call) => documents.validate(request.input, call),
    uploadBPMN: async (requests, call) =>
      documents.upload(await collectUpload(requests, maxContentBytes), call),
    downloadBPMN: (request, call) => {
      const { row, store } = documents.locate(request.id, request.revision, call);
      return download({ row, store, range: request.range, call });
    },
    getBPMNRevision: (request, call) => documents.getRevision(request.id, request.revision, call),
    listBPMNRevisions: (request, call) => documents.listRevisions(request, call),
    rollbackBPMN: (request, call) => documents.rollback(request, call),
  };
}

/** @throws RpcError FIELD_INVALID for an empty, too long or repeating batch. */
function checkBatch<T>(items: readonly T[], field: string): readonly T[] {
  if (items.length === 0) demand([{ field, description: "must not be empty" }]);
  if (items.length > maxBatch)
    demand([{ field, description: `has ${items.length} items; ${maxBatch} are allowed` }]);
  const repeated = items.findIndex(
    (item, index) => typeof item === "string" && items.indexOf(item) !== index,
  );
  if (repeated !== -1) demand([{ field: `${field}[${repeated}]`, description: "is given twice" }]);
  return items;
}

interface Content {
  readonly bytes: Uint8Array;
  readonly digest: string;
  readonly summary: Summary;
}

/** A change as `apply` writes it: the row before, what differs, and the new content where there is one. */
interface Change {
  readonly before: DocumentRow;
  readonly fields: Partial<Pick<DocumentRow, "displayName" | "description" | "labels" | "deletedAt">>;
  readonly content?: Pick<DocumentRow, "digest" | "size" | "summary"> | undefined;
  readonly comment?: string;
}

/** A document as it was answered, good while its row has the same stamp. Shared by calls: nobody changes a reply. */
interface Kept {
  readonly stamp: string;
  readonly document: BPMNDocument;
}
/** At most 1024 documents of at most 16 KiB are kept: 16 MiB in the worst case. */
const maxKept = 1024;
const maxKeptBytes = 16_384;

class Documents {
  readonly #storage: Storage;
  readonly #clock: Clock;
  readonly #analyzer: Analyzer;
  readonly #tokens: PageTokens;
  /** By tenant and id; written by reads, checked against the row's stamp by every read. */
  readonly #kept = new Map<string, Kept>();

  constructor(options: BpmnOptions, analyzer: Analyzer) {
    this.#storage = options.storage;
    this.#clock = options.clock;
    this.#analyzer = analyzer;
    this.#tokens = createPageTokens(options.secret, options.clock);
  }

  get(id: string, basic: boolean, call: CallHead): BPMNDocument {
    const store = this.#store(call);
    if (basic) return toDocument(known(store, id));
    const stamp = store.findStamp(id);
    if (stamp === undefined) throw missing(`bpmn/${id.slice(0, 100)}`);
    const key = `${call.principal.tenant}\0${id}`;
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.stamp === stamp) return kept.document;
    const row = known(store, id);
    const document = toDocument(row, { xml: inlineXml(store, row) });
    if (row.size <= maxKeptBytes) this.#keep(key, { stamp, document });
    return document;
  }

  list(
    request: { pageSize: number; pageToken: string; showDeleted: boolean; view: BPMNView },
    call: CallHead,
  ) {
    const store = this.#store(call);
    const size = pageSize(request.pageSize);
    const scope = `list\0${call.principal.tenant}\0${request.showDeleted}`;
    const after = request.pageToken === "" ? "" : (this.#tokens.open(request.pageToken, scope)[0] ?? "");
    const rows = store.list(after, size + 1, request.showDeleted);
    const page = rows.slice(0, size);
    const last = page.at(-1);
    return {
      documents: page.map((row) =>
        toDocument(row, request.view === BPMNView.FULL ? { xml: inlineXml(store, row) } : {}),
      ),
      nextPageToken: rows.length > size && last !== undefined ? this.#tokens.seal([last.id], scope) : "",
    };
  }

  /** All or none. @param field name of the batch in errors; absent: a single request. */
  async create(
    requests: readonly CreateBPMNRequest[],
    call: CallHead,
    field?: string,
  ): Promise<BPMNDocument[]> {
    const prepared: { row: DocumentRow; content: Content; request: CreateBPMNRequest }[] = [];
    for (const [index, request] of requests.entries()) {
      await within(field, index, async () => {
        prepared.push({ request, ...(await this.#prepare(request, call)) });
      });
    }
    const store = this.#store(call);
    return store.transaction(() =>
      prepared.map(({ row, content, request }, index) => {
        if (store.find(row.id) !== undefined) throw inBatch(field, index, taken(row.id));
        if (!request.validateOnly) this.#insert(store, row, content);
        const twin = store.findTwin(row.digest, row.id);
        return toDocument(row, field === undefined ? { twin, ...shortXml(content.bytes) } : { twin });
      }),
    );
  }

  async update(request: UpdateBPMNRequest, call: CallHead): Promise<BPMNDocument> {
    const document = required(request.document);
    const store = this.#store(call);
    const found = store.find(document.id);
    if (found === undefined && request.allowMissing && isId(document.id)) {
      const created = {
        document,
        documentId: document.id,
        validateOnly: request.validateOnly,
      } as CreateBPMNRequest;
      return (await this.create([created], call))[0] ?? toDocument(known(store, document.id));
    }
    writable(known(store, document.id));
    const fields = maskedFields(request.updateMask?.paths, document);
    demand([...checkFields(document), ...checkComment(request.comment)]);
    const content = fields.includes("xml") ? await this.#read(inlineBytes(document.xml)) : undefined;
    return store.transaction(() => {
      const before = writable(known(store, document.id));
      checkEtag(before, document.etag);
      const row = this.#changed(
        {
          before,
          fields: pick(fields, document),
          content: content && toColumns(content),
          comment: request.comment,
        },
        call,
      );
      if (!request.validateOnly) {
        if (content !== undefined) store.saveContent(content.digest, content.bytes);
        this.#write(store, { before, row, comment: request.comment });
      }
      const xml =
        content === undefined
          ? shortXml(
              before.size > maxInlineBytes
                ? new Uint8Array(0)
                : store.readContent(before.digest, before.size),
            )
          : shortXml(content.bytes);
      return toDocument(row, { ...xml, twin: store.findTwin(row.digest, row.id) });
    });
  }

  /** All or none; a single request is a batch of one. */
  remove(
    requests: readonly { readonly id: string; readonly etag: string; readonly allowMissing: boolean }[],
    call: CallHead,
  ): BPMNDocument[] {
    const store = this.#store(call);
    return store.transaction(() =>
      requests.flatMap(({ id, etag, allowMissing }) => {
        const before = store.find(id);
        if (before === undefined || before.deletedAt !== undefined) {
          if (allowMissing) return before === undefined ? [] : [toDocument(before)];
          throw missing(`bpmn/${id}`);
        }
        checkEtag(before, etag);
        const row = this.#changed({ before, fields: { deletedAt: this.#clock.now() } }, call);
        store.save(row);
        return [toDocument(row)];
      }),
    );
  }

  undelete(id: string, call: CallHead): BPMNDocument {
    const store = this.#store(call);
    return store.transaction(() => {
      const before = known(store, id);
      if (before.deletedAt === undefined) throw wrongState(`bpmn/${id} is not deleted`);
      const row = { ...this.#changed({ before, fields: {} }, call), deletedAt: undefined };
      store.save(row);
      return toDocument(row);
    });
  }

  async validate(
    input: { readonly case: "xml" | "document" | undefined; readonly value?: string | undefined },
    call: CallHead,
  ) {
    const bytes = this.#validated(input, call);
    const outcome = await this.#analyzer.analyze(bytes);
    const findings = outcome.kind === "ok" ? [] : outcome.findings;
    return {
      valid: findings.length === 0,
      diagnostics: findings.map((finding) => ({
        severity: Severity.ERROR,
        code: "bpmn/invalid",
        ...finding,
      })),
    };
  }

  async upload(upload: Awaited<ReturnType<typeof collectUpload>>, call: CallHead): Promise<BPMNDocument> {
    const { metadata, bytes, digest } = upload;
    demand(checkComment(metadata.comment));
    if (metadata.id === "") {
      const content = await this.#read(bytes, digest);
      const name = metadata.displayName || content.summary.processes[0]?.displayName || metadata.filename;
      const row = this.#fresh(
        { documentId: metadata.documentId, displayName: name, description: "", labels: {} },
        content,
        call,
      );
      const store = this.#store(call);
      return store.transaction(() => {
        if (store.find(row.id) !== undefined) throw taken(row.id);
        this.#insert(store, row, content, metadata.comment);
        return toDocument(row, { twin: store.findTwin(row.digest, row.id) });
      });
    }
    const store = this.#store(call);
    writable(known(store, metadata.id));
    const content = await this.#read(bytes, digest);
    return store.transaction(() => {
      const before = writable(known(store, metadata.id));
      checkEtag(before, metadata.etag);
      const row = this.#changed(
        {
          before,
          fields: metadata.displayName === "" ? {} : { displayName: metadata.displayName },
          content: toColumns(content),
        },
        call,
      );
      store.saveContent(content.digest, content.bytes);
      this.#write(store, { before, row, comment: metadata.comment });
      return toDocument(row, { twin: store.findTwin(row.digest, row.id) });
    });
  }

  locate(id: string, revision: string, call: CallHead): { row: DocumentRow; store: BpmnStore } {
    const store = this.#store(call);
    const row = known(store, id);
    return {
      store,
      row: revision === "" || revision === "latest" ? row : knownRevision(store, row, revision).snapshot,
    };
  }

  getRevision(id: string, revision: string, call: CallHead) {
    const store = this.#store(call);
    const row = known(store, id);
    const found = knownRevision(store, row, revision);
    return toRevision(found, row.revision, inlineXml(store, found.snapshot));
  }

  listRevisions(request: { id: string; pageSize: number; pageToken: string }, call: CallHead) {
    const store = this.#store(call);
    const row = known(store, request.id);
    const size = pageSize(request.pageSize);
    const scope = `revisions\0${call.principal.tenant}\0${row.uid}`;
    const before =
      request.pageToken === "" ? row.revision + 1 : Number(this.#tokens.open(request.pageToken, scope)[0]);
    const rows = store.listRevisions(request.id, before, size + 1);
    const page = rows.slice(0, size);
    const last = page.at(-1);
    return {
      revisions: page.map((revision) => toRevision(revision, row.revision)),
      nextPageToken:
        rows.length > size && last !== undefined ? this.#tokens.seal([String(last.revision)], scope) : "",
    };
  }

  rollback(request: { id: string; revision: string; etag: string }, call: CallHead) {
    const store = this.#store(call);
    return store.transaction(() => {
      const before = writable(known(store, request.id));
      checkEtag(before, request.etag);
      const { snapshot, revision } = knownRevision(store, before, request.revision);
      const comment = `rollback to revision ${revision}`;
      const row = {
        ...this.#changed({ before, fields: {}, content: snapshot, comment }, call),
        revision: before.revision + 1,
      };
      this.#write(store, { before, row, comment });
      return toRevision(knownRevision(store, row, String(row.revision)), row.revision);
    });
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
    return new BpmnStore(this.#storage, call.principal.tenant);
  }

  #validated(
    input: { readonly case: "xml" | "document" | undefined; readonly value?: string | undefined },
    call: CallHead,
  ): Uint8Array {
    if (input.case === "document") {
      const store = this.#store(call);
      const row = known(store, input.value ?? "");
      return store.readContent(row.digest, row.size);
    }
    if (input.value === undefined || input.value === "")
      demand([{ field: "xml", description: "give XML here, or the id of a stored document in document" }]);
    return Buffer.from(input.value ?? "");
  }

  async #prepare(
    request: CreateBPMNRequest,
    call: CallHead,
  ): Promise<{ row: DocumentRow; content: Content }> {
    const document = required(request.document);
    const violations = checkFields(document);
    if (request.documentId !== "" && !isId(request.documentId)) violations.push(badId);
    if (document.xml === "")
      violations.push({ field: "document.xml", description: "must not be empty; send BPMN 2.0 XML" });
    demand(violations);
    const content = await this.#read(inlineBytes(document.xml));
    return { content, row: this.#fresh({ ...document, documentId: request.documentId }, content, call) };
  }

  /** @throws RpcError MODEL_INVALID with every finding. */
  async #read(bytes: Uint8Array, digest = digestOf(bytes)): Promise<Content> {
    const outcome = await this.#analyzer.analyze(bytes);
    if (outcome.kind === "invalid") throw modelInvalid(outcome.findings);
    return { bytes, digest, summary: outcome.summary };
  }

  #fresh(
    from: { documentId: string; displayName: string; description: string; labels: Record<string, string> },
    content: Content,
    call: CallHead,
  ): DocumentRow {
    if (from.documentId !== "" && !isId(from.documentId)) demand([badId]);
    const id = from.documentId === "" ? `bpm-${newUlid(this.#clock.now())}` : from.documentId;
    const now = this.#clock.now();
    return {
      id,
      uid: randomUUID(),
      revision: 1,
      version: 1,
      displayName: from.displayName || content.summary.processes[0]?.displayName || id,
      description: from.description,
      labels: from.labels,
      ...toColumns(content),
      creator: call.principal.name,
      editor: call.principal.name,
      createdAt: now,
      updatedAt: now,
      deletedAt: undefined,
    };
  }

  #insert(store: BpmnStore, row: DocumentRow, content: Content, comment = ""): void {
    store.saveContent(row.digest, content.bytes);
    store.save(row);
    store.addRevision(row, comment);
  }

  #changed(change: Change, call: CallHead): DocumentRow {
    const { before, fields, content } = change;
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

  #write(
    store: BpmnStore,
    change: { readonly before: DocumentRow; readonly row: DocumentRow; readonly comment: string },
  ): void {
    store.save(change.row);
    if (change.row.revision !== change.before.revision) store.addRevision(change.row, change.comment);
  }
}

const badId = {
  field: "documentId",
  description:
    "must be 1 to 63 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen",
};

function toColumns(content: Content): Pick<DocumentRow, "digest" | "size" | "summary"> {
  return { digest: content.digest, size: content.bytes.length, summary: content.summary };
}

function pick(fields: readonly string[], document: BPMNDocument): Change["fields"] {
  return {
    ...(fields.includes("display_name") ? { displayName: document.displayName } : {}),
    ...(fields.includes("description") ? { description: document.description } : {}),
    ...(fields.includes("labels") ? { labels: document.labels } : {}),
  };
}

function required(document: BPMNDocument | undefined): BPMNDocument {
  if (document === undefined)
    throw new RpcError("invalid_argument", {
      reason: "FIELD_INVALID",
      message: "document: must be given",
      metadata: { field: "document" },
    });
  if (document.name !== "" && !document.name.startsWith("bpmn/")) {
    demand([{ field: "document.name", description: "is the resource name; put the label into displayName" }]);
  }
  return document;
}

function checkComment(comment: string) {
  return comment.length > 1000 ? [{ field: "comment", description: "has more than 1000 characters" }] : [];
}

/** A malformed id is like one that does not exist. */
function known(store: BpmnStore, id: string): DocumentRow {
  const row = store.find(id);
  if (row === undefined) throw missing(`bpmn/${id.slice(0, 100)}`);
  return row;
}

function knownRevision(store: BpmnStore, row: DocumentRow, revision: string) {
  const number =
    revision === "latest" ? row.revision : /^[1-9]\d{0,9}$/.test(revision) ? Number(revision) : 0;
  const found = store.findRevision(row.id, number);
  if (found === undefined) throw missing(`bpmn/${row.id}/revisions/${revision.slice(0, 100)}`);
  return found;
}

function missing(name: string): RpcError {
  return new RpcError("not_found", {
    reason: "RESOURCE_NOT_FOUND",
    message: `there is no ${name}`,
    metadata: { resource: name },
  });
}

function taken(id: string): RpcError {
  return new RpcError("already_exists", {
    reason: "RESOURCE_EXISTS",
    message: `bpmn/${id} exists already; choose another id, update it, or undelete it`,
    metadata: { resource: `bpmn/${id}` },
  });
}

function writable(row: DocumentRow): DocumentRow {
  if (row.deletedAt !== undefined) throw wrongState(`bpmn/${row.id} is deleted; undelete it first`);
  return row;
}

function wrongState(message: string): RpcError {
  return new RpcError("failed_precondition", { reason: "STATE_TRANSITION_INVALID", message });
}

function checkEtag(row: DocumentRow, etag: string): void {
  const current = etagOf(row);
  if (etag === "" || etag === current) return;
  throw new RpcError("aborted", {
    reason: "ETAG_MISMATCH",
    message: `bpmn/${row.id} was changed since it was read; read it again, apply your change to that and send its etag`,
    metadata: { resource: `bpmn/${row.id}`, etag: current },
  });
}

function pageSize(asked: number): number {
  if (asked < 0) demand([{ field: "pageSize", description: "must not be negative" }]);
  return asked === 0 ? 50 : Math.min(asked, 1000);
}

function inlineXml(store: BpmnStore, row: DocumentRow): string {
  if (row.size <= maxInlineBytes)
    return Buffer.from(store.readContent(row.digest, row.size)).toString("utf8");
  throw new RpcError("failed_precondition", {
    reason: "CONTENT_TOO_LARGE",
    message: `bpmn/${row.id} has ${row.size} bytes of XML, more than ${maxInlineBytes}; download it, or ask for view BASIC`,
    metadata: { resource: `bpmn/${row.id}`, limitBytes: String(maxInlineBytes) },
  });
}

function inlineBytes(xml: string): Uint8Array {
  const bytes = Buffer.from(xml);
  if (bytes.length > maxInlineBytes)
    demand([{ field: "document.xml", description: `has more than ${maxInlineBytes} bytes; use upload` }]);
  return bytes;
}

function shortXml(bytes: Uint8Array): { xml?: string } {
  return bytes.length > maxInlineBytes ? {} : { xml: Buffer.from(bytes).toString("utf8") };
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Runs a step for one item of a batch, so that its error names the item. */
async function within(field: string | undefined, index: number, step: () => Promise<void>): Promise<void> {
  try {
    await step();
  } catch (error) {
    throw error instanceof RpcError ? inBatch(field, index, error) : error;
  }
}

function inBatch(field: string | undefined, index: number, error: RpcError): RpcError {
  if (field === undefined) return error;
  const { reason, metadata, details, cause } = error;
  return new RpcError(error.code, {
    reason,
    metadata: { ...metadata, item: `${field}[${index}]` },
    details,
    message: `${field}[${index}]: ${error.message}`,
    cause,
  });
}

const crockford = "0123456789abcdefghjkmnpqrstvwxyz";

/** Sorts by time: ten characters of milliseconds, sixteen of randomness (the ULID specification, in lower case). */
function newUlid(now: number): string {
  let time = "";
  for (let rest = now, at = 0; at < 10; at += 1, rest = Math.floor(rest / 32))
    time = crockford.charAt(rest % 32) + time;
  return time + [...randomBytes(16)].map((byte) => crockford.charAt(byte % 32)).join("");
}
