/**
 * What is counted as OpenTelemetry has it: counters as monotonic sums since the process started, gauges, histograms with explicit bounds; names
 * and labels are those of /metrics, and units what those names end in. Loaded only where metrics are pushed.
 *
 * @see https://opentelemetry.io/docs/specs/otel/metrics/data-model/
 */
import { type HrTime, ValueType } from "@opentelemetry/api";
import { ProtobufMetricsSerializer } from "@opentelemetry/otlp-transformer";
import type { Resource } from "@opentelemetry/resources";
import { AggregationTemporality, DataPointType, type MetricData } from "@opentelemetry/sdk-metrics";
import type { Clock } from "#std/clock.ts";
import type { Family } from "./instruments.ts";
import { createSender, metrics as metricsSignal } from "./otlp-sender.ts";
import type { MetricsPushOptions, MetricsReceiver } from "./pushing.ts";
import { resourceOf } from "./resource.ts";

/** @param startedAtSeconds since 1970: when everything was nought. */
export function openMetricsReceiver(
  options: MetricsPushOptions,
  { clock, startedAtSeconds }: { readonly clock: Clock; readonly startedAtSeconds: number },
): MetricsReceiver {
  const resource = resourceOf(options);
  const sender = createSender({ ...options, clock }, metricsSignal);
  return {
    ...sender,
    encode: (families) =>
      encodeMetrics(families, {
        ...{ resource, version: options.version },
        startedAtMs: startedAtSeconds * 1000,
        nowMs: clock.now(),
      }),
  };
}

export interface Moment {
  readonly resource: Resource;
  readonly version: string;
  readonly startedAtMs: number;
  readonly nowMs: number;
}

/** An `ExportMetricsServiceRequest`. Families without series are left out. */
export function encodeMetrics(
  families: readonly Family[],
  { resource, version, startedAtMs, nowMs }: Moment,
): Uint8Array {
  const times = { startTime: hrTime(startedAtMs), endTime: hrTime(nowMs) };
  const metrics = families.filter(({ series }) => series.length > 0).map((family) => metricOf(family, times));
  const bytes = ProtobufMetricsSerializer.serializeRequest({
    resource,
    scopeMetrics: [{ scope: { name: "portico", version }, metrics }],
  });
  if (bytes === undefined) throw new Error("metrics could not be encoded");
  return bytes;
}

interface Times {
  readonly startTime: HrTime;
  readonly endTime: HrTime;
}

function metricOf(family: Family, times: Times): MetricData {
  const { name, help: description } = family;
  const unit = unitOf(name);
  // What is counted in pieces is whole; times and parts are not.
  const valueType = unit === "s" || unit === "1" ? ValueType.DOUBLE : ValueType.INT;
  const common = {
    descriptor: { name, description, unit, valueType },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  };
  if (family.kind === "histogram")
    return {
      ...{ ...common, dataPointType: DataPointType.HISTOGRAM },
      dataPoints: family.series.map(({ labels, value: { bounds, counts, sum, count } }) => ({
        ...{ ...times, attributes: labels.pairs },
        value: { buckets: { boundaries: [...bounds], counts: [...counts] }, sum, count },
      })),
    };
  const dataPoints = family.series.map(({ labels, value }) => ({
    ...{ ...times, attributes: labels.pairs, value },
  }));
  return family.kind === "counter"
    ? { ...common, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints }
    : { ...common, dataPointType: DataPointType.GAUGE, dataPoints };
}

const units: Readonly<Record<string, string>> = { seconds: "s", bytes: "By", ratio: "1" };

/** As UCUM writes what Prometheus writes at the end of a name; empty: things that are counted. */
function unitOf(name: string): string {
  return units[/_([a-z]+?)(?:_total)?$/.exec(name)?.[1] ?? ""] ?? "";
}

function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)];
}
