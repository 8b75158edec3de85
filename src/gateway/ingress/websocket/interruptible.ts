/** Waits of a call, one after the other, each until the call ends. */
import type { Call } from "#rpc/call.ts";

/**
 * No race with one promise for all: that would keep something of every wait for as long as the call runs, and a call may run for days.
 *
 * @returns waits for a promise; rejects with what ended the call, where that comes first. One at a time.
 */
export function interruptible(
  call: Pick<Call, "canceledBy" | "onCancel">,
): (wait: Promise<void>) => Promise<void> {
  let interrupt: ((error: Error) => void) | undefined;
  call.onCancel((error) => interrupt?.(error));
  return (wait) =>
    new Promise((resolve, reject) => {
      interrupt = reject;
      wait.then(resolve, reject);
      if (call.canceledBy !== undefined) reject(call.canceledBy);
    });
}
