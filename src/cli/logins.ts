/**
 * What `portico login` keeps: one sign-in for each server, in a file that its owner alone can read.
 *
 * A refresh token is good for one use, and using it twice ends the sign-in: whoever refreshes holds a lock, and whoever waited reads
 * the file again.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import type { Configuration, ServerMetadata } from "openid-client";
import { CommandError, type Terminal } from "./terminal.ts";

export interface Login {
  readonly server: ServerMetadata;
  readonly accessToken: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** Empty: the sign-in ends with its access token. */
  readonly refreshToken: string;
}

type Logins = Readonly<Record<string, Login>>;

/** The authorization server's name for us. */
const clientId = "portico-cli";
/** A token is renewed this long before it ends, in milliseconds. */
const earlyMs = 30_000;
/** Whoever holds the lock longer has died with it. */
const lockMs = 15_000;

/** Undefined: nobody signed in there. @throws CommandError when the sign-in is over. */
export async function accessTokenFor(url: string, terminal: Terminal): Promise<string | undefined> {
  const origin = originOf(url);
  const found = read(terminal)[origin];
  if (found === undefined || isFresh(found)) return found?.accessToken;
  return await locked(terminal, async () => {
    const again = read(terminal)[origin];
    if (again === undefined || isFresh(again)) return again?.accessToken;
    const { refreshTokenGrant } = await import("openid-client");
    const config = await configurationOf(again.server);
    const tokens = await refreshTokenGrant(config, again.refreshToken).catch((error: unknown) => {
      if ((error as { readonly error?: string }).error !== "invalid_grant") throw error;
      save(terminal, origin, undefined);
      throw new CommandError(
        3,
        `your sign-in at ${origin} is over; sign in again with: portico login --url ${origin}`,
      );
    });
    const login = toLogin(again.server, tokens, again.refreshToken);
    save(terminal, origin, login);
    return login.accessToken;
  });
}

export async function keep(url: string, login: Login, terminal: Terminal): Promise<void> {
  await locked(terminal, async () => save(terminal, originOf(url), login));
}

/** The sign-in that is forgotten; undefined: there was none. */
export async function forget(url: string, terminal: Terminal): Promise<Login | undefined> {
  return await locked(terminal, async () => {
    const found = read(terminal)[originOf(url)];
    if (found !== undefined) save(terminal, originOf(url), undefined);
    return found;
  });
}

export function toLogin(
  server: ServerMetadata,
  tokens: { readonly access_token: string; readonly expires_in?: number; readonly refresh_token?: string },
  refreshToken = "",
): Login {
  return {
    server,
    accessToken: tokens.access_token,
    expiresAt: Date.now() + (tokens.expires_in ?? 0) * 1000,
    refreshToken: tokens.refresh_token ?? refreshToken,
  };
}

/** @throws CommandError when the server is not there, or has no authorization server. */
export async function describeServer(url: string): Promise<ServerMetadata> {
  const response = await fetch(new URL("/.well-known/openid-configuration", url), {
    signal: AbortSignal.timeout(10_000),
  }).catch(() => {
    throw new CommandError(6, `${url} does not answer; is portico serving there?`);
  });
  if (!response.ok)
    throw new CommandError(1, `${url} signs nobody in: authentication is off there, or it is not portico`);
  return (await response.json()) as ServerMetadata;
}

export async function configurationOf(server: ServerMetadata): Promise<Configuration> {
  const { allowInsecureRequests, Configuration: Made, None } = await import("openid-client");
  const config = new Made(server, clientId, undefined, None());
  // Clear text stays on this machine.
  const { hostname } = new URL(server.issuer);
  if (["localhost", "127.0.0.1", "[::1]"].includes(hostname)) allowInsecureRequests(config);
  return config;
}

function originOf(url: string): string {
  return new URL(url).origin;
}

function isFresh(login: Login): boolean {
  return login.refreshToken === "" || login.expiresAt - earlyMs > Date.now();
}

function fileOf(terminal: Terminal): string {
  const home = terminal.env.XDG_CONFIG_HOME ?? path.join(terminal.env.HOME ?? homedir(), ".config");
  return path.join(home, "portico", "logins.json");
}

function read(terminal: Terminal): Logins {
  const file = fileOf(terminal);
  if (!existsSync(file)) return {};
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Logins;
  } catch (error) {
    throw new CommandError(1, `${file} is not JSON (${String(error)}); remove it and sign in again`);
  }
}

/** Whole or not at all. */
function save(terminal: Terminal, origin: string, login: Login | undefined): void {
  const file = fileOf(terminal);
  const { [origin]: _before, ...others } = read(terminal);
  const text = JSON.stringify(login === undefined ? others : { ...others, [origin]: login }, null, 2);
  writeFileSync(`${file}.new`, `${text}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

async function locked<T>(terminal: Terminal, work: () => Promise<T>): Promise<T> {
  const file = fileOf(terminal);
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  const lock = `${file}.lock`;
  while (!taken(lock)) await new Promise((resolve) => setTimeout(resolve, 50));
  try {
    return await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function taken(lock: string): boolean {
  try {
    closeSync(openSync(lock, "wx", 0o600));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    const age = Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (age > lockMs) rmSync(lock, { force: true });
    return false;
  }
}
