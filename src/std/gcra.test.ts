import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { judge, MemoryLimiter } from "./gcra.ts";

const rate = { burst: 5, intervalMs: 100 };

describe("rate limits", () => {
  test("allow a burst, then one an interval, and say when", () => {
    const limiter = new MemoryLimiter(rate);
    const burst = Array.from({ length: 5 }, () => limiter.take("a", 0));
    assert.deepEqual(
      burst.map(({ remaining }) => remaining),
      [4, 3, 2, 1, 0],
    );
    assert.deepEqual(limiter.take("a", 0), { allowed: false, remaining: 0, retryAfterMs: 100, resetMs: 500 });
    assert.equal(limiter.take("a", 99).allowed, false, "a refused one changes nothing");
    assert.equal(limiter.take("a", 100).allowed, true);
    assert.equal(limiter.take("a", 100).allowed, false);
    assert.equal(limiter.take("b", 100).allowed, true, "keys are apart");
    assert.equal(limiter.take("a", 10_000).remaining, 4, "full again");
  });
  test("hold whatever the clock reads: its fractions cost nobody a request", () => {
    const moment = fc.double({ min: 0, max: 1e9, noNaN: true });
    const anyRate = fc.record({
      burst: fc.integer({ min: 1, max: 50 }),
      intervalMs: fc.oneof(
        fc.constant(60_000),
        fc.constant(10 / 3),
        fc.double({ min: 1, max: 1e6, noNaN: true }),
      ),
    });
    fc.assert(
      fc.property(moment, anyRate, (now, { burst, intervalMs }) => {
        const limiter = new MemoryLimiter({ burst, intervalMs });
        assert.equal(limiter.take("a", now).resetMs, intervalMs);
        for (let left = burst - 2; left >= 0; left -= 1) {
          const { allowed, remaining } = limiter.take("a", now);
          assert.deepEqual([allowed, remaining], [true, left]);
        }
        assert.deepEqual([limiter.take("a", now).allowed, limiter.take("a", now).remaining], [false, 0]);
      }),
    );
  });
  test("count a cost", () => {
    const limiter = new MemoryLimiter(rate);
    assert.equal(limiter.take("a", 0, 5).remaining, 0);
    assert.deepEqual(limiter.take("a", 0, 3), {
      allowed: false,
      remaining: 0,
      retryAfterMs: 300,
      resetMs: 500,
    });
  });
  test("forget the key that was asked for longest ago when there are too many", () => {
    const limiter = new MemoryLimiter(rate, 2);
    for (const key of ["a", "b"]) limiter.take(key, 0, 5);
    limiter.take("a", 0);
    limiter.take("c", 0);
    assert.equal(limiter.take("a", 0).allowed, false);
    assert.equal(limiter.take("b", 0).allowed, true);
  });
  test("never let more through than burst and time allow", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ wait: fc.nat(300), cost: fc.integer({ min: 1, max: 5 }) })),
        (calls) => {
          let arrival: number | undefined;
          let now = 0;
          let spent = 0;
          for (const { wait, cost } of calls) {
            now += wait;
            const verdict = judge(rate, arrival, { now, cost });
            arrival = verdict.arrival;
            if (verdict.allowed) spent += cost;
            assert.ok(spent <= rate.burst + now / rate.intervalMs);
            assert.equal(verdict.allowed, verdict.retryAfterMs === 0);
            assert.ok(
              verdict.allowed || judge(rate, arrival, { now: now + verdict.retryAfterMs, cost }).allowed,
            );
          }
        },
      ),
    );
  });
});
