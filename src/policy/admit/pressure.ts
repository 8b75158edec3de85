/**
 * What the process as a whole can still carry: whether its heap is nearly full, and whether its event loop comes round in time.
 * Looked at by a timer four times a second, so that a call only reads two booleans.
 */
import { getHeapSpaceStatistics, getHeapStatistics } from "node:v8";
import type { Clock } from "#std/clock.ts";

export interface Pressure {
  /** Little of the heap is left after what garbage collection gave back. */
  readonly heapFull: boolean;
  /** The event loop was late for its last look. */
  readonly late: boolean;
}

export interface PressureOptions {
  readonly clock: Clock;
  /** Share of the heap's limit that may be in use. Default 0.9. */
  readonly maxHeapShare?: number;
  /** How late the event loop may be, in milliseconds. Default 250, the longest that any input may hold it. */
  readonly maxLagMs?: number;
  /** For tests. */
  readonly heapShare?: () => number;
}

const lookEveryMs = 250;

export function watchPressure(options: PressureOptions): Pressure & { stop(): void } {
  const { clock, maxHeapShare = 0.9, maxLagMs = 250, heapShare = heapInUse } = options;
  const pressure = { heapFull: false, late: false };
  let expectedAtMs = clock.monotonic() + lookEveryMs;
  let wasFull = false;
  const timer = setInterval(() => {
    const now = clock.monotonic();
    pressure.late = now - expectedAtMs > maxLagMs;
    expectedAtMs = now + lookEveryMs;
    const full = heapShare() > maxHeapShare;
    // Twice in a row: once may be garbage that the next collection takes.
    pressure.heapFull = full && wasFull;
    wasFull = full;
  }, lookEveryMs).unref();
  return Object.assign(pressure, { stop: () => clearInterval(timer) });
}

const mebi = 1024 * 1024;

/** What lives longer: the young generation has room of its own, and garbage in it says nothing. */
function heapInUse(): number {
  let used = 0;
  for (const { space_name: name, space_used_size: size } of getHeapSpaceStatistics())
    if (!name.startsWith("new_")) used += size;
  return used / (givenHeap ?? getHeapStatistics().heap_size_limit);
}

/**
 * What the operator said, in bytes. V8's own figure has up to 192 MB for the young generation in it: a heap of 160 MB is full, and its process
 * over, at 0.44 of that. Where nobody said anything the young generation's part is below 5 %.
 */
export function readHeapOption(given: string): number | undefined {
  const [last] = [...given.matchAll(/--max[-_]old[-_]space[-_]size[= ](\d+)/g)].slice(-1);
  return last === undefined ? undefined : Number(last[1]) * mebi;
}

const givenHeap = readHeapOption([process.env.NODE_OPTIONS ?? "", ...process.execArgv].join(" "));
