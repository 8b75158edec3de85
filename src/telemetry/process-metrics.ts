/** How the process is: time that the event loop is late, memory, processor, open files. */
import { readdirSync } from "node:fs";
import { getHeapStatistics } from "node:v8";
import type { Clock } from "#std/clock.ts";
import { BusyShare, busySeconds } from "./busy-share.ts";
import { type Family, gauge, Histogram, noLabels } from "./instruments.ts";

const lagBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
/** How often the event loop is asked to be in time, in milliseconds: often enough for a stall of 100 ms, seldom enough to cost nothing. */
const everyMs = 50;

export class ProcessMetrics {
  readonly #lag = new Histogram(lagBounds);
  readonly #busy: BusyShare;
  readonly #timer: NodeJS.Timeout;
  /** Since 1970: when the process started. */
  readonly startedAtSeconds: number;

  constructor(clock: Clock) {
    this.startedAtSeconds = clock.now() / 1000 - process.uptime();
    this.#busy = new BusyShare(clock.monotonic());
    let expected = clock.monotonic() + everyMs;
    this.#timer = setInterval(() => {
      const now = clock.monotonic();
      this.#lag.observe(Math.max(0, now - expected) / 1000);
      expected = now + everyMs;
      this.#busy.tick(now);
    }, everyMs).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  families(): Family[] {
    const memory = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    return [
      {
        kind: "counter",
        name: "process_cpu_seconds_total",
        help: "Processor time, user and system.",
        series: [{ labels: noLabels, value: (user + system) / 1e6 }],
      },
      gauge("process_resident_memory_bytes", "Resident memory.", memory.rss),
      gauge(
        "process_start_time_seconds",
        "When the process started, in seconds since 1970.",
        this.startedAtSeconds,
      ),
      gauge("process_open_fds", "Open file descriptors.", openFiles()),
      gauge("nodejs_heap_size_used_bytes", "Heap in use.", memory.heapUsed),
      gauge("nodejs_heap_size_total_bytes", "Heap taken from the system.", memory.heapTotal),
      gauge("nodejs_heap_size_limit_bytes", "Heap that V8 may take.", getHeapStatistics().heap_size_limit),
      gauge("nodejs_external_memory_bytes", "Memory of buffers outside the heap.", memory.external),
      gauge(
        "nodejs_eventloop_utilization_ratio",
        `Part of the last ${busySeconds} seconds in which the event loop was busy.`,
        this.#busy.share,
      ),
      {
        kind: "histogram",
        name: "portico_event_loop_lag_seconds",
        help: `How late a timer of ${everyMs} ms was.`,
        series: [this.#lag.series(noLabels)],
      },
    ];
  }
}

/** Where the system tells: Linux. */
function openFiles(): number | undefined {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    // Elsewhere there is no such number, and no such metric.
    return undefined;
  }
}
