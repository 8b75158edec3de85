/**
 * The events service: what happens, kept for seven days, listed and followed.
 *
 * Other services record their changes through `log`, in the transaction of the change. Who follows sees exactly what it may read, in the
 * order of the commits, each event once; a cursor takes up where it was left, on every process of the installation.
 */
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Event,
  EventSchema,
  EventService,
  type ListEventsRequest,
  type SubscribeRequest,
} from "#gen/portico/events/v1/events_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import type { EventLog, TopicKind } from "#rpc/event.ts";
import type { PageSizes } from "#rpc/resource.ts";
import { type HostedService, hostService } from "#rpc/service.ts";
import type { Clock } from "#std/clock.ts";
import type { Storage } from "#storage/storage.ts";
import { cursorOf, readCursor } from "./cursor.ts";
import { Hub } from "./hub.ts";
import { Lists } from "./lists.ts";
import { Log } from "./log.ts";
import { toEvent } from "./model.ts";
import type { EventRow, EventsTables } from "./tables.ts";
import { type Selection, Topics } from "./topics.ts";
import { Waiting } from "./waiting.ts";

export { migrations } from "./migrations.ts";
export { reasons } from "./reasons.ts";

export interface EventsOptions {
  readonly storage: Storage;
  /** Seals page tokens. */
  readonly secret: Uint8Array;
  readonly clock: Clock;
  /** What can be followed. */
  readonly topics: readonly TopicKind[];
  /** Of its lists. */
  readonly pages?: PageSizes | undefined;
  /** How long a stream that passes over events may go without moving its reader's cursor, in milliseconds. Default 60 000. */
  readonly bookmarkMs?: number;
}

export interface EventsHost {
  readonly service: HostedService;
  readonly log: EventLog;
  /** Tells all who follow to come again elsewhere. */
  drain(): void;
  /** Forgets what is older than seven days; the timer calls it hourly. @returns how many events. */
  purge(): Promise<number>;
  close(): Promise<void>;
}

const keptMs = 7 * 24 * 3600 * 1000;
const purgeEveryMs = 3600 * 1000;
const maxFollowers = 20_000;

export function createEvents(options: EventsOptions): EventsHost {
  const { clock } = options;
  const tables = options.storage.tables<EventsTables>();
  const log = new Log({ tables, clock, written: (tenant) => hub.ring(tenant) });
  const hub = new Hub(log);
  const topics = new Topics(options.topics);
  const lists = new Lists({
    ...{ tables, topics, log, clock },
    secret: options.secret,
    pages: options.pages,
  });
  const waiting = new Waiting({ hub, clock, head: (tenant) => log.head(tenant) });
  const bookmarkMs = options.bookmarkMs ?? 60_000;
  const purge = (): Promise<number> => log.purge(clock.now() - keptMs);
  let purging: Promise<unknown> = Promise.resolve();
  const timer = setInterval(() => {
    // A database that is away now is asked again in an hour.
    purging = purge().catch(() => undefined);
  }, purgeEveryMs).unref();
  return {
    service: hostService(EventService, {
      subscribe: (request, call) => subscribe({ log, hub, topics, clock, bookmarkMs }, request, call),
      listEvents: (request: ListEventsRequest, call) =>
        waiting.until(call, request.wait, {
          list: (from) => lists.list(request, call, from),
          isEmpty: ({ events }) => events.length === 0,
          concerns: ({ subject }) => topics.sees(call.principal, subject),
        }),
    }),
    log,
    drain: () => hub.end(draining()),
    purge,
    close: async () => {
      clearInterval(timer);
      hub.end(draining());
      await purging;
    },
  };
}

interface Parts {
  readonly log: Log;
  readonly hub: Hub;
  readonly topics: Topics;
  readonly clock: Clock;
  readonly bookmarkMs: number;
}

async function* subscribe(parts: Parts, request: SubscribeRequest, call: CallHead): AsyncGenerator<Event> {
  const { log, hub, topics, clock } = parts;
  const { tenant } = call.principal;
  const selection = topics.select(request.topics, call.principal);
  const types = new Set(request.types);
  if (hub.followers >= maxFollowers) throw crowded();
  const head = await log.head(tenant);
  let at = request.after === "" ? head : readCursor(request.after, head, "after");
  const oldest = (await log.oldest(tenant)) ?? head + 1;
  const follower = hub.follow(tenant, head);
  // Once: a stream waits as often as there are events.
  call.onCancel((error) => follower.interrupt(error));
  try {
    call.sendHeaders();
    if (request.after !== "" && at > 0 && at + 1 < oldest) {
      yield announcement(parts, tenant, "gap", oldest - 1);
      at = oldest - 1;
    }
    let told = clock.monotonic();
    for (;;) {
      const rows = await follower.next(at);
      for (const row of rows) {
        at = row.number;
        if (!takes(selection, types, row)) continue;
        told = clock.monotonic();
        yield toEvent(row);
      }
      if (rows.length > 0 && clock.monotonic() - told > parts.bookmarkMs) {
        told = clock.monotonic();
        yield announcement(parts, tenant, "bookmark", at);
      }
      if (rows.length === 0) await follower.changed(at);
    }
  } finally {
    follower.leave();
  }
}

function takes(selection: Selection, types: ReadonlySet<string>, row: EventRow): boolean {
  return selection.takes(row.subject) && (types.size === 0 || types.has(row.type));
}

/** Of the stream itself, not of the log. */
function announcement({ clock }: Parts, tenant: string, what: "gap" | "bookmark", number: number): Event {
  const cursor = cursorOf(number);
  return create(EventSchema, {
    ...{ specversion: "1.0", id: `${what}-${cursor}`, source: `/tenants/${tenant}`, cursor },
    ...{ type: `portico.events.${what}.v1`, time: timestampFromMs(clock.now()) },
  });
}

function crowded(): RpcError {
  return new RpcError("resource_exhausted", {
    reason: "FOLLOWERS_LIMITED",
    message: `${maxFollowers} streams of events are open already; close one, or ask another process`,
  });
}

function draining(): RpcError {
  return new RpcError("unavailable", {
    reason: "SERVER_DRAINING",
    message: "the process shuts down; come again with the last cursor",
  });
}
