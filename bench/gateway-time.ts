/**
 * What the gateway itself takes of a call when a thousand come in a second, everything on: from its own histogram, in which the service's
 * time is not. Requests leave when their time has come, so that a slow answer does not thin the load.
 */
import { load } from "../tests/support/open-loop.ts";
import { prepare } from "./documents.ts";
import { restPath } from "./message.ts";
import { type ServerProcess, startPortico } from "./server-process.ts";
import type { Row } from "./table.ts";

const perSecond = 1000;

export async function measureGatewayTime(seconds: number): Promise<Row[]> {
  const server = await startPortico({ authentication: "on" });
  try {
    await prepare(server);
    const options = {
      ...{ url: `http://127.0.0.1:${server.httpPort}${restPath}`, connections: 64, perSecond },
      headers: { "x-api-key": server.key },
    };
    // Compiled and warm is what runs for days.
    await load({ ...options, seconds: Math.min(5, seconds) });
    const before = await bucketsOf(server);
    const { goodput } = await load({ ...options, seconds });
    const after = await bucketsOf(server);
    if (goodput < perSecond * 0.9)
      throw new Error(`${goodput.toFixed(0)} answers a second came, not ${perSecond}`);
    const counts = after.map(({ bound, count }, at) => ({ bound, count: count - (before[at]?.count ?? 0) }));
    const what = `gateway time at ${perSecond} requests a second, everything on`;
    return [
      { what: `${what}: p50 (ms)`, target: "<= 0.3", value: quantile(counts, 0.5) * 1000, digits: 3 },
      { what: `${what}: p99 (ms)`, target: "<= 1.5", value: quantile(counts, 0.99) * 1000, digits: 3 },
    ];
  } finally {
    await server.stop();
  }
}

/** How many observations were at most `bound` seconds. */
interface Bucket {
  readonly bound: number;
  readonly count: number;
}

async function bucketsOf(server: ServerProcess): Promise<Bucket[]> {
  const text = await (await fetch(`http://127.0.0.1:${server.httpPort}/metrics`)).text();
  const lines = text.matchAll(
    /^portico_gateway_overhead_seconds_bucket\{protocol="rest",le="([^"]+)"\} (\d+)$/gm,
  );
  return [...lines].map(([, bound, count]) => ({
    bound: bound === "+Inf" ? Number.POSITIVE_INFINITY : Number(bound),
    count: Number(count),
  }));
}

/** As Prometheus estimates it: evenly spread within a bucket. */
function quantile(buckets: readonly Bucket[], part: number): number {
  const wanted = (buckets.at(-1)?.count ?? 0) * part;
  const at = buckets.findIndex((bucket) => bucket.count >= wanted);
  const upper = buckets[at];
  const lower = buckets[at - 1] ?? { bound: 0, count: 0 };
  if (upper === undefined) return Number.NaN;
  if (upper.bound === Number.POSITIVE_INFINITY) return lower.bound;
  return lower.bound + ((upper.bound - lower.bound) * (wanted - lower.count)) / (upper.count - lower.count);
}
