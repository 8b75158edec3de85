import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Call } from "#rpc/call.ts";
import type { RequestPart } from "#rpc/request.ts";
import { SharedRequest } from "./shared-request.ts";

interface FakeCall {
  part: RequestPart | undefined;
  closed: number;
}

/** A request that begins at 100, and a clock that is moved by hand. */
function begun() {
  const clock = { nowMs: 100, now: () => 0, monotonic: () => clock.nowMs };
  const request = new SharedRequest({ clock, startedAtMs: 100 });
  const call = (): Call & FakeCall => {
    const made: FakeCall & { close(): void } = {
      ...{ part: undefined, closed: 0 },
      close: () => {
        made.closed += 1;
      },
    };
    return made as unknown as Call & FakeCall;
  };
  const pass = (ms: number): void => {
    clock.nowMs += ms;
  };
  return { request, call, pass };
}

describe("a request that stands for calls", () => {
  test("counts with the first what passes while none of them runs, and ends it with the answer", () => {
    const { request, call, pass } = begun();
    const [first, second] = [call(), call()];
    pass(1);
    request.wait();
    pass(1000);
    request.resume();
    pass(2);
    request.begin(first);
    pass(10);
    request.begin(second);
    pass(10);
    request.over(first);
    pass(10);
    request.over(second);
    assert.deepEqual([first.closed, second.closed], [0, 1]);
    pass(4);
    request.end();
    request.end();
    assert.deepEqual([first.closed, second.closed], [1, 1]);
    assert.deepEqual([first.part?.sharedMs, first.part?.overAtMs, first.part?.isFirst], [7, 1123, true]);
    assert.deepEqual([second.part?.sharedMs, second.part?.isFirst], [0, false]);
  });

  test("whose client leaves has its call end by itself", () => {
    const { request, call, pass } = begun();
    const one = call();
    pass(3);
    request.begin(one);
    pass(5);
    request.end();
    assert.equal(one.closed, 0);
    pass(5);
    request.over(one);
    assert.deepEqual([one.closed, one.part?.sharedMs, one.part?.overAtMs], [1, 3, undefined]);
  });

  test("lets its first call begin with it, and a later round when it is asked for", () => {
    const { request, call, pass } = begun();
    pass(5);
    assert.equal(request.nextStartedAtMs, 100);
    const one = call();
    request.begin(one);
    request.over(one);
    // The person is asked.
    request.wait();
    pass(60_000);
    assert.equal(request.nextStartedAtMs, 60_105);
    const again = call();
    request.begin(again);
    request.over(again);
    pass(1);
    request.end();
    assert.deepEqual([one.part?.sharedMs, again.part?.sharedMs], [6, 0]);
  });

  test("without a call is told of by who refuses it", () => {
    const { request } = begun();
    assert.equal(request.called, false);
    request.end();
    request.delegate();
    assert.equal(request.called, true);
  });
});
