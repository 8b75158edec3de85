/** What work costs the thread that does it. */

/**
 * Processor time of this thread so far, in milliseconds. In place of a clock where a test bounds work that waits for nothing: what other
 * processes do meanwhile does not count, and the work itself counts as on a machine of its own.
 */
export function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
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
