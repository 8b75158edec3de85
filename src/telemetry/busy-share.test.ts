import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { BusyShare, busySeconds } from "./busy-share.ts";

/** A loop that is as busy as it is told. */
class Loop {
  nowMs = 0;
  #active = 0;
  #idle = 0;
  readonly look = () => ({ active: this.#active, idle: this.#idle, utilization: 0 });
  readonly share = new BusyShare(0, this.look);

  run(seconds: number, busy: number): void {
    for (let step = 0; step < seconds * 20; step += 1) {
      this.nowMs += 50;
      this.#active += 50 * busy;
      this.#idle += 50 * (1 - busy);
      this.share.tick(this.nowMs);
    }
  }
}

describe("the busy share of a loop", () => {
  test("is of the last seconds, whatever was before", () => {
    const loop = new Loop();
    loop.run(1000, 0);
    loop.run(busySeconds + 1, 0.8);
    assert.ok(Math.abs(loop.share.share - 0.8) < 0.001, String(loop.share.share));
    loop.run(busySeconds + 1, 0);
    assert.equal(loop.share.share, 0);
  });

  test("is the same for everybody who asks, however often", () => {
    const loop = new Loop();
    loop.run(30, 0.5);
    const first = loop.share.share;
    for (let asked = 0; asked < 10; asked += 1) assert.equal(loop.share.share, first);
    assert.ok(Math.abs(first - 0.5) < 0.001);
  });

  test("of one that has just begun is what there is, and no more than all", () => {
    const loop = new Loop();
    assert.equal(loop.share.share, 0);
    loop.run(0.5, 1);
    assert.equal(loop.share.share, 1);
  });

  test("is of this thread's loop", async () => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    const share = new BusyShare(0);
    const until = performance.now() + 30;
    while (performance.now() < until);
    assert.ok(share.share > 0 && share.share <= 1, String(share.share));
  });
});
