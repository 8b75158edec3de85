/** From rows to messages. */
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Event, EventSchema } from "#gen/portico/events/v1/events_pb.ts";
import { cursorOf } from "./cursor.ts";
import type { EventRow } from "./tables.ts";

export function toEvent(row: EventRow): Event {
  return create(EventSchema, {
    specversion: "1.0",
    id: row.id,
    source: `/tenants/${row.tenant}`,
    type: row.type,
    subject: row.subject,
    time: timestampFromMs(row.time),
    datacontenttype: "application/json",
    data: JSON.parse(row.data),
    topic: row.subject,
    cursor: cursorOf(row.number),
    principal: row.principal,
    etag: row.etag,
    request: row.request_id,
  });
}
