/**
 * Issuers that the operator trusts beside our own: a company's identity provider, for example. Their access tokens are verified with
 * the keys that they publish, and their claims say which tenant, and which of its roles.
 *
 * Whoever comes so needs no user here. One that has the id that the token gives is looked at all the same: suspending it shuts the
 * person out.
 *
 * @see OpenID Connect Discovery 1.0, RFC 7517, RFC 8725 (JWT best practices), RFC 9068
 */
import { createHash } from "node:crypto";
import type { JWTPayload, JWTVerifyGetKey } from "jose";
import type { Clock } from "#std/clock.ts";
import { jose } from "./signing-keys.ts";

export interface TrustedIssuer {
  /** Part of the ids of its people here: `users/<name>-…`. */
  readonly name: string;
  /** As its tokens spell it. */
  readonly issuer: string;
  /** Whom its tokens have to be for. */
  readonly audience: string;
  /** Default: RS256, PS256, ES256, EdDSA. */
  readonly algorithms?: readonly string[] | undefined;
  /** "at+jwt": only tokens that say they are access tokens (RFC 9068). "any": also those that do not, but no ID tokens. Default "at+jwt". */
  readonly type?: "at+jwt" | "any" | undefined;
  /** One tenant for all, or a claim and what its values stand for. */
  readonly tenant:
    | string
    | { readonly claim: string; readonly map?: Readonly<Record<string, string>> | undefined };
  /** Ids of roles: for everybody, and from a claim (a text or a list; "a.b" looks inside). */
  readonly roles: {
    readonly always?: readonly string[] | undefined;
    readonly claim?: string | undefined;
    readonly map?: Readonly<Record<string, readonly string[]>> | undefined;
  };
}

export interface ForeignGrant {
  readonly tenant: string;
  readonly user: string;
  readonly roles: readonly string[];
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

export interface Issuers {
  /** Undefined: it is not a good token of an issuer that is trusted. */
  verify(token: string): Promise<ForeignGrant | undefined>;
}

export interface IssuersOptions {
  readonly issuers: readonly TrustedIssuer[];
  readonly clock: Clock;
  /** Least time between two looks at an issuer's keys, in milliseconds. Default 30 000. */
  readonly cooldownMs?: number;
}

const defaultAlgorithms = ["RS256", "PS256", "ES256", "EdDSA"];
const maxCharacters = 8192;
const maxAnswerBytes = 512 * 1024;
const timeoutMs = 5000;
const cacheMs = 10 * 60 * 1000;
/** How long keys that were good are used while their issuer does not answer. */
const staleMs = 3600 * 1000;
const skewSeconds = 5;
/** What a verifier should never be led by. */
const forbiddenHeaders = ["crit", "jku", "jwk", "x5u", "x5c", "zip"];

export function createIssuers(options: IssuersOptions): Issuers {
  const known = new Map(options.issuers.map((issuer) => [issuer.issuer, new Issuer(issuer, options)]));
  return {
    verify: async (token) => {
      if (known.size === 0 || token.length > maxCharacters) return undefined;
      const claimed = issuerOf(token);
      return claimed === undefined ? undefined : await known.get(claimed)?.verify(token);
    },
  };
}

class Issuer {
  readonly #trusted: TrustedIssuer;
  readonly #clock: Clock;
  readonly #cooldownMs: number;
  #keys: Promise<JWTVerifyGetKey> | undefined;

  constructor(trusted: TrustedIssuer, { clock, cooldownMs = 30_000 }: IssuersOptions) {
    this.#trusted = trusted;
    this.#clock = clock;
    this.#cooldownMs = cooldownMs;
  }

  async verify(token: string): Promise<ForeignGrant | undefined> {
    const { issuer, audience, algorithms, type } = this.#trusted;
    const { jwtVerify } = await jose();
    try {
      const { payload, protectedHeader } = await jwtVerify(token, await this.#published(), {
        ...{ issuer, audience, algorithms: [...(algorithms ?? defaultAlgorithms)] },
        ...(type === "any" ? {} : { typ: "at+jwt" }),
        clockTolerance: skewSeconds,
        requiredClaims: ["sub", "iat", "exp"],
        currentDate: new Date(this.#clock.now()),
      });
      if (forbiddenHeaders.some((name) => name in protectedHeader) || isIdToken(payload)) return undefined;
      return this.#grantOf(payload);
    } catch {
      // Whatever is wrong, an issuer that does not answer among it, the sender learns only that the token is not good.
      return undefined;
    }
  }

  #grantOf(payload: JWTPayload): ForeignGrant | undefined {
    const { name, tenant: rule, roles: wanted } = this.#trusted;
    const tenant = typeof rule === "string" ? rule : mapped(textsOf(payload, rule.claim)[0], rule.map);
    const { sub, jti, exp } = payload;
    if (tenant === undefined || sub === undefined || exp === undefined) return undefined;
    const claimed = wanted.claim === undefined ? [] : textsOf(payload, wanted.claim);
    const roles = claimed.flatMap((value) =>
      wanted.map === undefined ? [value] : (own(wanted.map, value) ?? []),
    );
    return {
      tenant,
      user: `${name}-${createHash("sha256").update(sub).digest("hex").slice(0, 20)}`,
      roles: [...new Set([...(wanted.always ?? []), ...roles])].slice(0, 100),
      id: String(jti ?? "").slice(0, 100),
      expiresAt: exp * 1000,
    };
  }

  /** Discovered once; asked for again where it failed. */
  #published(): Promise<JWTVerifyGetKey> {
    this.#keys ??= this.#discover().catch((error: unknown) => {
      // Not at every token: an issuer that is down is asked again after a while.
      setTimeout(() => {
        this.#keys = undefined;
      }, this.#cooldownMs).unref();
      throw error;
    });
    return this.#keys;
  }

  async #discover(): Promise<JWTVerifyGetKey> {
    const { issuer } = this.#trusted;
    const response = await bounded(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
    const described = (await response.json()) as { readonly issuer?: unknown; readonly jwks_uri?: unknown };
    if (described.issuer !== issuer || typeof described.jwks_uri !== "string")
      throw new Error(`${issuer} describes another issuer, or no keys`);
    const url = new URL(described.jwks_uri);
    if (url.protocol !== "https:" && !isLoopback(url)) throw new Error(`${url.href} is not https`);
    const { createRemoteJWKSet, customFetch } = await jose();
    return createRemoteJWKSet(url, {
      cacheMaxAge: cacheMs,
      cooldownDuration: this.#cooldownMs,
      timeoutDuration: timeoutMs,
      [customFetch]: this.#withStale(),
    });
  }

  /** Keys that were good stay so for an hour while their issuer is away. */
  #withStale(): (url: string) => Promise<Response> {
    let last: { readonly body: string; readonly at: number } | undefined;
    return async (url) => {
      try {
        const body = await (await bounded(url)).text();
        JSON.parse(body);
        last = { body, at: this.#clock.monotonic() };
      } catch (error) {
        if (last === undefined || this.#clock.monotonic() - last.at > staleMs) throw error;
      }
      return new Response(last.body, { status: 200 });
    };
  }
}

/** No redirects, five seconds, 512 KiB. */
async function bounded(url: string): Promise<Response> {
  const response = await fetch(url, { redirect: "error", signal: AbortSignal.timeout(timeoutMs) });
  if (!response.ok || response.body === null) throw new Error(`${url} answers ${response.status}`);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    size += chunk.length;
    if (size > maxAnswerBytes) throw new Error(`${url} answers with more than ${maxAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return new Response(Buffer.concat(chunks), { status: 200 });
}

const form = /^[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+$/;

/** What a token says of itself, before anything of it is believed. */
function issuerOf(token: string): string | undefined {
  const body = form.exec(token)?.[1];
  if (body === undefined) return undefined;
  try {
    const claims = JSON.parse(Buffer.from(body, "base64url").toString("utf8")) as {
      readonly iss?: unknown;
    } | null;
    return typeof claims?.iss === "string" ? claims.iss : undefined;
  } catch {
    // Not JSON: nobody's token.
    return undefined;
  }
}

/** Claims that OpenID Connect has for ID tokens alone. */
function isIdToken(payload: JWTPayload): boolean {
  return ["nonce", "at_hash", "c_hash"].some((claim) => claim in payload);
}

/** The texts at a claim; none where there are no texts. */
function textsOf(payload: JWTPayload, claim: string): string[] {
  // A claim may have dots in its own name, such as a URL.
  const value = Object.hasOwn(payload, claim)
    ? payload[claim]
    : claim
        .split(".")
        .reduce<unknown>(
          (at, key) =>
            typeof at === "object" && at !== null ? own(at as Record<string, unknown>, key) : undefined,
          payload,
        );
  return (Array.isArray(value) ? value : [value]).filter((one): one is string => typeof one === "string");
}

function mapped(
  value: string | undefined,
  map: Readonly<Record<string, string>> | undefined,
): string | undefined {
  return value === undefined || map === undefined ? value : own(map, value);
}

function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

export function isLoopback(url: URL): boolean {
  return ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
}
