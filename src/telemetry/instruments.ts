/**
 * Counters and histograms, and what they say as families of series: what is scraped and what is pushed are made of the same. Own code because
 * a label look-up per call in a general library costs more than the rest of this area.
 */

/** Labels of one series, with the text that a scrape has of them: `a="b",c="d"`; empty: none. */
export interface Labels {
  readonly pairs: Readonly<Record<string, string>>;
  readonly text: string;
}

/** A metric: everything of one name. */
export type Family = {
  /** As Prometheus has it: unit at the end, `_total` where it counts. */
  readonly name: string;
  readonly help: string;
} & (
  | { readonly kind: "counter" | "gauge"; readonly series: readonly Series<number>[] }
  | { readonly kind: "histogram"; readonly series: readonly Series<Spread>[] }
);

export interface Series<Value> {
  readonly labels: Labels;
  readonly value: Value;
}

/** What a histogram has seen. */
export interface Spread {
  /** Upper bounds in ascending order. */
  readonly bounds: readonly number[];
  /** Of each bucket alone; one more than there are bounds. */
  readonly counts: readonly number[];
  readonly sum: number;
  readonly count: number;
}

export function labels(pairs: Readonly<Record<string, string>>): Labels {
  const text = Object.entries(pairs)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join(",");
  return { pairs, text };
}

export const noLabels: Labels = labels({});

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

  /** As it is now; what comes later does not change it. */
  series(of: Labels): Series<Spread> {
    const value = { bounds: this.#bounds, counts: [...this.#counts], sum: this.#sum, count: this.#count };
    return { labels: of, value };
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

  /** @param label that has the names. */
  series(label: string): Series<number>[] {
    return [...this.#values].map(([name, value]) => ({ labels: labels({ [label]: name }), value }));
  }
}

/** Of one value without labels; undefined: it has none now. */
export function gauge(name: string, help: string, value: number | undefined): Family {
  return { kind: "gauge", name, help, series: value === undefined ? [] : [{ labels: noLabels, value }] };
}
