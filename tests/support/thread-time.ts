/** Time as a thread has it to itself, whatever else the machine does meanwhile. */
import { readFileSync } from "node:fs";

/**
 * Processor time of this thread so far, in milliseconds. In place of a clock where a test bounds work that waits for nothing: what other
 * processes do meanwhile does not count, and the work itself counts as on a machine of its own.
 */
export function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/**
 * A clock, in milliseconds, that stands still while this thread could go on and another process has the processor: for bounds on answers, which
 * wait for more than processor time. Where the system does not tell (it is Linux that does), a plain clock.
 */
export function undisturbedMs(): number {
  return performance.now() - queuedMs("thread-self");
}

/**
 * How long the first thread of a process has waited for a processor so far, in milliseconds.
 *
 * @see https://docs.kernel.org/scheduler/sched-stats.html ("/proc/<pid>/schedstat")
 */
export function queuedMs(process: number | "thread-self"): number {
  try {
    return Number(readFileSync(`/proc/${process}/schedstat`, "latin1").split(" ")[1]) / 1e6;
  } catch {
    return 0;
  }
}

/** @returns ends the watch and gives the longest single turn that the thread was busy since, in milliseconds. */
export function watchTurns(everyMs = 5): () => number {
  let before = threadMs();
  let longestMs = 0;
  const look = (): void => {
    const now = threadMs();
    longestMs = Math.max(longestMs, now - before);
    before = now;
  };
  const timer = setInterval(look, everyMs);
  return () => {
    clearInterval(timer);
    look();
    return longestMs;
  };
}
