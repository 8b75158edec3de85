/** The credential that client commands send: what they were given, else the environment's, else the development key here. */
import path from "node:path";
import { readDevelopmentKey } from "#config/config.ts";
import type { Terminal } from "./terminal.ts";

const credentialHeaders = new Set(["authorization", "x-api-key"]);

/** The headers with a credential among them, where there is one to be had. */
export function withCredential(
  headers: readonly (readonly [string, string])[],
  terminal: Terminal,
): readonly (readonly [string, string])[] {
  if (headers.some(([name]) => credentialHeaders.has(name))) return headers;
  const dataDir = path.resolve(terminal.cwd, terminal.env.PORTICO_DATA_DIR ?? ".portico");
  const key = terminal.env.PORTICO_API_KEY ?? readDevelopmentKey(dataDir);
  return key === undefined || key === "" ? headers : [...headers, ["x-api-key", key]];
}
