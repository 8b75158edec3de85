/**
 * The credential that client commands send: what they were given, else the environment's, else the sign-in of `portico login` at that
 * server, else the development key here.
 */
import path from "node:path";
import { readDevelopmentKey } from "#config/config.ts";
import { accessTokenFor } from "./logins.ts";
import type { Terminal } from "./terminal.ts";

const credentialHeaders = new Set(["authorization", "x-api-key"]);

/** The headers with a credential among them, where there is one to be had. @param url REST address of the server. */
export async function withCredential(
  headers: readonly (readonly [string, string])[],
  url: string,
  terminal: Terminal,
): Promise<readonly (readonly [string, string])[]> {
  if (headers.some(([name]) => credentialHeaders.has(name))) return headers;
  const given = terminal.env.PORTICO_API_KEY;
  if (given !== undefined) return given === "" ? headers : [...headers, ["x-api-key", given]];
  const token = await accessTokenFor(url, terminal);
  if (token !== undefined) return [...headers, ["authorization", `Bearer ${token}`]];
  const key = readDevelopmentKey(path.resolve(terminal.cwd, terminal.env.PORTICO_DATA_DIR ?? ".portico"));
  return key === undefined || key === "" ? headers : [...headers, ["x-api-key", key]];
}
