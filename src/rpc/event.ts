/** What services tell of their changes, without knowing who listens. */
import type { CallHead } from "./call.ts";

export interface DomainEvent {
  /** `bpmn.created`: the resource and what happened to it; becomes `portico.bpmn.created.v1`. */
  readonly type: string;
  /** Resource name, and the topic: `bpmn/order`. */
  readonly subject: string;
  /** Version of the resource after it. */
  readonly etag?: string;
  /** JSON; small. */
  readonly data: Readonly<Record<string, string | number | boolean>>;
}

/** What of a call an event needs. */
export type EventCaller = Pick<CallHead, "principal" | "beforeCommit" | "afterCommit"> & {
  readonly id?: string;
};

export interface EventLog {
  /** Writes it with the change: in the transaction that the call's unit of work commits, or not at all. */
  record(event: DomainEvent, call: EventCaller): void;
}

/** Where nobody keeps events. */
export const noEvents: EventLog = { record: () => {} };

/** A kind of topics that a service has: `bpmn/…` for those who may read documents. */
export interface TopicKind {
  /** Before the slash. */
  readonly kind: string;
  /** Who may see its events. */
  readonly scope: string;
  /** Whether everybody may see the one topic that is named like the caller. */
  readonly own?: boolean;
}
