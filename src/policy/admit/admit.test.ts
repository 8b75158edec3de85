import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Call } from "#rpc/call.ts";
import type { Method, MethodKind } from "#rpc/method.ts";
import type { Reply } from "#rpc/reply.ts";
import { type AdmitOptions, createAdmit, type Priority, type ShedReason } from "./admit.ts";
import { watchPressure } from "./pressure.ts";

const done = { kind: "unary" } as Reply;
const call = {} as Call;

function gate(given: Partial<AdmitOptions> = {}) {
  const time = { now: 0 };
  const shed: ShedReason[] = [];
  const pressure = { heapFull: false, late: false };
  const admit = createAdmit({
    ...{ maxConcurrentCalls: 3, adaptive: false, pressure },
    clock: { now: () => time.now, monotonic: () => time.now },
    priorityOf: ({ name }) => name as Priority,
    onShed: (_method, why) => shed.push(why),
    ...given,
  });
  const method = (name: Priority, kind: MethodKind = "unary") => ({ name, kind }) as Method;
  return { time, shed, pressure, admit, method };
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

  test("gives the thread to calls for a bounded time a turn once a queue stands", async () => {
    const { admit, method, time, shed } = gate();
    const costly = admit(() => {
      time.now += 5;
      return done;
    }, method("normal"));
    const cheap = admit(() => done, method("normal"));
    const urgent = admit(() => done, method("urgent"));
    const turn = async (calls: number): Promise<number> => {
      let taken = 0;
      for (let count = 0; count < calls; count += 1) if (!refused(() => costly(call))) taken += 1;
      assert.equal(
        refused(() => cheap(call)),
        false,
        "its refusal would cost more than it does",
      );
      assert.equal(
        refused(() => urgent(call)),
        false,
      );
      await nextTurn();
      return taken;
    };
    assert.equal(await turn(40), 40, "a burst of 200 ms is no queue");
    assert.equal(await turn(9), 9, "not for 250 ms yet");
    assert.equal(await turn(40), 6, "a turn of 25 ms");
    assert.equal(await turn(40), 6);
    assert.ok(shed.every((why) => why === "turn"));
    assert.equal(await turn(2), 2);
    time.now += 100;
    assert.equal(await turn(40), 40, "the queue is gone");
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
