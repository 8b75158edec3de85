/**
 * Counters and histograms of calls, in the Prometheus text format. Own code because a label lookup per call in a general
 * library costs more than the rest of this area; the series of a method are found by two map reads.
 *
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 */
import type { Call } from "#rpc/call.ts";
import type { Code } from "#rpc/code.ts";

/** Upper bounds in seconds: from a call in process to one at its deadline. */
const bounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15] as const;

interface Series {
  readonly labels: string;
  readonly buckets: number[];
  sumSeconds: number;
  count: number;
  readonly byCode: Map<Code, number>;
}

export class CallMetrics {
  readonly #series = new Map<string, Map<string, Series>>();

  observe(call: Call, code: Code, durationMs: number): void {
    const series = this.#of(call.protocol, call.method.name);
    const seconds = durationMs / 1000;
    let bucket = 0;
    while (bucket < bounds.length && seconds > (bounds[bucket] ?? 0)) bucket += 1;
    series.buckets[bucket] = (series.buckets[bucket] ?? 0) + 1;
    series.sumSeconds += seconds;
    series.count += 1;
    series.byCode.set(code, (series.byCode.get(code) ?? 0) + 1);
  }

  render(): string {
    const all = [...this.#series.values()].flatMap((byMethod) => [...byMethod.values()]);
    const memory = process.memoryUsage();
    const lines = [
      "# HELP portico_calls_total Calls finished, by method, protocol and code.",
      "# TYPE portico_calls_total counter",
      ...all.flatMap((series) =>
        [...series.byCode].map(
          ([code, count]) => `portico_calls_total{${series.labels},code="${code}"} ${count}`,
        ),
      ),
      "# HELP portico_call_duration_seconds Time from the head of the request to the end of the reply.",
      "# TYPE portico_call_duration_seconds histogram",
      ...all.flatMap(histogramLines),
      "# HELP process_resident_memory_bytes Resident memory.",
      "# TYPE process_resident_memory_bytes gauge",
      `process_resident_memory_bytes ${memory.rss}`,
      "# HELP nodejs_heap_size_used_bytes Heap in use.",
      "# TYPE nodejs_heap_size_used_bytes gauge",
      `nodejs_heap_size_used_bytes ${memory.heapUsed}`,
    ];
    return `${lines.join("\n")}\n`;
  }

  #of(protocol: string, method: string): Series {
    let byMethod = this.#series.get(protocol);
    if (byMethod === undefined) {
      byMethod = new Map();
      this.#series.set(protocol, byMethod);
    }
    let series = byMethod.get(method);
    if (series === undefined) {
      series = {
        labels: `method="${method}",protocol="${protocol}"`,
        buckets: [],
        sumSeconds: 0,
        count: 0,
        byCode: new Map(),
      };
      byMethod.set(method, series);
    }
    return series;
  }
}

function histogramLines(series: Series): string[] {
  let total = 0;
  const lines = bounds.map((bound, index) => {
    total += series.buckets[index] ?? 0;
    return `portico_call_duration_seconds_bucket{${series.labels},le="${bound}"} ${total}`;
  });
  return [
    ...lines,
    `portico_call_duration_seconds_bucket{${series.labels},le="+Inf"} ${series.count}`,
    `portico_call_duration_seconds_sum{${series.labels}} ${series.sumSeconds}`,
    `portico_call_duration_seconds_count{${series.labels}} ${series.count}`,
  ];
}
