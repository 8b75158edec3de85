/**
 * A Portico in a process of its own that tells its parent what it holds. Takes its flags as JSON, its database's URL from the environment; says
 * where it is, answers each `look` and ends on `stop`. Its access log is its standard output.
 */
import { readdirSync } from "node:fs";
import { Session } from "node:inspector/promises";
import { start } from "#compose.ts";
import { loadConfig } from "#config/config.ts";

export interface Started {
  readonly httpPort: number;
  readonly grpcPort: number;
}

/** What is in use, and open. */
export interface Look {
  /** In bytes, after a collection. */
  readonly heap: number;
  readonly descriptors: number;
  readonly timers: number;
  readonly sockets: number;
}

const [flags = "{}"] = process.argv.slice(2);
const { PORTICO_DATABASE_URL = "" } = process.env;
const given = { flags: JSON.parse(flags), env: { PORTICO_DATABASE_URL }, cwd: process.cwd() };
const portico = await start(await loadConfig(given, "development"));
const session = new Session();
session.connect();

async function look(): Promise<Look> {
  await session.post("HeapProfiler.collectGarbage");
  const resources = process.getActiveResourcesInfo();
  const count = (name: string): number => resources.filter((one) => one === name).length;
  return {
    heap: process.memoryUsage().heapUsed,
    descriptors: readdirSync("/proc/self/fd").length,
    timers: count("Timeout"),
    sockets: count("TCPSocketWrap"),
  };
}

process.on("message", (message) => {
  if (message === "look") void look().then((answer) => process.send?.(answer));
  else
    void portico.stop().then(() => {
      session.disconnect();
      process.disconnect();
    });
});
process.send?.({ httpPort: portico.httpPort, grpcPort: portico.grpcPort } satisfies Started);
