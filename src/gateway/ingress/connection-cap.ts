/** How many connections a process can carry: each takes one of the files that it may have open. */
import { readFileSync } from "node:fs";

/** More than that one thread cannot serve in any time that is worth the wait. */
const most = 20_000;
/** Of the files: the rest is for the database, its own files and what is opened for answers. */
const share = 0.6;
/** The option's default: without a file nobody can read a certificate or open the database again. */
export const defaultReservedFiles = 32;
/** What systems give where nobody says. */
const usualFiles = 1024;

/**
 * Connections on both ports together: 60 % of the files that the process may open, at most 20,000; as many as are asked for, but never the
 * last ones.
 *
 * @param reserved files that are kept back whatever is asked for.
 */
export function connectionCap(
  asked?: number,
  openFiles: number = maxOpenFiles(),
  reserved: number = defaultReservedFiles,
): number {
  const wanted = asked ?? Math.min(most, Math.floor(openFiles * share));
  return Math.max(1, Math.min(wanted, openFiles - reserved));
}

/** The soft limit of the process; Linux alone says it in a file. */
function maxOpenFiles(): number {
  try {
    const [, soft] = /^Max open files\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft) || usualFiles;
  } catch {
    return usualFiles;
  }
}
