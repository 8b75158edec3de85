/**
 * What each part costs a whole call, in microseconds of the process's time: two Porticos that differ in that part alone, the same load on one
 * and the other in turn. The rows of policies.ts are the same parts alone, without what they do to the caches of a processor.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { toBinary } from "@bufbuild/protobuf";
import { prepare } from "./documents.ts";
import { type Load, loadGrpc, loadRest } from "./load.ts";
import { GetBPMNRequestSchema, grpcPath, request, restPath } from "./message.ts";
import type { PartName } from "./parts.ts";
import {
  measured,
  type PorticoOptions,
  type ServerProcess,
  startPeer,
  startPortico,
} from "./server-process.ts";
import { median, type Row } from "./table.ts";

/** Of a whole Portico. */
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

const message = toBinary(GetBPMNRequestSchema, request);
const grpc = (server: ServerProcess, seconds: number): Promise<Load> =>
  loadGrpc(server.grpcPort, { path: grpcPath, message, headers: { "x-api-key": server.key } }, seconds);

/** On and off in whole calls; all together last. */
const switched: readonly (readonly [string, readonly PartName[]])[] = [
  ["metrics", ["metrics"]],
  ["deadline", ["deadline"]],
  ["admission", ["admit"]],
  ["authentication", ["authenticate"]],
  ["limits", ["limit"]],
  ["authorization by scope", ["authorize"]],
  ["authorization by a rule", ["authorize by a rule"]],
  ["validation", ["validate"]],
  ["audit, of a call that is audited", ["audit"]],
  [
    "all of these, audit of what is not audited, idempotency",
    [
      ...(["metrics", "deadline", "admit", "authenticate", "limit", "audit, not audited"] as const),
      ...(["authorize", "validate", "idempotency"] as const),
    ],
  ],
];

export interface CostOptions {
  readonly rounds: number;
  /** Of each load. */
  readonly seconds: number;
  readonly warm: boolean;
}

/** Takes traces and keeps none. */
export async function startReceiver(): Promise<{ readonly endpoint: string; close(): void }> {
  const server = createServer((request, response) => {
    request
      .resume()
      .on("end", () => response.writeHead(200, { "content-type": "application/x-protobuf" }).end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

export async function measureCosts(options: CostOptions): Promise<Row[]> {
  const receiver = await startReceiver();
  const rows: Row[] = [];
  try {
    for (const part of partsOf(receiver.endpoint)) rows.push(await costOf(part, options));
    rows.push(...(await costsOfParts(options)));
  } finally {
    receiver.close();
  }
  return rows;
}

/** Each part against a process without any, over REST and over gRPC. */
async function costsOfParts({ rounds, seconds, warm }: CostOptions): Promise<Row[]> {
  const portico = await startPortico(lean);
  const env = await prepare(portico);
  await portico.stop();
  const start = (parts: readonly PartName[]): Promise<ServerProcess> =>
    startPeer("parts", { ...env, BENCH_PARTS: parts.join(";") });
  const rows: Row[] = [];
  const without = await start([]);
  const loads = { REST: rest, gRPC: grpc };
  try {
    if (warm) for (const load of Object.values(loads)) await load(without, 2);
    // One start shows that none rots.
    for (const [what, parts] of warm ? switched : switched.slice(-1)) {
      const having = await start(parts);
      try {
        for (const [protocol, load] of Object.entries(loads)) {
          if (warm) await load(having, 1);
          const value = await differenceOf(load, { without, having, rounds, seconds });
          rows.push({ what: `whole ${protocol} call: ${what} (µs)`, target: "-", value, digits: 1 });
        }
      } finally {
        await having.stop();
      }
    }
  } finally {
    await without.stop();
  }
  return rows;
}

/** Of the process's time a call, in microseconds, the median of rounds. */
async function differenceOf(
  load: (server: ServerProcess, seconds: number) => Promise<Load>,
  about: {
    readonly without: ServerProcess;
    readonly having: ServerProcess;
    readonly rounds: number;
    readonly seconds: number;
  },
): Promise<number> {
  const { without, having, rounds, seconds } = about;
  const differences: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const before = await measured(without, () => load(without, seconds));
    const after = await measured(having, () => load(having, seconds));
    differences.push(after.micros - before.micros);
  }
  return median(differences);
}

async function costOf({ what, without, having }: Part, { rounds, seconds, warm }: CostOptions): Promise<Row> {
  const servers = [await startPortico(without), await startPortico(having)] as const;
  try {
    for (const server of servers) {
      await prepare(server);
      if (warm) await rest(server, 2);
    }
    const [bare, full] = servers;
    const value = await differenceOf(rest, { without: bare, having: full, rounds, seconds });
    return { what: `whole call: ${what} (µs)`, target: "-", value, digits: 1 };
  } finally {
    for (const server of servers) await server.stop();
  }
}
