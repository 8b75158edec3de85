import assert from "node:assert/strict";
import { test } from "node:test";
import { type CallStart, clientGone, createUnaryCall } from "./call.ts";
import { RpcError } from "./error.ts";
import type { Payload } from "./payload.ts";

const newCall = () => createUnaryCall({} as CallStart, {} as Payload);

test("a call that is cancelled tells everybody who listens, once, also behind one who throws", () => {
  const call = newCall();
  const heard: string[] = [];
  const fault = new TypeError("the listener has a fault");
  call.onCancel((error) => heard.push(`first ${error.reason}`));
  call.onCancel(() => {
    throw fault;
  });
  call.onCancel((error) => heard.push(`third ${error.reason}`));
  call.signal.addEventListener("abort", () => heard.push("signal"));
  const error = clientGone();
  call.cancel(error);
  call.cancel(new RpcError("internal", { reason: "OTHER", message: "another" }));
  assert.deepEqual(heard, ["signal", `first ${error.reason}`, `third ${error.reason}`]);
  assert.equal(call.canceledBy, error);
  // For the log: that it was cancelled would hide it.
  assert.deepEqual([call.failedBy?.code, call.failedBy?.cause], ["internal", fault]);
});

test("who listens too late is told at once", () => {
  const call = newCall();
  call.cancel(clientGone());
  let heard: RpcError | undefined;
  call.onCancel((error) => {
    heard = error;
  });
  assert.equal(heard, call.canceledBy);
  assert.equal(call.failedBy, undefined);
});
