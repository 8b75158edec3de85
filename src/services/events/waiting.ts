/** Who asks for events that have not happened yet may wait a while for the first one (`wait`): long polling. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { CallHead } from "#rpc/call.ts";
import type { Clock } from "#std/clock.ts";
import type { Follower, Hub } from "./hub.ts";
import type { EventRow } from "./tables.ts";

/** Longest wait, in milliseconds, of a caller whose deadline allows it, and of one without a deadline of its own. */
const mostMs = 60_000;
const withoutDeadlineMs = 10_000;
/** What is left of a deadline for the answer, in milliseconds. */
const marginMs = 1000;
/** More than these are answered at once: each takes the place of a call that would work. Of one tenant fewer, or it would wait alone. */
const maxWaiting = 200;
const maxOfTenant = 50;

/** Between the news and the next look, in milliseconds: a log that is written to all the time is not read for every event. */
const settleMs = 20;

interface Lists<T> {
  /** @param from number of an event: what is in the list is known to be behind it; undefined: nothing is known. */
  list(from: number | undefined): Promise<T>;
  isEmpty(answer: T): boolean;
  /** Whether an event may be in the list: only then it is asked for again. */
  concerns(event: EventRow): boolean;
}

export interface WaitingOptions {
  readonly hub: Hub;
  readonly clock: Clock;
  /** Number of the last event of a tenant's log. */
  head(tenant: string): Promise<number>;
}

export class Waiting {
  readonly #options: WaitingOptions;
  #waiting = 0;
  readonly #ofTenant = new Map<string, number>();

  constructor(options: WaitingOptions) {
    this.#options = options;
  }

  /**
   * Lists again whenever there is something new that may be in the list, until there is something in the list or the time is up.
   * @throws what `list` throws, and the reason of a call that was cancelled; never for a wait that was in vain.
   */
  async until<T>(call: CallHead, wait: Duration | undefined, lists: Lists<T>): Promise<T> {
    const { clock } = this.#options;
    const first = await lists.list(undefined);
    const waitMs = allowedMs(wait, call, clock);
    const { tenant } = call.principal;
    const ofTenant = this.#ofTenant.get(tenant) ?? 0;
    const isFull = this.#waiting >= maxWaiting || ofTenant >= maxOfTenant;
    if (waitMs <= 0 || isFull || !lists.isEmpty(first)) return first;
    this.#waiting += 1;
    this.#ofTenant.set(tenant, ofTenant + 1);
    try {
      return await this.#wait(call, clock.monotonic() + waitMs, lists);
    } finally {
      this.#waiting -= 1;
      const left = (this.#ofTenant.get(tenant) ?? 1) - 1;
      if (left > 0) this.#ofTenant.set(tenant, left);
      else this.#ofTenant.delete(tenant);
    }
  }

  async #wait<T>(call: CallHead, endsAt: number, { list, isEmpty, concerns }: Lists<T>): Promise<T> {
    const { hub, clock } = this.#options;
    const { tenant } = call.principal;
    const head = await this.#options.head(tenant);
    const follower = hub.follow(tenant, head);
    call.onCancel((error) => follower.interrupt(error));
    const timer = setTimeout(() => follower.interrupt(new TimeUp()), endsAt - clock.monotonic());
    try {
      let at = head;
      // After the head is known: an event between list and head would be waited for in vain.
      let answer = await list(undefined);
      while (isEmpty(answer)) {
        const from = at;
        const next = await nextOf(follower, { at, call, concerns });
        if (next === undefined) return answer;
        at = next;
        await sleep(settleMs);
        answer = await list(from);
      }
      return answer;
    } finally {
      clearTimeout(timer);
      follower.leave();
    }
  }
}

/** Reads on until something concerns the list. @returns where it is; undefined: the time is up, or the process shuts down. */
async function nextOf(
  follower: Follower,
  {
    at: from,
    call,
    concerns,
  }: { readonly at: number; readonly call: CallHead } & Pick<Lists<unknown>, "concerns">,
): Promise<number | undefined> {
  for (let at = from; await changed(follower, at, call); ) {
    const rows = await follower.next(at);
    at = rows.at(-1)?.number ?? at;
    if (rows.some(concerns)) return at;
  }
  return undefined;
}

function allowedMs(wait: Duration | undefined, call: CallHead, clock: Clock): number {
  if (wait === undefined) return 0;
  const { timeoutMs, startedAtMs } = call;
  const left =
    timeoutMs === undefined ? withoutDeadlineMs : timeoutMs - (clock.monotonic() - startedAtMs) - marginMs;
  return Math.min(Number(wait.seconds) * 1000 + wait.nanos / 1e6, mostMs, left);
}

class TimeUp extends Error {}

/** @returns whether there is something new; false: the time is up, or the process shuts down. @throws the reason of a cancelled call. */
async function changed(follower: Follower, at: number, call: CallHead): Promise<boolean> {
  try {
    await follower.changed(at);
    return true;
  } catch (error) {
    if (call.canceledBy !== undefined) throw call.canceledBy;
    // A process that shuts down answers with what there is; its caller asks another one.
    if (error instanceof TimeUp || isDrain(error)) return false;
    throw error;
  }
}

function isDrain(error: unknown): boolean {
  return (error as { readonly reason?: string }).reason === "SERVER_DRAINING";
}
