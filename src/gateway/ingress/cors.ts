/**
 * Which pages of other origins may call: none, unless the operator lists them.
 *
 * @see https://fetch.spec.whatwg.org/#http-cors-protocol
 */
import { RpcError } from "#rpc/error.ts";
import type { Exchange, ResponseHeaders } from "./exchange.ts";
import type { Refusal } from "./precheck.ts";

export interface CorsOptions {
  /** Exact origins, or "*" alone: everybody's, without credentials. */
  readonly origins: readonly string[];
  /** Whether browsers may send what they keep for us: cookies, client certificates. */
  readonly credentials: boolean;
  /** How long a browser may keep the answer to a preflight, in seconds. Default 600. */
  readonly maxAgeSeconds?: number;
}

/** What an answer may say beside what every page may read. @see https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name */
const exposed = [
  // Of any answer: what it is about, and what the caller has to do.
  ...["x-request-id", "traceparent", "server-timing", "www-authenticate", "allow", "accept-post"],
  ...["ratelimit", "ratelimit-policy", "retry-after", "idempotent-replayed", "preference-applied"],
  ...["deprecation", "sunset", "link", "location", "etag", "content-disposition", "content-range"],
  // Of protocols.
  ...["grpc-status", "grpc-message", "grpc-status-details-bin", "grpc-encoding", "grpc-accept-encoding"],
  ...["connect-content-encoding", "connect-accept-encoding", "mcp-session-id"],
].join(", ");

export class Cors {
  readonly #origins: ReadonlySet<string>;
  readonly #credentials: boolean;
  readonly #maxAgeSeconds: number;
  /** What a cache has to know of answers to those who are not allowed, or do not say: the next one may be. Undefined: never. */
  readonly #varied: { readonly common: ResponseHeaders } | undefined;

  constructor({ origins, credentials, maxAgeSeconds = 600 }: CorsOptions) {
    this.#maxAgeSeconds = maxAgeSeconds;
    this.#origins = new Set(origins);
    this.#credentials = credentials;
    this.#varied = origins.length === 0 ? undefined : { common: { vary: "origin" } };
  }

  /**
   * What is to be done about a request that names an origin: a refusal of its preflight, the headers of its preflight's answer,
   * or the headers that its own answer is to have besides. Undefined: nothing.
   */
  judge(
    exchange: Pick<Exchange, "method" | "headers">,
  ):
    | { readonly refused: Refusal }
    | { readonly preflight: ResponseHeaders }
    | { readonly common: ResponseHeaders }
    | undefined {
    const { origin, "access-control-request-method": asked } = exchange.headers;
    if (origin === undefined) return this.#varied;
    const isPreflight = exchange.method === "OPTIONS" && asked !== undefined;
    const allowed = this.#allowed(String(origin));
    if (allowed === undefined) return isPreflight ? { refused: refusedOrigin(String(origin)) } : this.#varied;
    const common: ResponseHeaders = {
      "access-control-allow-origin": allowed,
      vary: "origin",
      ...(this.#credentials ? { "access-control-allow-credentials": "true" } : {}),
    };
    if (!isPreflight) return { common: { ...common, "access-control-expose-headers": exposed } };
    return {
      preflight: {
        ...common,
        "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
        "access-control-allow-headers": requestedHeaders(exchange.headers["access-control-request-headers"]),
        "access-control-max-age": this.#maxAgeSeconds,
      },
    };
  }

  /** Browsers let any page open a socket and leave the question to us: our own pages may, and those that may call. */
  refuseSocket(origin: string | undefined, host: string | undefined): Refusal | undefined {
    if (origin === undefined || this.#allowed(origin) !== undefined) return undefined;
    return host !== undefined && sameHost(origin, host) ? undefined : refusedOrigin(origin);
  }

  #allowed(origin: string): string | undefined {
    if (this.#origins.has(origin)) return origin;
    return this.#origins.has("*") && !this.#credentials ? "*" : undefined;
  }
}

function sameHost(origin: string, host: string): boolean {
  try {
    return new URL(origin).host === host.toLowerCase();
  } catch {
    // "null", or no origin at all: nobody's page.
    return false;
  }
}

/** Whoever may call may send the headers it wants to: none of them is trusted for where it came from. */
function requestedHeaders(asked: string | string[] | undefined): string {
  const names = String(asked ?? "")
    .slice(0, 2048)
    .split(",")
    .map((name) => name.trim().toLowerCase());
  return names.filter((name) => /^[a-z0-9-]{1,64}$/.test(name)).join(", ");
}

function refusedOrigin(origin: string): Refusal {
  return {
    status: 403,
    error: new RpcError("permission_denied", {
      reason: "CORS_ORIGIN_FOREIGN",
      message: `pages of ${origin.slice(0, 200)} may not call; the operator lists origins in PORTICO_CORS_ORIGINS`,
    }),
  };
}
