/** How the process is: time that the event loop is late, memory, processor, open files. */
import { readdirSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { getHeapStatistics } from "node:v8";
import type { Clock } from "#std/clock.ts";
import { family, Histogram, line } from "./instruments.ts";

const lagBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
/** How often the event loop is asked to be in time, in milliseconds: often enough for a stall of 100 ms, seldom enough to cost nothing. */
const everyMs = 50;

export class ProcessMetrics {
  readonly #lag = new Histogram(lagBounds);
  readonly #timer: NodeJS.Timeout;
  readonly #startedAtSeconds: number;

  constructor(clock: Clock) {
    this.#startedAtSeconds = clock.now() / 1000 - process.uptime();
    let expected = clock.monotonic() + everyMs;
    this.#timer = setInterval(() => {
      const now = clock.monotonic();
      this.#lag.observe(Math.max(0, now - expected) / 1000);
      expected = now + everyMs;
    }, everyMs).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  lines(): string[] {
    const memory = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    const gauges: readonly (readonly [string, string, number | undefined])[] = [
      ["process_resident_memory_bytes", "Resident memory.", memory.rss],
      [
        "process_start_time_seconds",
        "When the process started, in seconds since 1970.",
        this.#startedAtSeconds,
      ],
      ["process_open_fds", "Open file descriptors.", openFiles()],
      ["nodejs_heap_size_used_bytes", "Heap in use.", memory.heapUsed],
      ["nodejs_heap_size_total_bytes", "Heap taken from the system.", memory.heapTotal],
      ["nodejs_heap_size_limit_bytes", "Heap that V8 may take.", getHeapStatistics().heap_size_limit],
      ["nodejs_external_memory_bytes", "Memory of buffers outside the heap.", memory.external],
      [
        "nodejs_eventloop_utilization_ratio",
        "Part of the time since the start in which the event loop was busy.",
        performance.eventLoopUtilization().utilization,
      ],
    ];
    return [
      ...family("process_cpu_seconds_total", { type: "counter", help: "Processor time, user and system." }, [
        line("process_cpu_seconds_total", "", (user + system) / 1e6),
      ]),
      ...gauges.flatMap(([name, help, value]) =>
        value === undefined ? [] : family(name, { type: "gauge", help }, [line(name, "", value)]),
      ),
      ...family(
        "portico_event_loop_lag_seconds",
        { type: "histogram", help: `How late a timer of ${everyMs} ms was.` },
        this.#lag.lines("portico_event_loop_lag_seconds", ""),
      ),
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
