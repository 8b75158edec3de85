/** Who asks for events that have not happened yet may wait a while for the first one (`wait`): long polling. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { CallHead } from "#rpc/call.ts";
import type { Clock } from "#std/clock.ts";
import type { Follower, Hub } from "./hub.ts";

/** Longest wait, in milliseconds, of a caller whose deadline allows it, and of one without a deadline of its own. */
const mostMs = 60_000;
const withoutDeadlineMs = 10_000;
/** What is left of a deadline for the answer, in milliseconds. */
const marginMs = 1000;
/** More than these are answered at once: each takes the place of a call that would work. */
const maxWaiting = 200;

/** Between the news and the next look, in milliseconds: a log that is written to all the time is not read for every event. */
const settleMs = 20;

interface Lists<T> {
  list(): Promise<T>;
  isEmpty(answer: T): boolean;
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

  constructor(options: WaitingOptions) {
    this.#options = options;
  }

  /**
   * Lists again whenever there is something new, until there is something in the list or the time is up.
   * @throws what `list` throws, and the reason of a call that was cancelled; never for a wait that was in vain.
   */
  async until<T>(call: CallHead, wait: Duration | undefined, lists: Lists<T>): Promise<T> {
    const { clock } = this.#options;
    const first = await lists.list();
    const waitMs = allowedMs(wait, call, clock);
    if (waitMs <= 0 || !lists.isEmpty(first) || this.#waiting >= maxWaiting) return first;
    this.#waiting += 1;
    try {
      return await this.#wait(call, clock.monotonic() + waitMs, lists);
    } finally {
      this.#waiting -= 1;
    }
  }

  async #wait<T>(call: CallHead, endsAt: number, { list, isEmpty }: Lists<T>): Promise<T> {
    const { hub, clock } = this.#options;
    const { tenant } = call.principal;
    let at = await this.#options.head(tenant);
    const follower = hub.follow(tenant, at);
    call.onCancel((error) => follower.interrupt(error));
    const timer = setTimeout(() => follower.interrupt(new TimeUp()), endsAt - clock.monotonic());
    try {
      for (;;) {
        // After the head is known: an event between list and head would be waited for in vain.
        const answer = await list();
        if (!isEmpty(answer) || !(await changed(follower, at, call))) return answer;
        at = (await follower.next(at)).at(-1)?.number ?? at;
        await sleep(settleMs);
      }
    } finally {
      clearTimeout(timer);
      follower.leave();
    }
  }
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
