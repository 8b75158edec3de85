/**
 * The BPMN service: design documents with revisions, stored byte for byte.
 *
 * Every change of the XML is analysed in a worker thread before it is stored, and makes an immutable revision. Deleted
 * documents can be brought back for 30 days, then a job removes them. Nothing reads across tenants. Does not know how it was
 * called, and runs nothing: executing processes is another service's work.
 */
import { BPMNService, BPMNView } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { type EventLog, noEvents, type TopicKind } from "#rpc/event.ts";
import { confirm } from "#rpc/input.ts";
import type { PageSizes } from "#rpc/resource.ts";
import { type HostedService, hostService, type ServiceImplementation } from "#rpc/service.ts";
import type { Clock } from "#std/clock.ts";
import type { Storage } from "#storage/storage.ts";
import { createAnalyzer } from "./analyzer.ts";
import { Documents } from "./documents.ts";
import { download } from "./download.ts";
import { explain, review } from "./explain.ts";
import { Inspections } from "./inspections.ts";
import { maxContentBytes } from "./model.ts";
import { purge } from "./store.ts";
import type { BpmnTables } from "./tables.ts";
import { collectUpload } from "./upload.ts";

export { migrations } from "./migrations.ts";
export { reasons } from "./reasons.ts";

export interface BpmnOptions {
  readonly storage: Storage;
  /** Seals page tokens. */
  readonly secret: Uint8Array;
  readonly clock: Clock;
  /** Of its lists. */
  readonly pages?: PageSizes | undefined;
  /** Where changes are told. Default: nowhere. */
  readonly events?: EventLog;
}

/** What of it can be followed. */
export const topics: readonly TopicKind[] = [{ kind: "bpmn", scope: "bpmn:read" }];

export interface BpmnHost {
  readonly service: HostedService;
  /** Removes what was deleted 30 days ago; the timer calls it hourly. Returns how many documents. */
  purgeDeleted(): Promise<number>;
  close(): Promise<void>;
}

const keptMs = 30 * 24 * 3600 * 1000;
const purgeEveryMs = 3600 * 1000;

export function createBpmn(options: BpmnOptions): BpmnHost {
  const analyzer = createAnalyzer();
  const tables = options.storage.tables<BpmnTables>();
  const { secret, clock, events = noEvents, pages } = options;
  const documents = new Documents({ tables, analyzer, secret, clock, events, pages });
  const purgeDeleted = (): Promise<number> => purge(tables, options.clock.now() - keptMs);
  let purging: Promise<unknown> = Promise.resolve();
  const timer = setInterval(() => {
    // A database that is away now is asked again in an hour.
    purging = purgeDeleted().catch(() => undefined);
  }, purgeEveryMs).unref();
  return {
    service: hostService(BPMNService, implementationOf(documents, new Inspections(tables, analyzer))),
    purgeDeleted,
    close: async () => {
      clearInterval(timer);
      await purging;
      await analyzer.close();
    },
  };
}

function implementationOf(
  documents: Documents,
  inspections: Inspections,
): ServiceImplementation<typeof BPMNService> {
  return {
    createBPMN: async (request, call) => (await documents.create([request], call))[0] ?? {},
    batchCreateBPMN: async (request, call) => ({
      documents: await documents.create(request.requests, call, "requests"),
    }),
    getBPMN: (request, call) => documents.get(request.id, request.view === BPMNView.BASIC, call),
    batchGetBPMN: async (request, call) => ({
      documents: await documents.getMany(request.ids, request.view === BPMNView.FULL, call),
    }),
    listBPMN: (request, call) => documents.list(request, call),
    updateBPMN: (request, call) => documents.update(request, call),
    deleteBPMN: async (request, call) => {
      confirm(call, `Delete the document ${request.id}? It can be brought back for 30 days.`, request.id);
      return (await documents.remove([request], call))[0] ?? {};
    },
    batchDeleteBPMN: async (request, call) => {
      await documents.remove(
        request.ids.map((id) => ({ id, etag: "", allowMissing: false })),
        call,
      );
      return {};
    },
    undeleteBPMN: (request, call) => documents.undelete(request.id, call),
    validateBPMN: (request, call) => inspections.validate(request, call),
    uploadBPMN: async (requests, call) =>
      documents.upload(await collectUpload(requests, maxContentBytes), call),
    downloadBPMN: (request, call) => download(documents, request, call),
    diffBPMN: (request, call) => inspections.diff(request, call),
    explainBPMN: async (request, call) => explain(await inspections.examine(request.id, call)),
    reviewBPMN: async (request, call) => review(await inspections.examine(request.id, call), request.focus),
    getBPMNRevision: (request, call) => documents.getRevision(request.id, request.revision, call),
    listBPMNRevisions: (request, call) => documents.listRevisions(request, call),
    rollbackBPMN: (request, call) => documents.rollback(request, call),
  };
}
