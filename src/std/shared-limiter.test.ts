import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import fc from "fast-check";
import type { Rate, Verdict } from "./gcra.ts";
import { type LimitStore, SharedLimiter } from "./shared-limiter.ts";

const rate = { burst: 10, intervalMs: 1000 };

/** As a database has it; it answers at once, or one message after the other when it is told to. */
function memoryStore(now: () => number) {
  const full = new Map<string, number>();
  const held: (() => void)[] = [];
  const store = {
    ...{ away: false, hold: false, messages: 0 },
    spend: async (entries: Parameters<LimitStore["spend"]>[0], { burst, intervalMs }: Rate) => {
      store.messages += 1;
      if (store.hold) await new Promise<void>((resolve) => held.push(resolve));
      if (store.away) throw new Error("away");
      return entries.map(({ key, spent, wanted }) => {
        const used = Math.max(0, Math.max((full.get(key) ?? 0) - now(), 0) + spent * intervalMs);
        const granted = Math.min(wanted, Math.max(0, Math.floor(burst - used / intervalMs + 0.001)));
        full.set(key, now() + used + granted * intervalMs);
        return { granted, fullInMs: used + granted * intervalMs };
      });
    },
    clear: async (key: string) => {
      if (store.away) throw new Error("away");
      full.delete(key);
    },
    answerOne: (index = 0) => held.splice(index % Math.max(1, held.length), 1)[0]?.(),
  };
  return store;
}

/** Lets promises and what is due in the next turn run. */
async function settle({ mock }: TestContext): Promise<void> {
  for (let turn = 0; turn < 6; turn += 1) {
    mock.timers.tick(0);
    await Promise.resolve();
  }
}

function setUp(t: TestContext, { burst, intervalMs }: Rate = rate, exact = false) {
  t.mock.timers.enable({ apis: ["setTimeout", "setImmediate"] });
  let time = 1_000_000;
  const now = () => time;
  const store = memoryStore(now);
  const make = () => new SharedLimiter({ burst, intervalMs }, { name: "test", now, store, exact });
  const pass = async (ms: number) => {
    time += ms;
    t.mock.timers.tick(ms);
    await settle(t);
  };
  const takes = async (limiter: SharedLimiter, times: number): Promise<number> => {
    const all = Promise.all(Array.from({ length: times }, async () => await limiter.take("ana")));
    await settle(t);
    await settle(t);
    return (await all).filter(({ allowed }) => allowed).length;
  };
  return { one: make(), two: make(), make, store, pass, takes };
}

describe("a limit that is shared", () => {
  test("what one process let pass, another does not let pass again", async (t) => {
    const { one, two, takes } = setUp(t);
    assert.equal(await takes(one, 6), 6);
    assert.equal(await takes(two, 10), 4, "it asks after its first");
    assert.equal(await takes(one, 10), 1, "a sixteenth, at least one, before it hears");
    assert.equal((await takes(one, 10)) + (await takes(two, 10)), 0);
  });

  test("a call of ordinary pace waits for nobody", async (t) => {
    const { one, pass, store } = setUp(t, { burst: 200, intervalMs: 10 });
    for (let count = 0; count < 100; count += 1) {
      assert.ok(!(one.take("ana") instanceof Promise));
      await pass(10);
    }
    assert.ok(store.messages <= 20, `${store.messages} messages for one second`);
  });

  test("what comes at once is asked for in one message", async (t) => {
    const { one, store, takes } = setUp(t, { burst: 200, intervalMs: 10 });
    assert.equal(await takes(one, 300), 200);
    assert.equal(store.messages, 1);
    assert.equal(await takes(one, 300), 0);
    assert.equal(store.messages, 1, "what is known to be used up is not asked for");
  });

  test("what was too much is paid back", async (t) => {
    const { make, pass, takes } = setUp(t, { burst: 32, intervalMs: 1000 });
    const all = Array.from({ length: 6 }, make);
    const [first] = all;
    assert.ok(first !== undefined);
    assert.equal(await takes(first, 40), 32);
    // Two each before they hear of the others: ten too many.
    for (const other of all.slice(1)) assert.equal(await takes(other, 2), 2);
    await pass(60);
    const last = all.at(-1);
    assert.ok(last !== undefined);
    await pass(9800);
    assert.equal(await takes(last, 2), 0);
    await pass(1200);
    assert.equal(await takes(last, 2), 1);
  });

  test("fills again for all", async (t) => {
    const { one, two, pass, takes } = setUp(t);
    assert.equal(await takes(one, 10), 10);
    assert.equal(await takes(two, 1), 1, "a sixteenth, at least one, before it hears");
    await pass(3100);
    assert.equal(await takes(two, 10), 2, "eleven were taken, three came back");
  });

  test("a store that is lost means each for itself, never without a limit", async (t) => {
    const { one, two, store, takes, pass } = setUp(t);
    store.away = true;
    assert.equal(await takes(one, 20), 10);
    assert.equal(await takes(one, 20), 0);
    assert.equal(await takes(two, 20), 10);
    store.away = false;
    two.clear("ana");
    assert.equal(await takes(two, 20), 10);
    await pass(60);
    assert.equal(await takes(one, 1), 0);
  });

  test("one that does not answer is waited for a second, once, and what it grants then is given back", async (t) => {
    const { one, two, store, pass } = setUp(t);
    store.hold = true;
    const verdicts = Array.from({ length: 12 }, () => one.take("ana"));
    await settle(t);
    await pass(900);
    const judged: Verdict[] = [];
    for (const verdict of verdicts) void Promise.resolve(verdict).then((one) => judged.push(one));
    await pass(50);
    assert.equal(judged.length, 1, "the others wait");
    await pass(60);
    assert.equal(judged.filter(({ allowed }) => allowed).length, 11, "ten, and one that came back");
    assert.ok(!(one.take("bob") instanceof Promise) && !(one.take("bob") instanceof Promise));
    store.hold = false;
    store.answerOne();
    await pass(60);
    await pass(60);
    const verdict = two.take("ana");
    await settle(t);
    assert.equal((await verdict).allowed, true);
    await pass(60);
    assert.equal((await two.take("ana")).allowed, false);
  });

  test("an exact one counts every call before it runs, and says so when it cannot", async (t) => {
    const { one, two, store, takes } = setUp(t, rate, true);
    const both = await Promise.all([takes(one, 30), takes(two, 30)]);
    assert.equal(both[0] + both[1], 10);
    two.clear("ana");
    assert.equal(await takes(one, 30), 10, "whoever cleared it");
    store.away = true;
    const refused = assert.rejects(Promise.resolve(one.take("ana")), /away/);
    await settle(t);
    await refused;
    store.away = false;
    assert.equal(await takes(one, 1), 0);
  });

  test("whatever comes and however late the messages, no more passes than burst, time and one share of each other", async (t) => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          kind: fc.constant("take"),
          who: fc.nat(2),
          cost: fc.integer({ min: 1, max: 5 }),
        }),
      },
      {
        weight: 3,
        arbitrary: fc.record({ kind: fc.constant("burst"), who: fc.nat(2), cost: fc.constant(1) }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constant("pass"), who: fc.nat(120), cost: fc.constant(0) }),
      },
      {
        weight: 3,
        arbitrary: fc.record({ kind: fc.constant("answer"), who: fc.nat(2), cost: fc.constant(0) }),
      },
    );
    const large = { burst: 48, intervalMs: 40 };
    const share = 3;
    const { make, store, pass } = setUp(t, large);
    let key = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        key += 1;
        store.hold = true;
        const limiters = [make(), make(), make()];
        let passedMs = 0;
        let spent = 0;
        const take = (limiter: SharedLimiter | undefined, cost: number): void => {
          const count = ({ allowed }: Verdict): void => {
            if (allowed) spent += cost;
            const most = large.burst + passedMs / large.intervalMs + 2 * share;
            assert.ok(spent <= most + 0.01, `${spent} passed, ${most} may`);
          };
          const verdict = limiter?.take(`key ${key}`, cost);
          if (verdict instanceof Promise) waiting.push(verdict.then(count));
          else if (verdict !== undefined) count(verdict);
        };
        const waiting: Promise<void>[] = [];
        for (const { kind, who, cost } of steps) {
          if (kind === "take") take(limiters[who], cost);
          if (kind === "burst") for (let count = 0; count < 30; count += 1) take(limiters[who], cost);
          if (kind === "answer") store.answerOne(who);
          if (kind === "pass") passedMs += who;
          // Nobody's patience ends: then each would go on by itself.
          await pass(kind === "pass" ? who : 0);
          if (kind === "pass") for (let count = 0; count < 3; count += 1) store.answerOne();
          await settle(t);
        }
        store.hold = false;
        for (let count = 0; count < 12; count += 1) {
          store.answerOne();
          await settle(t);
        }
        await Promise.all(waiting);
      }),
      { numRuns: 300 },
    );
  });
});
