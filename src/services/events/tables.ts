/** Rows of the events service. */

export interface EventRow {
  tenant: string;
  /** Counts from 1 in each tenant, in the order of the commits. */
  number: number;
  id: string;
  type: string;
  subject: string;
  time: number;
  principal: string;
  etag: string;
  /** JSON. */
  data: string;
  request_id: string;
}

export interface EventHeadRow {
  tenant: string;
  /** Of the last event. */
  number: number;
}

export interface EventsTables {
  events_log: EventRow;
  events_heads: EventHeadRow;
}
