/**
 * Reads the Prometheus text format strictly: what a real scrape would refuse is refused here, and what its checkers warn of too.
 *
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/#text-format-details
 */
import assert from "node:assert/strict";

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Family {
  readonly type: string;
  readonly samples: Sample[];
}

export class Metrics {
  readonly families = new Map<string, Family>();

  /** @throws AssertionError naming the line. */
  constructor(text: string) {
    assert.ok(text.endsWith("\n"), "the last line has no end");
    let helped = "";
    let current = "";
    const seen = new Set<string>();
    for (const line of text.slice(0, -1).split("\n")) {
      const help = /^# HELP ([a-zA-Z_:][\w:]*) (.+)$/.exec(line);
      const type = /^# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge|histogram)$/.exec(line);
      if (help !== null) helped = String(help[1]);
      else if (type !== null) {
        current = String(type[1]);
        assert.equal(helped, current, `${line}: no help before it`);
        assert.ok(!this.families.has(current), `${line}: a second time`);
        this.families.set(current, { type: String(type[2]), samples: [] });
      } else {
        assert.ok(!seen.has(seriesOf(line)), `${line}: the series is there twice`);
        seen.add(seriesOf(line));
        this.#add(current, line);
      }
    }
    for (const [name, family] of this.families) if (family.type === "histogram") checkHistogram(name, family);
  }

  /** Sum of the samples with these labels; undefined: there is none. */
  value(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    const found = this.samples(name).filter((sample) =>
      Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
    );
    return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0);
  }

  samples(name: string): readonly Sample[] {
    const family = this.families.get(name) ?? this.families.get(name.replace(/_(bucket|sum|count)$/, ""));
    return (family?.samples ?? []).filter((sample) => sample.name === name);
  }

  #add(current: string, line: string): void {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    assert.ok(match !== null, `${line}: no sample`);
    const [, name = "", list = "", number = ""] = match;
    const family = this.families.get(current);
    const own =
      family?.type === "histogram"
        ? [`${current}_bucket`, `${current}_sum`, `${current}_count`]
        : family?.type === "counter"
          ? [current].filter(() => current.endsWith("_total"))
          : [current];
    assert.ok(family !== undefined && own.includes(name), `${line}: not of the family ${current}`);
    const value = Number(number);
    assert.ok(number !== "" && Number.isFinite(value), `${line}: no number`);
    family.samples.push({ name, labels: readLabels(list, line), value });
  }
}

function seriesOf(line: string): string {
  return line.slice(0, line.lastIndexOf(" "));
}

function readLabels(list: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {};
  const one = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\n"])*)"(,|$)/y;
  for (let at = 0; at < list.length; at = one.lastIndex) {
    one.lastIndex = at;
    const match = one.exec(list);
    assert.ok(match !== null, `${line}: labels are not well formed`);
    labels[String(match[1])] = String(match[2]);
  }
  return labels;
}

/** Buckets that grow, and the last is the count. */
function checkHistogram(name: string, { samples }: Family): void {
  const counts = new Map(
    samples
      .filter((sample) => sample.name === `${name}_count`)
      .map((sample) => [JSON.stringify(sample.labels), sample.value]),
  );
  const buckets = Map.groupBy(
    samples.filter((sample) => sample.name === `${name}_bucket`),
    ({ labels: { le: _, ...rest } }) => JSON.stringify(rest),
  );
  assert.equal(buckets.size, counts.size, `${name}: buckets without a count`);
  for (const [key, series] of buckets) {
    let before = { bound: Number.NEGATIVE_INFINITY, value: 0 };
    for (const { labels, value } of series) {
      const bound = labels.le === "+Inf" ? Number.POSITIVE_INFINITY : Number(labels.le);
      assert.ok(bound > before.bound && value >= before.value, `${name}${key}: buckets do not grow`);
      before = { bound, value };
    }
    assert.deepEqual(before, { bound: Number.POSITIVE_INFINITY, value: counts.get(key) }, `${name}${key}`);
  }
}
