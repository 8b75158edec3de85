import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type LimitStore, SharedLimiter } from "./shared-limiter.ts";

const rate = { burst: 10, intervalMs: 1000 };
const moment = () => new Promise((resolve) => setTimeout(resolve, 70));

/** As a database has it. */
function memoryStore(now: () => number): LimitStore & { away: boolean } {
  const full = new Map<string, number>();
  const store = {
    away: false,
    spend: async (entries: Parameters<LimitStore["spend"]>[0]) => {
      if (store.away) throw new Error("away");
      return entries.map(({ key, spentMs }) => {
        full.set(key, Math.max(full.get(key) ?? 0, now()) + spentMs);
        return (full.get(key) ?? 0) - now();
      });
    },
    clear: async (key: string) => {
      if (store.away) throw new Error("away");
      full.delete(key);
    },
  };
  return store;
}

describe("a limit that is shared", () => {
  const setUp = () => {
    let time = 1_000_000;
    const now = () => time;
    const store = memoryStore(now);
    const make = () => new SharedLimiter(rate, { name: "test", now, store });
    const pass = (ms: number) => {
      time += ms;
    };
    return { one: make(), two: make(), store, pass };
  };
  const takes = (limiter: SharedLimiter, times: number) =>
    Array.from({ length: times }, () => limiter.take("ana")).filter(({ allowed }) => allowed).length;

  test("what one process let pass, another does not let pass again", async () => {
    const { one, two } = setUp();
    assert.equal(takes(one, 6), 6);
    await moment();
    assert.equal(takes(two, 1), 1, "it learns with its first");
    await moment();
    assert.equal(takes(two, 10), 3);
    assert.equal(takes(one, 10), 4, "and one does not know yet: at most a moment's worth too much");
    await moment();
    assert.equal(takes(one, 10) + takes(two, 10), 0);
  });

  test("fills again for all", async () => {
    const { one, two, pass } = setUp();
    takes(one, 10);
    await moment();
    takes(two, 1);
    await moment();
    pass(2000);
    assert.equal(takes(two, 10), 1, "eleven were taken, two came back");
  });

  test("a store that is lost means each for itself, never without a limit", async () => {
    const { one, two, store } = setUp();
    store.away = true;
    assert.equal(takes(one, 20), 10);
    await moment();
    assert.equal(takes(one, 20), 0);
    assert.equal(takes(two, 20), 10);
    store.away = false;
    two.clear("ana");
    assert.equal(takes(two, 20), 10);
    await moment();
    assert.equal(takes(one, 1), 0);
  });
});
