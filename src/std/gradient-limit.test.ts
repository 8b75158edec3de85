import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Baseline, GradientLimit } from "./gradient-limit.ts";

/**
 * A resource with `places`, each taken for `placeMs`, asked by `clients` that wait for their answer, or leave where they are not let in.
 * @returns the limit after `seconds`, and how long what was let in took on average in the last of them.
 */
function simulate(
  limit: GradientLimit,
  about: { places: number; placeMs: number; clients: number; seconds: number; from?: number },
): { readonly tookMs: number; readonly doneInLastSecond: number } {
  const { places, placeMs, clients, seconds, from = 0 } = about;
  const baseline = baselines.get(limit) ?? new Baseline();
  baselines.set(limit, baseline);
  let running = 0;
  const queue: { readonly since: number; readonly running: number }[] = [];
  const busy: { readonly until: number; readonly since: number; readonly running: number }[] = [];
  let took = 0;
  let done = 0;
  for (let now = from; now < from + seconds * 1000; now += 1) {
    for (let index = busy.length - 1; index >= 0; index -= 1) {
      const one = busy[index];
      if (one === undefined || one.until > now) continue;
      busy.splice(index, 1);
      running -= 1;
      limit.observe(baseline, now - one.since, { running: one.running, now });
      if (now >= from + (seconds - 1) * 1000) {
        took += now - one.since;
        done += 1;
      }
    }
    while (running < clients && running < limit.limit) {
      running += 1;
      queue.push({ since: now, running });
    }
    while (busy.length < places) {
      const next = queue.shift();
      if (next === undefined) break;
      busy.push({ until: now + placeMs, ...next });
    }
  }
  return { tookMs: took / done, doneInLastSecond: done };
}
const baselines = new WeakMap<GradientLimit, Baseline>();

describe("a limit that finds itself", () => {
  test("falls to what a resource can carry, which stays busy, and what is let in waits little", () => {
    const limit = new GradientLimit({ most: 1000 });
    simulate(limit, { places: 30, placeMs: 10, clients: 20, seconds: 5 });
    const { tookMs, doneInLastSecond } = simulate(limit, {
      ...{ places: 30, placeMs: 10, clients: 500, seconds: 10, from: 5000 },
    });
    assert.ok(limit.limit >= 30 && limit.limit < 75, `it is ${limit.limit}`);
    assert.ok(tookMs < 25, `${tookMs} ms instead of 10`);
    assert.ok(doneInLastSecond > 2700, `${doneInLastSecond} of 3000`);
  });

  test("that never saw a calm moment falls too", () => {
    const limit = new GradientLimit({ most: 1000 });
    const { tookMs } = simulate(limit, { places: 30, placeMs: 10, clients: 500, seconds: 10 });
    assert.ok(limit.limit < 120, `it is ${limit.limit}`);
    assert.ok(tookMs < 40, `${tookMs} ms instead of 10`);
  });

  test("rises again when the resource has become larger", () => {
    const limit = new GradientLimit({ most: 1000 });
    simulate(limit, { places: 10, placeMs: 10, clients: 300, seconds: 5 });
    const before = limit.limit;
    simulate(limit, { places: 200, placeMs: 10, clients: 300, seconds: 20, from: 5000 });
    assert.ok(limit.limit > 4 * before && limit.limit > 150, `from ${before} to ${limit.limit}`);
  });

  test("stays as it is while nobody comes near it, and never leaves its bounds", () => {
    const limit = new GradientLimit({ most: 1000 });
    simulate(limit, { places: 100, placeMs: 5, clients: 10, seconds: 10 });
    assert.equal(limit.limit, 250);
    const small = new GradientLimit({ most: 5 });
    simulate(small, { places: 1, placeMs: 50, clients: 300, seconds: 10 });
    assert.equal(small.limit, 5);
    const least = new GradientLimit({ most: 1000, least: 20 });
    simulate(least, { places: 1, placeMs: 50, clients: 300, seconds: 20 });
    assert.equal(least.limit, 20);
  });
});
