import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Call } from "#rpc/call.ts";
import { RpcError } from "#rpc/error.ts";
import type { Method, MethodKind } from "#rpc/method.ts";
import type { Reply } from "#rpc/reply.ts";
import { type AdmitOptions, createAdmission, type Priority, type ShedReason } from "./admit.ts";
import { readHeapOption, watchPressure } from "./pressure.ts";

const done = { kind: "unary" } as Reply;
const call = {} as Call;

function gate(given: Partial<AdmitOptions> = {}) {
  const time = { now: 0 };
  const shed: ShedReason[] = [];
  const pressure = { heapFull: false, late: false };
  const { interceptor: admit, run } = createAdmission({
    ...{ maxConcurrentCalls: 3, adaptive: false, pressure },
    clock: { now: () => time.now, monotonic: () => time.now },
    priorityOf: ({ name }) => name as Priority,
    onShed: (_method, why) => shed.push(why),
    ...given,
  });
  const method = (name: Priority, kind: MethodKind = "unary") => ({ name, kind }) as Method;
  return { time, shed, pressure, admit, run, method };
}

const refused = (run: () => unknown): boolean => {
  try {
    run();
    return false;
  } catch (error) {
    assert.deepEqual(
      [(error as { code: string }).code, (error as { reason: string }).reason],
      ["unavailable", "OVERLOADED"],
    );
    return true;
  }
};

describe("admission of work that is no call", () => {
  /** Six milliseconds, in steps that follow each other at once. */
  const work = (time: { now: number }) => async () => {
    for (let step = 0; step < 6; step += 1) {
      await Promise.resolve();
      time.now += 1;
    }
    return "done";
  };

  /** As sockets are read: one after the other. */
  const read = (): Promise<void> => new Promise((done) => queueMicrotask(() => process.nextTick(done)));

  test("learns what a piece costs of all its steps, and sends away what would wait too long", async () => {
    const { time, run, shed } = gate();
    for (let count = 0; count < 50; count += 1) {
      assert.equal(await run("graphql", work(time)), "done");
      await nextTurn();
    }
    const offered: Promise<string>[] = [];
    for (let count = 0; count < 40; count += 1) {
      offered.push((async () => await run("graphql", work(time)))());
      await read();
    }
    const results = await Promise.allSettled(offered);
    const served = results.filter(({ status }) => status === "fulfilled").length;
    // One at once, and what 25 ms and a burst of 100 ms have room for.
    assert.ok(served >= 15 && served <= 23, `${served} were served`);
    assert.deepEqual(new Set(shed), new Set(["turn"]));
    assert.equal(shed.length, 40 - served);
  });

  test("a few may wait whatever they cost", async () => {
    const { time, run, shed } = gate();
    const slow = async () => {
      await Promise.resolve();
      time.now += 300;
    };
    for (let count = 0; count < 50; count += 1) {
      await run("mcp", slow);
      await nextTurn();
    }
    const offered: Promise<void>[] = [];
    for (let count = 0; count < 10; count += 1) {
      offered.push((async () => await run("mcp", slow))());
      await read();
    }
    const results = await Promise.allSettled(offered);
    assert.deepEqual(
      results.map(({ status }) => status),
      [...Array(9).fill("fulfilled"), "rejected"],
    );
    assert.deepEqual(shed, ["turn"]);
  });

  test("holds up no call, however much of it waits", async () => {
    const { time, run, admit, method } = gate();
    for (let count = 0; count < 50; count += 1) {
      await run("mcp", work(time));
      await nextTurn();
    }
    const waiting = Array.from({ length: 5 }, async () => await run("mcp", work(time)));
    const costly = admit(() => {
      time.now += 3;
      return done;
    }, method("normal"));
    for (let count = 0; count < 3; count += 1) assert.equal(costly(call), done);
    await Promise.all(waiting);
  });

  test("is refused where too many calls wait, or the heap is full, and takes no place itself", async () => {
    const { run, admit, method, pressure, shed } = gate();
    const never = new Promise<never>(() => {});
    for (let count = 0; count < 5; count += 1) void run("graphql", () => never);
    const slow = admit(() => never, method("normal"));
    for (let count = 0; count < 3; count += 1) void slow(call);
    assert.ok(refused(() => run("graphql", () => 1)));
    pressure.heapFull = true;
    assert.ok(refused(() => run("oauth", () => 1)));
    assert.deepEqual(shed, ["concurrency", "heap"]);
  });

  test("throws what the work throws, and has learnt from it", async () => {
    const { time, run } = gate();
    const fails = () => {
      time.now += 6;
      throw new Error("no query");
    };
    for (let count = 0; count < 50; count += 1) {
      await assert.rejects(async () => await run("graphql", fails), /no query/);
      await nextTurn();
    }
    void run("graphql", () => {
      time.now += 6;
    });
    assert.ok(run("graphql", () => 1) instanceof Promise, "it waits for its turn");
  });
});

describe("admission", () => {
  test("works on so many at once, urgent ones and health besides, and on the next when one is done", async () => {
    const { admit, method, shed } = gate({ maxConcurrentCalls: 4 });
    const open: (() => void)[] = [];
    const slow = () => new Promise<Reply>((resolve) => open.push(() => resolve(done)));
    const normal = admit(slow, method("normal"));
    const running = [normal(call), normal(call), normal(call), normal(call)];
    assert.ok(refused(() => normal(call)));
    assert.deepEqual(shed, ["concurrency"]);
    assert.equal(
      refused(() => admit(slow, method("health"))(call)),
      false,
    );
    open[0]?.();
    await running[0];
    await nextTurn();
    assert.equal(
      refused(() => normal(call)),
      false,
    );
    for (const end of open) end();
  });

  test("lets urgent calls go further than others where the limit was found, never further than the operator says", () => {
    const slow = () => new Promise<Reply>(() => undefined);
    const { admit, method } = gate({ maxConcurrentCalls: 1000, adaptive: true });
    const normal = admit(slow, method("normal"));
    let count = 0;
    while (!refused(() => normal(call))) count += 1;
    assert.equal(count, 250, "what the limit begins with");
    const urgent = admit(slow, method("urgent"));
    while (!refused(() => urgent(call))) count += 1;
    assert.equal(count, 313);
  });

  test("lets some urgent calls in while more run than the limit, which has fallen, would let in now", async () => {
    const { admit, method, time, shed } = gate({ maxConcurrentCalls: 1000, adaptive: true });
    const open: (() => void)[] = [];
    const slow = () => new Promise<Reply>((resolve) => open.push(() => resolve(done)));
    const normal = admit(slow, method("normal"));
    const startOne = async (): Promise<void> => {
      void normal(call);
      time.now += 10;
      open.shift()?.();
      await nextTurn();
    };
    // What one takes when there is little to do.
    for (let count = 0; count < 20; count += 1) await startOne();
    let count = 0;
    while (!refused(() => normal(call))) count += 1;
    time.now += 1000;
    for (const end of open.splice(0, 60)) end();
    await nextTurn();
    shed.length = 0;
    assert.ok(refused(() => normal(call)));
    const urgent = admit(slow, method("urgent"));
    let inside = 0;
    while (!refused(() => urgent(call))) inside += 1;
    assert.ok(inside >= 16 && inside <= 70, `${inside} of ${count} more`);
  });

  test("does not count methods that wait for something to happen", () => {
    const { admit, method } = gate({ maxConcurrentCalls: 1, waits: () => true });
    const watch = admit(() => new Promise<Reply>(() => undefined), method("normal"));
    for (let count = 0; count < 10; count += 1)
      assert.equal(
        refused(() => watch(call)),
        false,
      );
  });

  test("does not count streams, of requests either: their clients may send as slowly as they like", () => {
    const { admit, method } = gate({ maxConcurrentCalls: 1 });
    const upload = admit(() => new Promise<Reply>(() => undefined), method("normal", "client_stream"));
    for (let count = 0; count < 10; count += 1)
      assert.equal(
        refused(() => upload(call)),
        false,
      );
    assert.equal(admit(() => done, method("normal"))(call), done);
  });

  test("does not count answers that are there at once", () => {
    const { admit, method } = gate({ maxConcurrentCalls: 1 });
    const quick = admit(() => done, method("normal"));
    for (let count = 0; count < 10; count += 1) assert.equal(quick(call), done);
  });

  describe("of calls that take 6 ms of the thread", () => {
    /** A method of which that is known. */
    async function costly(given: Partial<AdmitOptions> = {}) {
      const made = gate(given);
      const ran: Call[] = [];
      let work = (): Reply | Promise<Reply> => done;
      const handler = made.admit((call) => {
        made.time.now += 6;
        ran.push(call);
        return work();
      }, made.method("normal"));
      const finish = async (): Promise<void> => {
        for (let turn = 0; turn < 100; turn += 1) await nextTurn();
      };
      for (let count = 0; count < 100; count += 1) await handler({} as Call);
      await finish();
      ran.length = 0;
      const become = (next: () => Reply | Promise<Reply>): void => {
        work = next;
      };
      return { ...made, handler, ran, finish, become };
    }

    test("answers the first of a turn at once and the others in later turns, before which what came meanwhile is answered", async () => {
      const { admit, method, handler, ran } = await costly();
      const cheap = admit(() => done, method("normal"));
      const urgent = admit(() => done, method("urgent"));
      assert.equal(handler(call), done);
      const waiting = [handler(call), handler(call)].map(async (reply) => await reply);
      assert.equal(ran.length, 1);
      assert.equal(cheap(call), done, "what costs little waits for nobody");
      assert.equal(urgent(call), done);
      await nextTurn();
      assert.equal(ran.length, 2, "one, and what is there to be read");
      assert.deepEqual(await Promise.all(waiting), [done, done]);
    });

    test("takes a burst, and sends away what would wait for more than it can be", async () => {
      const { admit, method, handler, shed, ran, finish, pressure } = await costly();
      const offer = (calls: number): void => {
        for (let count = 0; count < calls; count += 1) refused(() => void handler(call));
      };
      offer(100);
      assert.equal(shed.length, 100 - 22, "one at once, and 125 ms that wait");
      assert.ok(shed.every((why) => why === "turn"));
      const urgent = admit(() => done, method("urgent"));
      assert.equal(urgent(call), done);
      await finish();
      assert.equal(ran.length, 22, "who was let in is served");
      shed.length = 0;
      pressure.late = true;
      offer(100);
      assert.equal(shed.length, 100 - 6, "no burst while the event loop is late");
      await finish();
    });

    test("knows calls by more than one of them: a pause in the middle of one makes none costly", () => {
      const { admit, method, time } = gate();
      let tookMs = 50;
      const cheap = admit(() => {
        time.now += tookMs;
        return done;
      }, method("normal"));
      for (let count = 0; count < 10; count += 1) {
        assert.equal(cheap(call), done);
        tookMs = 0.02;
        time.now += 1;
      }
    });

    test("does nothing for who has gone meanwhile, and says why", async () => {
      const { handler, ran } = await costly();
      const gone = new RpcError("canceled", { reason: "CLIENT_GONE", message: "gone" });
      void handler(call);
      const leaving = { canceledBy: undefined } as unknown as { canceledBy: RpcError | undefined };
      const waiting = handler(leaving as Call) as Promise<Reply>;
      leaving.canceledBy = gone;
      await assert.rejects(waiting, gone);
      assert.equal(ran.length, 1);
    });

    test("counts those in the queue that will wait for something", async () => {
      const { handler, become, shed, finish } = await costly();
      const open: (() => void)[] = [];
      become(() => new Promise<Reply>((resolve) => open.push(() => resolve(done))));
      void handler(call);
      await nextTurn();
      const waiting = [handler(call), handler(call)].map(async (reply) => await reply);
      assert.ok(refused(() => handler(call)));
      assert.deepEqual(shed, ["concurrency"], "three at once");
      await finish();
      assert.ok(refused(() => handler(call)));
      for (const end of open) end();
      await Promise.all(waiting);
      await finish();
      assert.equal(
        refused(() => void handler(call)),
        false,
      );
      open.at(-1)?.();
    });

    test("runs a call that waited in the async context it came in", async () => {
      const { handler, become } = await costly();
      const names = new AsyncLocalStorage<string>();
      const seen: (string | undefined)[] = [];
      become(() => {
        seen.push(names.getStore());
        return done;
      });
      await Promise.all(["a", "b", "c"].map((name) => names.run(name, async () => await handler(call))));
      assert.deepEqual(seen, ["a", "b", "c"]);
    });
  });

  test("takes nothing but what is urgent while the heap is full, streams neither", () => {
    const { admit, method, pressure, shed } = gate();
    pressure.heapFull = true;
    assert.ok(refused(() => admit(() => done, method("normal"))(call)));
    assert.ok(refused(() => admit(() => done, method("normal", "server_stream"))(call)));
    assert.deepEqual(shed, ["heap", "heap"]);
    assert.equal(
      refused(() => admit(() => done, method("urgent"))(call)),
      false,
    );
    pressure.heapFull = false;
    assert.equal(
      refused(() => admit(() => done, method("normal", "server_stream"))(call)),
      false,
    );
  });
});

test("a heap counts as full when two looks in a row say so, and no longer than that", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  let share = 0.95;
  const pressure = watchPressure({ clock: { now: () => 0, monotonic: () => 0 }, heapShare: () => share });
  try {
    t.mock.timers.tick(300);
    assert.equal(pressure.heapFull, false);
    t.mock.timers.tick(300);
    assert.equal(pressure.heapFull, true);
    share = 0.5;
    t.mock.timers.tick(300);
    assert.equal(pressure.heapFull, false);
  } finally {
    pressure.stop();
  }
});

test("how large a heap is counts as the operator says it, the last word first", () => {
  const mebi = 1024 * 1024;
  assert.equal(readHeapOption("--max-old-space-size=160"), 160 * mebi);
  assert.equal(readHeapOption("--max_old_space_size=90 --trace-gc --max-old-space-size 100"), 100 * mebi);
  assert.equal(readHeapOption("--max-semi-space-size=9"), undefined);
});
