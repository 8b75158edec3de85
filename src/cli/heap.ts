/** How much of a container's memory each worker's heap may take. */
import { totalmem } from "node:os";
import { getHeapStatistics } from "node:v8";

/** Of the memory: the rest is for buffers, compiled code and the database's pages. */
const share = 0.7;
const mebi = 1024 * 1024;

interface Machine {
  /** What the process's group may take, in bytes; Node says 0, or more than there is, where nobody set it. */
  readonly limit: number;
  readonly total: number;
  /** What V8 would take at most, in bytes. */
  readonly usual: number;
  /** Options of Node's that were given already. */
  readonly given: string;
}

/**
 * V8 sizes a heap by the container's memory as if it were alone there: several of them together would be killed for want of memory before any
 * had seen that its heap is nearly full, and had sent calls away.
 *
 * @returns options for Node; none where nobody limits the memory, or where the operator says how large a heap is.
 */
export function heapOptions(workers: number, machine: Machine = thisMachine()): string[] {
  const { limit, total, usual, given } = machine;
  if (limit <= 0 || limit >= total || /--max[-_](old[-_]space|heap)[-_]size/.test(given)) return [];
  const each = Math.floor(Math.min((limit * share) / workers, usual) / mebi);
  return [`--max-old-space-size=${each}`];
}

function thisMachine(): Machine {
  return {
    ...{ limit: process.constrainedMemory(), total: totalmem(), usual: getHeapStatistics().heap_size_limit },
    given: [process.env.NODE_OPTIONS ?? "", ...process.execArgv].join(" "),
  };
}
