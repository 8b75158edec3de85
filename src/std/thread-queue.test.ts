import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { ThreadQueue } from "./thread-queue.ts";

/** A clock that moves while work is done, and only then. */
function thread() {
  const time = { now: 0 };
  const queue = new ThreadQueue({ now: () => time.now, monotonic: () => time.now });
  const done: string[] = [];
  const work = (name: string, costMs: number): void => {
    time.now += costMs;
    done.push(name);
  };
  const offer = (name: string, costMs: number): void => {
    if (queue.isFree(time.now)) work(name, costMs);
    else void queue.wait(costMs, time.now).then(() => work(name, costMs));
  };
  return { time, queue, done, offer };
}

describe("the queue for the thread", () => {
  test("is passed by while there is little to do, and in each turn again", async () => {
    const { done, offer } = thread();
    for (let turn = 0; turn < 3; turn += 1) {
      offer("a", 1);
      offer("b", 1);
      assert.deepEqual(done.splice(0), ["a", "b"]);
      await nextTurn();
    }
  });

  test("is served in the order of arrival, a little in each turn", async () => {
    const { done, offer } = thread();
    for (const name of ["a", "b", "c", "d"]) offer(name, 5);
    assert.deepEqual(done, ["a"]);
    await nextTurn();
    assert.deepEqual(done, ["a", "b"]);
    offer("e", 1);
    assert.deepEqual(done, ["a", "b"], "there are others before it");
    await nextTurn();
    await nextTurn();
    assert.deepEqual(done, ["a", "b", "c", "d"]);
    for (const name of ["f", "g", "h", "i"]) offer(name, 1);
    await nextTurn();
    assert.deepEqual(done.slice(4), ["e", "f", "g", "h"], "four milliseconds");
    await nextTurn();
    assert.deepEqual(done.slice(8), ["i"]);
  });

  test("goes on with the next when what holds the thread is done", async () => {
    const { time, queue } = thread();
    const done: string[] = [];
    const steps = async (name: string): Promise<void> => {
      for (let step = 0; step < 10; step += 1) {
        await Promise.resolve();
        time.now += 0.3;
      }
      done.push(name);
    };
    assert.ok(queue.isFree(time.now));
    for (const name of ["a", "b", "c"]) void queue.wait(3, time.now).then(() => queue.hold(steps(name)));
    await nextTurn();
    assert.deepEqual(done, ["a", "b"], "3 ms each: after the second there is no time left");
    await nextTurn();
    assert.deepEqual(done, ["a", "b", "c"]);
  });

  test("gets as much of the thread as goes into reading and refusing", async () => {
    const { time, done, offer } = thread();
    for (let count = 0; count < 30; count += 1) offer("work", 2);
    await nextTurn();
    done.length = 0;
    time.now += 10;
    await nextTurn();
    assert.equal(done.length, 5);
    time.now += 1000;
    await nextTurn();
    assert.equal(
      done.length,
      18,
      "13 more, of 2 ms: no longer than 25 ms at once, or nobody is refused in time",
    );
  });

  test("is full at 25 ms, and for a burst at what was saved while nothing waited", async () => {
    const { time, queue, offer } = thread();
    const fill = (): number => {
      let count = 0;
      for (; !queue.isFull(time.now, false) && count < 1000; count += 1) offer("work", 5);
      return count;
    };
    const drained = async (): Promise<void> => {
      while (!queue.isFree(time.now)) await nextTurn();
      await nextTurn();
    };
    assert.equal(fill(), 26, "one at once, 125 ms that wait");
    assert.equal(queue.isFull(time.now, true), true);
    await drained();
    const spent = fill();
    assert.ok(
      spent >= 6 && spent < 10,
      `${spent}: 25 ms, and what little was saved at both ends of the burst`,
    );
    await drained();
    assert.equal(queue.isFull(time.now, true), false);
    time.now += 500;
    const saved = fill();
    assert.ok(saved >= 6 + 10 && saved < 10 + 10, `${saved}: 50 ms more`);
    await drained();
    time.now += 10_000;
    assert.equal(fill(), 26, "no more than 100 ms ever are");
  });

  test("carries on at three times what there is time for: the thread is never idle, waits are short, refusals quick", async () => {
    const { time, queue } = thread();
    const waits: number[] = [];
    const refusals: number[] = [];
    let busyMs = 0;
    let sent = 0;
    while (time.now < 2000) {
      // Whatever has come since the last turn is read now: 1500 a second of 2 ms each.
      for (; sent < time.now * 1.5 + 1; sent += 1) {
        const sentAtMs = sent / 1.5;
        if (queue.isFull(time.now, false)) {
          time.now += 0.05;
          refusals.push(time.now - sentAtMs);
          continue;
        }
        const work = (): void => {
          if (sentAtMs > 300) waits.push(time.now - sentAtMs);
          time.now += 2;
          busyMs += 2;
        };
        if (queue.isFree(time.now)) work();
        else void queue.wait(2, time.now).then(work);
      }
      await nextTurn();
    }
    assert.ok(busyMs / time.now > 0.94, `${busyMs} of ${time.now} ms were work`);
    assert.ok(Math.max(...waits) < 32, `${Math.max(...waits)} ms until one began`);
    assert.ok(Math.max(...refusals) < 5, `${Math.max(...refusals)} ms until one was refused`);
  });

  test("starts again when it was empty", async () => {
    const { done, offer } = thread();
    for (let round = 0; round < 3; round += 1) {
      for (let count = 0; count < 4; count += 1) offer("work", 2);
      for (let turn = 0; turn < 4; turn += 1) await nextTurn();
      assert.equal(done.splice(0).length, 4);
    }
  });

  test("takes what work adds while it is served", async () => {
    const { queue, time, done, offer } = thread();
    offer("a", 5);
    void queue.wait(5, time.now).then(() => {
      done.push("b");
      void queue.wait(5, time.now).then(() => done.push("c"));
      time.now += 5;
    });
    await nextTurn();
    assert.deepEqual(done, ["a", "b"]);
    await nextTurn();
    assert.deepEqual(done, ["a", "b", "c"]);
    await nextTurn();
    assert.equal(queue.isFree(time.now), true);
  });
});
