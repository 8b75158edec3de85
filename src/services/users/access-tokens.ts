/**
 * Access tokens of our own: JWTs that live ten minutes.
 *
 * A token is read strictly before its signature is looked at: size, alphabet, and a header and claims that are letter for letter what
 * is written here. That leaves nothing to disagree about: no padding, no duplicate names, no other algorithm, no foreign keys.
 *
 * @see RFC 9068 (JWT profile for access tokens), RFC 8725 (JWT best practices)
 */
import type { Clock } from "#std/clock.ts";
import { ulid } from "#std/ulid.ts";
import { algorithm, jose, type SigningKeys } from "./signing-keys.ts";

export const lifeSeconds = 600;
/** Longer ones are not ours. */
export const maxCharacters = 8192;
/** How far clocks may differ. */
const skewSeconds = 5;

export interface Grant {
  readonly tenant: string;
  readonly user: string;
  /** Id of the session behind it; empty: none. */
  readonly session: string;
  /** What it is narrowed to; undefined: all that the user may. */
  readonly scopes: readonly string[] | undefined;
  /** Ids of the roles of somebody whose roles another issuer says; undefined: a user of ours has them. */
  readonly roles?: readonly string[] | undefined;
}

export interface VerifiedGrant extends Grant {
  readonly id: string;
  /** OAuth client that it was given to; "portico": none, AuthService gave it. */
  readonly client: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

export interface AccessTokens {
  issue(grant: Grant, seconds?: number): Promise<string>;
  /** Undefined: it is not one of ours, or not good any more. */
  verify(token: string): Promise<VerifiedGrant | undefined>;
}

interface Claims {
  readonly iss: string;
  readonly aud: string;
  readonly sub: string;
  readonly client_id: string;
  readonly tid: string;
  readonly sid?: string;
  readonly scope?: string;
  /** RFC 9068 section 2.2.3.1 */
  readonly roles?: readonly string[];
  readonly jti: string;
  readonly iat: number;
  readonly exp: number;
}

export function createAccessTokens(options: {
  readonly keys: SigningKeys;
  readonly clock: Clock;
  /** The issuer, and the audience too: this installation. */
  issuer(): string;
}): AccessTokens {
  const { keys, clock } = options;
  return {
    issue: async ({ tenant, user, session, scopes, roles }, seconds = lifeSeconds) => {
      const { id, key } = await keys.signer();
      const issuer = options.issuer();
      const iat = Math.floor(clock.now() / 1000);
      const claims: Claims = {
        iss: issuer,
        aud: issuer,
        sub: user,
        client_id: "portico",
        tid: tenant,
        ...(session === "" ? {} : { sid: session }),
        ...(scopes === undefined ? {} : { scope: scopes.join(" ") }),
        ...(roles === undefined ? {} : { roles }),
        jti: ulid(clock.now()),
        iat,
        exp: iat + seconds,
      };
      const { SignJWT } = await jose();
      return await new SignJWT({ ...claims }).setProtectedHeader(headerOf(id)).sign(key);
    },
    verify: async (token) => {
      const id = keyIdOf(token);
      if (id === undefined) return undefined;
      const key = await keys.verifier(id);
      if (key === undefined) return undefined;
      const issuer = options.issuer();
      const { jwtVerify } = await jose();
      try {
        const { payload } = await jwtVerify<Claims>(token, key, {
          algorithms: [algorithm],
          typ: "at+jwt",
          issuer,
          audience: issuer,
          clockTolerance: skewSeconds,
          maxTokenAge: lifeSeconds + 2 * skewSeconds,
          requiredClaims: ["sub", "tid", "jti", "iat", "exp"],
          currentDate: new Date(clock.now()),
        });
        return toGrant(payload);
      } catch {
        // Whatever is wrong with a token, its sender learns only that it is not good.
        return undefined;
      }
    },
  };
}

function headerOf(id: string): { alg: string; typ: string; kid: string } {
  return { alg: algorithm, typ: "at+jwt", kid: id };
}

const base64url = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/** The key id of a token whose header and claims are written as ours are. */
function keyIdOf(token: string): string | undefined {
  if (token.length > maxCharacters || !base64url.test(token)) return undefined;
  const [head = "", body = ""] = token.split(".");
  const header = canonical(head) as { readonly kid?: unknown } | undefined;
  if (typeof header?.kid !== "string" || canonical(body) === undefined) return undefined;
  return head === encode(JSON.stringify(headerOf(header.kid))) ? header.kid : undefined;
}

/** The JSON of a part; undefined where the same JSON would be written otherwise. */
function canonical(part: string): unknown {
  const text = Buffer.from(part, "base64url").toString("utf8");
  try {
    const value: unknown = JSON.parse(text);
    return encode(JSON.stringify(value)) === part ? value : undefined;
  } catch {
    // Not JSON: not a token of ours.
    return undefined;
  }
}

function encode(text: string): string {
  return Buffer.from(text, "utf8").toString("base64url");
}

function toGrant(claims: Claims): VerifiedGrant | undefined {
  const { sub, tid, sid, scope, roles, jti, exp, aud, client_id: client } = claims;
  if (roles !== undefined && !Array.isArray(roles)) return undefined;
  const texts = [sub, tid, jti, aud, client, sid ?? "", scope ?? "", ...(roles ?? [])];
  if (texts.some((text) => typeof text !== "string") || typeof exp !== "number") return undefined;
  return {
    tenant: tid,
    user: sub,
    session: sid ?? "",
    scopes: scope === undefined ? undefined : scope.split(" ").filter((one) => one !== ""),
    ...(roles === undefined ? {} : { roles }),
    id: jti,
    client,
    expiresAt: exp * 1000,
  };
}
