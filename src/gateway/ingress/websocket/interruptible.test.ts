import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { clientGone } from "#rpc/call.ts";
import type { RpcError } from "#rpc/error.ts";
import { interruptible } from "./interruptible.ts";

function endless() {
  const call = {
    canceledBy: undefined as RpcError | undefined,
    listeners: [] as ((error: RpcError) => void)[],
    onCancel: (listener: (error: RpcError) => void) => void call.listeners.push(listener),
    cancel: (error: RpcError) => {
      call.canceledBy = error;
      for (const listener of call.listeners) listener(error);
    },
  };
  return call;
}

describe("a wait of a call", () => {
  test("ends with what is waited for, or with the call, also with one that is over", async () => {
    const call = endless();
    const until = interruptible(call);
    await until(Promise.resolve());
    const broken = new Error("gone");
    await assert.rejects(until(Promise.reject(broken)), broken);
    const never = new Promise<void>(() => undefined);
    const waiting = until(never);
    call.cancel(clientGone());
    await assert.rejects(waiting, { reason: "CALL_CANCELED" });
    await assert.rejects(until(never), { reason: "CALL_CANCELED" });
  });

  test("leaves nothing behind, however many there are", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const call = endless();
    const until = interruptible(call);
    const wait = async (count: number): Promise<void> => {
      for (let at = 0; at < count; at += 1) await until(Promise.resolve());
    };
    await wait(1000);
    collect();
    const before = process.memoryUsage().heapUsed;
    await wait(50_000);
    collect();
    // Each that was kept would take 100 bytes at the least.
    assert.ok(process.memoryUsage().heapUsed - before < 1_000_000);
    assert.equal(call.listeners.length, 1);
  });
});
