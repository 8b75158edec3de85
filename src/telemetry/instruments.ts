/**
 * Counters and histograms in the Prometheus text format. Own code because a label look-up per call in a general library costs more than the
 * rest of this area.
 *
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 */

/** Labels of one series as they are written: `a="b",c="d"`; empty: none. */
export type Labels = string;

export function labels(pairs: Readonly<Record<string, string>>): Labels {
  return Object.entries(pairs)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join(",");
}

function escaped(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}

/** Values spread over buckets, with their sum. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  /** @param bounds upper bounds in ascending order; one above all of them is there without being named. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    let bucket = 0;
    while (bucket < this.#bounds.length && value > (this.#bounds[bucket] ?? 0)) bucket += 1;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += value;
    this.#count += 1;
  }

  lines(name: string, of: Labels): string[] {
    const prefix = of === "" ? "" : `${of},`;
    const suffix = of === "" ? "" : `{${of}}`;
    let total = 0;
    const buckets = this.#bounds.map((bound, at) => {
      total += this.#counts[at] ?? 0;
      return `${name}_bucket{${prefix}le="${bound}"} ${total}`;
    });
    return [
      ...buckets,
      `${name}_bucket{${prefix}le="+Inf"} ${this.#count}`,
      `${name}_sum${suffix} ${this.#sum}`,
      `${name}_count${suffix} ${this.#count}`,
    ];
  }
}

/** A number for each of a few names. A name too many is counted as `other`: whoever counts bounds nothing. */
export class Counters {
  readonly #values = new Map<string, number>();
  readonly #most: number;

  constructor(most = 64) {
    this.#most = most;
  }

  add(name: string, count = 1): void {
    const known = this.#values.has(name) || this.#values.size < this.#most;
    const counted = known ? name : "other";
    this.#values.set(counted, (this.#values.get(counted) ?? 0) + count);
  }

  entries(): [string, number][] {
    return [...this.#values];
  }

  lines(metric: string, label: string): string[] {
    return [...this.#values].map(([name, value]) => line(metric, labels({ [label]: name }), value));
  }
}

export function line(metric: string, of: Labels, value: number): string {
  return of === "" ? `${metric} ${value}` : `${metric}{${of}} ${value}`;
}

/** A metric with its help; without series it is not written. */
export function family(
  name: string,
  about: { readonly type: "counter" | "gauge" | "histogram"; readonly help: string },
  lines: readonly string[],
): string[] {
  if (lines.length === 0) return [];
  return [`# HELP ${name} ${about.help}`, `# TYPE ${name} ${about.type}`, ...lines];
}
