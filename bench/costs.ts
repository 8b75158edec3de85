/**
 * What each part costs a whole call, in microseconds of the process's time: two Porticos that differ in that part alone, the same load on one
 * and the other in turn. The rows of policies.ts are the same parts alone, without what they do to the caches of a processor.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { prepare } from "./documents.ts";
import { type Load, loadRest } from "./load.ts";
import { restPath } from "./message.ts";
import { measured, type PorticoOptions, type ServerProcess, startPortico } from "./server-process.ts";
import { median, type Row } from "./table.ts";

interface Part {
  readonly what: string;
  readonly without: PorticoOptions;
  readonly having: PorticoOptions;
}

const lean: PorticoOptions = { databaseUrl: "memory:" };
const secured: PorticoOptions = { databaseUrl: "memory:", authentication: "on" };
const flags = (...given: string[]): PorticoOptions => ({ ...lean, flags: given });

/** @param endpoint of a receiver that takes traces and keeps none. */
const partsOf = (endpoint: string): readonly Part[] => [
  { what: "the access log", without: lean, having: { ...lean, logLevel: "info" } },
  {
    what: "a trace that is not sampled",
    without: lean,
    having: flags("--otlp-endpoint", endpoint, "--trace-ratio", "0"),
  },
  {
    what: "a sampled trace",
    without: lean,
    having: flags("--otlp-endpoint", endpoint, "--trace-ratio", "1"),
  },
  { what: "Server-Timing", without: flags("--rest-server-timing", "off"), having: lean },
  {
    what: "limits of caller and tenant",
    without: { ...secured, flags: ["--rate-limit", "off", "--tenant-rate-limit", "off"] },
    having: secured,
  },
  { what: "all that authentication brings with it", without: lean, having: secured },
];

/** One process after the other: two at once would share what is measured. */
const rest = (server: ServerProcess, seconds: number): Promise<Load> =>
  loadRest(`http://127.0.0.1:${server.httpPort}${restPath}`, seconds, {
    headers: server.key === "" ? {} : { "x-api-key": server.key },
  });

export interface CostOptions {
  readonly rounds: number;
  /** Of each load. */
  readonly seconds: number;
  readonly warm: boolean;
}

export async function measureCosts(options: CostOptions): Promise<Row[]> {
  const receiver = createServer((request, response) => {
    request
      .resume()
      .on("end", () => response.writeHead(200, { "content-type": "application/x-protobuf" }).end());
  });
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  const endpoint = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  const rows: Row[] = [];
  try {
    for (const part of partsOf(endpoint)) rows.push(await costOf(part, options));
  } finally {
    receiver.closeAllConnections();
    receiver.close();
  }
  return rows;
}

async function costOf({ what, without, having }: Part, { rounds, seconds, warm }: CostOptions): Promise<Row> {
  const servers = [await startPortico(without), await startPortico(having)] as const;
  try {
    for (const server of servers) {
      await prepare(server);
      if (warm) await rest(server, 2);
    }
    const differences: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const before = await measured(servers[0], () => rest(servers[0], seconds));
      const after = await measured(servers[1], () => rest(servers[1], seconds));
      differences.push(after.micros - before.micros);
    }
    return { what: `whole call: ${what} (µs)`, target: "-", value: median(differences), digits: 1 };
  } finally {
    for (const server of servers) await server.stop();
  }
}
