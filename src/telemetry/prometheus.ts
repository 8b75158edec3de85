/**
 * Families of series in the Prometheus text format 0.0.4.
 *
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 */
import type { Family, Labels, Series, Spread } from "./instruments.ts";

/** A family without series is not written. */
export function linesOf(families: readonly Family[]): string[] {
  return families.flatMap((family) => {
    const { name, help, kind, series } = family;
    if (series.length === 0) return [];
    const head = [`# HELP ${name} ${help}`, `# TYPE ${name} ${kind}`];
    return family.kind === "histogram"
      ? [...head, ...family.series.flatMap((one) => spreadLines(name, one))]
      : [...head, ...family.series.map((one) => line(name, one.labels, one.value))];
  });
}

function line(metric: string, { text }: Labels, value: number): string {
  return text === "" ? `${metric} ${value}` : `${metric}{${text}} ${value}`;
}

function spreadLines(name: string, { labels, value }: Series<Spread>): string[] {
  const prefix = labels.text === "" ? "" : `${labels.text},`;
  let total = 0;
  const buckets = value.bounds.map((bound, at) => {
    total += value.counts[at] ?? 0;
    return `${name}_bucket{${prefix}le="${bound}"} ${total}`;
  });
  return [
    ...buckets,
    `${name}_bucket{${prefix}le="+Inf"} ${value.count}`,
    line(`${name}_sum`, labels, value.sum),
    line(`${name}_count`, labels, value.count),
  ];
}
