/** Long polling: who is woken, what is read then, and how many may wait. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { CallHead } from "#rpc/call.ts";
import { createUnaryCall } from "#rpc/call.ts";
import { Metadata } from "#rpc/metadata.ts";
import type { Method } from "#rpc/method.ts";
import type { Payload } from "#rpc/payload.ts";
import { localPrincipal } from "#rpc/principal.ts";
import { systemClock as clock } from "#std/clock.ts";
import { Hub } from "./hub.ts";
import type { EventRow } from "./tables.ts";
import { Waiting } from "./waiting.ts";

const wait = { $typeName: "google.protobuf.Duration" as const, seconds: 5n, nanos: 0 };

/** A log in memory, and who waits for it. */
class Bench {
  readonly #rows = new Map<string, EventRow[]>();
  readonly hub = new Hub({
    read: async (tenant, after, limit) => this.#of(tenant).slice(after, after + limit),
  });
  readonly waiting = new Waiting({ hub: this.hub, clock, head: async (tenant) => this.#of(tenant).length });
  /** What was read, from where. */
  readonly listed: (number | undefined)[] = [];

  happens(tenant: string, subject: string): void {
    const rows = this.#of(tenant);
    rows.push({ tenant, subject, number: rows.length + 1 } as EventRow);
    this.hub.ring(tenant);
  }

  /** Waits for what happens to `wanted`, and is concerned by all of `bpmn`. */
  ask(tenant: string, wanted: string, waits = wait): Promise<readonly EventRow[]> {
    return this.waiting.until(callOf(tenant), waits, {
      list: async (from) => {
        this.listed.push(from);
        return this.#of(tenant).filter(({ subject, number }) => subject === wanted && number > (from ?? 0));
      },
      isEmpty: (rows) => rows.length === 0,
      concerns: ({ subject }) => subject.startsWith("bpmn/"),
    });
  }

  #of(tenant: string): EventRow[] {
    let rows = this.#rows.get(tenant);
    if (rows === undefined) {
      rows = [];
      this.#rows.set(tenant, rows);
    }
    return rows;
  }
}

function callOf(tenant: string): CallHead {
  return createUnaryCall(
    {
      ...{ method: {} as Method, id: "one", protocol: "rest", peer: { address: "127.0.0.1", port: 1 } },
      ...{ principal: { ...localPrincipal, tenant }, metadata: new Metadata() },
      ...{ timeoutMs: undefined, startedAtMs: clock.monotonic() },
    },
    {} as Payload,
  );
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 60));

describe("who waits for events", () => {
  test("is woken by what may concern it alone, and reads on from where it was", async () => {
    const bench = new Bench();
    bench.happens("one", "bpmn/before");
    const answer = bench.ask("one", "bpmn/wanted");
    await settled();
    assert.deepEqual(bench.listed, [undefined, undefined]);
    bench.happens("other", "bpmn/wanted");
    for (let count = 0; count < 300; count += 1) bench.happens("one", `users/${count}`);
    await settled();
    assert.deepEqual(bench.listed, [undefined, undefined]);
    bench.happens("one", "bpmn/else");
    await settled();
    assert.equal(bench.listed.length, 3);
    bench.happens("one", "bpmn/wanted");
    assert.deepEqual(
      (await answer).map(({ number }) => number),
      [303],
    );
    // From the head when it began to wait, then from what it had read.
    assert.deepEqual(bench.listed.slice(2), [1, 302]);
    assert.equal(bench.hub.followers, 0);
  });

  test("waits no longer than it asked for, and loses nothing on the way", async () => {
    const bench = new Bench();
    const short = { ...wait, seconds: 0n, nanos: 50_000_000 };
    assert.deepEqual(await bench.ask("one", "bpmn/wanted", short), []);
    bench.happens("one", "bpmn/wanted");
    assert.equal((await bench.ask("one", "bpmn/wanted", short)).length, 1);
  });

  test("is one of fifty of its tenant; others have room", async () => {
    const bench = new Bench();
    const all = Array.from({ length: 50 }, () => bench.ask("greedy", "bpmn/wanted"));
    await settled();
    assert.deepEqual(await bench.ask("greedy", "bpmn/wanted"), []);
    const modest = bench.ask("modest", "bpmn/wanted");
    await settled();
    assert.equal(bench.hub.followers, 51);
    bench.happens("modest", "bpmn/wanted");
    assert.equal((await modest).length, 1);
    bench.happens("greedy", "bpmn/wanted");
    for (const rows of await Promise.all(all)) assert.equal(rows.length, 1);
    // There is room again.
    const again = bench.ask("greedy", "bpmn/none");
    await settled();
    assert.equal(bench.hub.followers, 1);
    bench.hub.end(Object.assign(new Error("drain"), { reason: "SERVER_DRAINING" }));
    assert.deepEqual(await again, []);
  });
});
