/**
 * Who may read the metrics: programs on this machine, and callers of the installation's own tenant who may.
 *
 * A browser on this machine is a program on it, too, and does what pages of anybody ask of it. So none of another origin is answered, and none
 * that asks under a name that only leads here: whose page it is may let its name lead anywhere (DNS rebinding).
 */
import type { Metadata } from "#rpc/metadata.ts";
import type { Peer } from "#rpc/peer.ts";
import { allows, homeTenant, type Principal } from "#rpc/principal.ts";
import { isInBlocks } from "#std/networks.ts";
import { readMetadata } from "../connect/read.ts";
import type { Exchange } from "../exchange.ts";

export interface MetricsReaders {
  /** Who asks from elsewhere; absent: nobody may. */
  readonly authenticator?: {
    principalOf(caller: { readonly metadata: Metadata; readonly peer: Peer }): Principal | Promise<Principal>;
  };
  /** Whether callers have to show who they are. */
  readonly authentication: boolean;
  serverUrl(): string;
}

/** Metrics are the installation's, not a tenant's. */
const metricsScope = "telemetry:read";

/** @returns why the metrics are not shown; undefined: they are. */
export async function refuseReader(exchange: Exchange, readers: MetricsReaders): Promise<string | undefined> {
  const host = hostOf(exchange);
  if (isForeignPage(exchange, host)) return "metrics are not for pages of other origins, whoever sends them";
  const isHere = isOfThisMachine(exchange, readers);
  if (isHere && isNameOfOurs(host, readers)) return undefined;
  if (await mayRead(exchange, readers)) return undefined;
  return isHere
    ? `metrics are shown to peers on this machine where they are asked for as localhost, 127.0.0.1, [::1] or the public URL's host, not as ${host.slice(0, 200)}: ask so, or show a credential with ${metricsScope}`
    : `metrics are for peers on this machine, no proxies among them, and for callers with ${metricsScope}`;
}

async function mayRead({ headers, peer }: Exchange, { authenticator }: MetricsReaders): Promise<boolean> {
  try {
    const principal = await authenticator?.principalOf({ metadata: readMetadata(headers), peer });
    return principal?.tenant === homeTenant && allows(principal.scopes, metricsScope);
  } catch {
    // A credential that is none is as none.
    return false;
  }
}

/** Whether a program on this machine asks for itself: what a proxy here passes on comes from here, too, and from anybody. */
function isOfThisMachine(
  { peer, headers, forwarded }: Exchange,
  { authentication }: MetricsReaders,
): boolean {
  // Without authentication everybody on loopback may do everything anyway.
  return isLoopback(peer.address) && !(authentication && (forwarded || headers.via !== undefined));
}

function isLoopback(address: string): boolean {
  return address === "::1" || address.startsWith("127.") || address.startsWith("::ffff:127.");
}

function hostOf({ headers }: Exchange): string {
  return String(headers[":authority"] ?? headers.host ?? "").toLowerCase();
}

/** Said by browsers alone. @see https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header */
function isForeignPage({ headers }: Exchange, host: string): boolean {
  const { origin, "sec-fetch-site": site } = headers;
  if (site !== undefined && site !== "same-origin" && site !== "none") return true;
  return origin !== undefined && URL.parse(String(origin))?.host !== URL.parse(`http://${host}`)?.host;
}

/** A name that nobody else can let lead here. */
function isNameOfOurs(host: string, { serverUrl }: MetricsReaders): boolean {
  const name = /^(\[[\da-f:.]+\]|[\w.-]+)(?::\d+)?$/.exec(host)?.[1]?.replace(/\.$/, "");
  if (name === undefined) return false;
  // RFC 6761 section 6.3.
  if (name === "localhost" || name.endsWith(".localhost")) return true;
  // An address as a whole: 127.evil.example is a name.
  if (isInBlocks(name, ["127.0.0.0/8"]) || name === "[::1]") return true;
  return name === URL.parse(serverUrl())?.hostname;
}
