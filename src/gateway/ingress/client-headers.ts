/**
 * What clients say about themselves and must not be believed: where they come from, who they are, whose data they want. It is dropped where
 * requests come in, whatever their protocol, so that no service takes it for the truth. A proxy that the operator names may say
 * where a request came from.
 */
import { isIP, type Socket } from "node:net";
import { RpcError } from "#rpc/error.ts";
import type { Peer } from "#rpc/peer.ts";
import { compileBlocks } from "#std/networks.ts";

type Headers = Record<string, string | string[] | undefined>;

/** Names of one connection (RFC 9110 section 7.6.1), of HTTP itself, and of gRPC: nothing that a service should see. */
const ofTransport: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "host",
  "content-length",
  "http2-settings",
]);
/** Set by proxies and sidecars for those behind them, which trust them. */
const claims =
  /^(?:forwarded|x-real-ip|x-client-ip|true-client-ip|x-(?:forwarded|user|tenant|envoy|original|authenticated|remote)-.*|x-(?:user|tenant|principal))$/;

/** Whether a header of a client is kept from services. */
export function isWithheld(name: string): boolean {
  return name.startsWith(":") || name.startsWith("grpc-") || ofTransport.has(name) || isClaim(name);
}

function isClaim(name: string): boolean {
  const first = name.charCodeAt(0);
  // f, t, x: most names are none of these.
  return (first === 102 || first === 116 || first === 120) && claims.test(name);
}

/** What proxies say of whom they pass on; all of them are claims. */
const forwards = /^(?:forwarded|x-forwarded-.*|x-real-ip|x-client-ip|true-client-ip)$/;

/**
 * Drops what clients claim, and what `Connection` names as meant for the next hop alone.
 * @returns whether somebody says that it passes on what another has sent.
 */
export function dropClaims(headers: Headers): boolean {
  let forwarded = false;
  for (const name in headers) {
    if (!isClaim(name)) continue;
    forwarded ||= forwards.test(name);
    delete headers[name];
  }
  const { connection } = headers;
  if (connection === undefined || connection === "keep-alive" || connection === "close") return forwarded;
  for (const part of String(connection).split(",")) {
    const name = part.trim().toLowerCase();
    // Those of framing are the parser's, which has read them already.
    if (!ofTransport.has(name)) delete headers[name];
  }
  return forwarded;
}

/**
 * At once, where a service might look too late to say so.
 * @throws RpcError METADATA_INVALID where a `-bin` value is not base64.
 */
export function checkBinaries(headers: Readonly<Headers>): void {
  for (const name in headers)
    if (name.endsWith("-bin") && !name.startsWith("grpc-")) checkBase64(name, headers[name]);
}

function checkBase64(name: string, value: string | string[] | undefined): void {
  for (const part of String(value ?? "").split(",")) {
    const text = part.trim();
    if (/^[A-Za-z0-9+/_-]*={0,2}$/.test(text) && text.replace(/=+$/, "").length % 4 !== 1) continue;
    throw new RpcError("invalid_argument", {
      reason: "METADATA_INVALID",
      message: `${name}: a name that ends in -bin carries base64`,
      metadata: { header: name },
    });
  }
}

export interface ProxyOptions {
  /** Networks whose word counts. Default: none. */
  readonly trusted: readonly string[];
  /** How many of them may stand in a row. Default 1. */
  readonly hops: number;
}

/** The proxies in front. */
export class Proxies {
  readonly #isTrusted: (address: string) => boolean;
  readonly #hops: number;

  constructor({ trusted, hops }: ProxyOptions) {
    this.#isTrusted = compileBlocks(trusted);
    this.#hops = trusted.length === 0 ? 0 : hops;
  }

  /** Where a request came from, as trusted proxies say; undefined: from where the connection does. */
  addressOf(headers: Headers, connection: Pick<Socket, "remoteAddress"> | undefined): string | undefined {
    const said = headers["x-forwarded-for"];
    if (this.#hops === 0 || said === undefined) return undefined;
    const connected = connection?.remoteAddress ?? "";
    const entries = String(said).split(",");
    let address: string | undefined;
    // Each proxy adds whom it was asked by: from the last entry on, as long as who added it is trusted.
    for (let hop = 0; hop < this.#hops && this.#isTrusted(address ?? connected); hop += 1) {
      const next = addressIn(entries.pop() ?? "");
      if (next === undefined) break;
      address = next;
    }
    return address;
  }
}

/** @param address as proxies in front say. */
export function peerOf({ remoteAddress = "", remotePort = 0 }: Socket, address: string | undefined): Peer {
  return address === undefined ? { address: remoteAddress, port: remotePort } : { address, port: 0 };
}

/** With a port or without: `192.0.2.1:1234`, `[2001:db8::1]:1234`. */
function addressIn(entry: string): string | undefined {
  const text = entry.trim();
  const plain = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text;
  return isIP(plain) === 0 ? undefined : plain;
}
