/**
 * What the process as a whole can still carry: whether its heap is nearly full, and whether its event loop comes round in time.
 * Looked at by a timer four times a second, so that a call only reads two booleans.
 */
import { getHeapStatistics } from "node:v8";
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

function heapInUse(): number {
  const { used_heap_size: used, heap_size_limit: most } = getHeapStatistics();
  return used / most;
}
