/**
 * The authorization server: OAuth 2 and OpenID Connect for the users of this installation, under `/oauth2`.
 *
 * Authorization code with PKCE, client credentials, device flow, refresh, revocation, introspection, discovery, and registration
 * where it is allowed. Its access tokens are the ones that the API knows; its grants are sessions of their users.
 * It is given plain requests and gives plain answers, so that it runs the same over HTTP/1 and HTTP/2.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Provider } from "oidc-provider";
import { allows, type Principal } from "#rpc/principal.ts";
import { SharedLimiter } from "#std/shared-limiter.ts";
import type { VerifiedGrant } from "../access-tokens.ts";
import type { Current, OAuthParts } from "./parts.ts";

export interface MountedRequest {
  readonly method: string;
  readonly path: string;
  /** Without `?`. */
  readonly query: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Uint8Array;
  readonly address: string;
}

export interface MountedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | number | readonly string[]>>;
  readonly body: Uint8Array | string;
}

export interface OAuth {
  owns(path: string): boolean;
  handle(request: MountedRequest): Promise<MountedAnswer>;
  /** Forgets what need not be remembered any more. */
  purge(): Promise<void>;
}

const discovery = ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"];
/** Requests of one address, at once and a second: browsers, and services that come for their tokens. */
const rate = { burst: 100, intervalMs: 100 };
/** What the authorization server may see of a request: nothing that a client says about where it came from. */
const passed = [
  "accept",
  "accept-language",
  "authorization",
  "content-type",
  "cookie",
  "origin",
  "user-agent",
];

export function createOAuth(given: Omit<OAuthParts, "current">): OAuth {
  const requests = new AsyncLocalStorage<Current>();
  const parts: OAuthParts = { ...given, current: () => requests.getStore() };
  const { clock, limits: store } = parts;
  const limiter = new SharedLimiter(rate, { name: "oauth address", now: () => clock.monotonic(), store });
  const current = createCurrent(parts);
  return {
    owns: (path) => path.startsWith("/oauth2/") || discovery.includes(path),
    handle: async (request) => {
      const verdict = await limiter.take(request.address);
      if (verdict.retryAfterMs > 0)
        return {
          ...failed(429, "temporarily_unavailable", "too many requests from this address"),
          headers: { ...json, "retry-after": Math.ceil(verdict.retryAfterMs / 1000) },
        };
      const issuer = parts.issuer();
      const foreign = foreignOrigin(request, issuer);
      if (foreign !== undefined) return foreign;
      if (request.path === "/oauth2/userinfo") return await userInfo(parts, request);
      let from: Current = { address: request.address };
      if (request.path === "/oauth2/register") {
        const owner = await registrant(parts, request);
        if ("status" in owner) return owner;
        from = { ...from, tenant: owner.tenant };
      }
      const provider = await current(issuer);
      return await requests.run(from, () => ask(parts, provider, { request, issuer }));
    },
    purge: async () => {
      const now = parts.clock.now();
      await parts.tables.db.deleteFrom("users_oauth_artifacts").where("expires_at", "<=", now).execute();
    },
  };
}

/** The provider of the key that signs now; made when it is first needed, for it brings 20 MB with it. */
function createCurrent(parts: OAuthParts): (issuer: string) => Promise<Provider> {
  let made: { readonly id: string; readonly provider: Provider } | undefined;
  return async (issuer) => {
    const { id, jwk } = await parts.signingKeys.signer();
    const name = `${id} ${issuer}`;
    if (made?.id === name) return made.provider;
    const { createProvider } = await import("./provider.ts");
    const provider = createProvider(parts, issuer, { ...jwk, kid: id, alg: "ES256", use: "sig" });
    provider.use((ctx, next) => ownTokens(parts, ctx as unknown as TokenContext, next));
    made = { id: name, provider };
    return provider;
  };
}

async function ask(
  parts: OAuthParts,
  provider: Provider,
  { request, issuer }: { readonly request: MountedRequest; readonly issuer: string },
): Promise<MountedAnswer> {
  const { host, protocol } = new URL(issuer);
  const headers: Record<string, string | string[]> = {
    host,
    "x-forwarded-proto": protocol.slice(0, -1),
    "x-forwarded-for": request.address,
  };
  for (const name of passed) {
    const value = request.headers[name];
    if (value !== undefined) headers[name] = value;
  }
  let { query } = request;
  const params = new URLSearchParams(query);
  // The library would send the code on with a script; our page shows it in its field instead.
  const code = params.get("user_code");
  if (request.method === "GET" && request.path === "/oauth2/device" && code !== null) {
    headers["x-portico-user-code"] = code.replace(/[^A-Za-z0-9-]/g, "").slice(0, 20);
    query = "";
  }
  const { inject } = await import("light-my-request");
  const isInteraction = request.path.startsWith("/oauth2/interaction/");
  const { interact } = await import("./interaction.ts");
  const form =
    request.method === "POST" ? new URLSearchParams(Buffer.from(request.body).toString("utf8")) : undefined;
  const serve = provider.callback();
  const dispatch = (incoming: IncomingMessage, response: ServerResponse): void => {
    if (!isInteraction) {
      void serve(incoming, response);
      return;
    }
    const asked = { provider, parts, request: incoming, response, form, address: request.address };
    interact(asked).catch(() => {
      if (!response.headersSent) response.writeHead(500, { "content-type": "text/plain" });
      response.end("internal error: try again\n");
    });
  };
  const answer = await inject(dispatch as Parameters<typeof inject>[0], {
    method: request.method,
    url: query === "" ? request.path : `${request.path}?${query}`,
    headers,
    remoteAddress: request.address,
    ...(request.body.length === 0 ? {} : { payload: Buffer.from(request.body) }),
  });
  return {
    status: answer.statusCode,
    headers: await ownHeaders(answer.headers),
    body: answer.rawPayload,
  };
}

async function ownHeaders(given: MountedAnswer["headers"] | object): Promise<MountedAnswer["headers"]> {
  const headers: Record<string, string | number | readonly string[]> = {};
  for (const [name, value] of Object.entries(given) as [string, string | number | string[] | undefined][])
    if (
      value !== undefined &&
      !["connection", "date", "content-length", "transfer-encoding", "keep-alive"].includes(name)
    )
      headers[name] = value;
  if (!String(headers["content-type"] ?? "").startsWith("text/html")) return headers;
  const { contentSecurityPolicy } = await import("./pages.ts");
  // Not "no-referrer": with that, browsers say "null" for the origin of our own forms.
  return { ...headers, "content-security-policy": contentSecurityPolicy, "referrer-policy": "same-origin" };
}

const json = { "content-type": "application/json; charset=utf-8" };

function failed(status: number, error: string, description: string): MountedAnswer {
  return { status, headers: json, body: JSON.stringify({ error, error_description: description }) };
}

/** What a browser sends with its cookies comes from our own pages alone. */
function foreignOrigin(request: MountedRequest, issuer: string): MountedAnswer | undefined {
  const unsafe = request.method !== "GET" && request.method !== "HEAD" && request.method !== "OPTIONS";
  if (!unsafe || request.headers.cookie === undefined) return undefined;
  if (request.headers.origin === new URL(issuer).origin) return undefined;
  return failed(403, "access_denied", "this form was not sent by a page of this installation");
}

interface TokenContext {
  status: number;
  body: unknown;
  readonly oidc?: {
    readonly route?: string;
    readonly params?: { readonly token?: string };
    readonly client?: { readonly clientId: string; readonly clientAuthMethod: string };
  };
}

/**
 * The library keeps no access tokens that are JWTs and so says nothing about them. Here it has authenticated the client, and what is
 * missing is ours to know.
 */
async function ownTokens(
  parts: OAuthParts,
  context: TokenContext,
  next: () => Promise<unknown>,
): Promise<void> {
  await next();
  if (context.oidc?.route === "discovery") {
    const described = context.body as Record<string, unknown>;
    described.userinfo_endpoint = `${parts.issuer()}/oauth2/userinfo`;
    described.scopes_supported = [...(described.scopes_supported as string[]), ...parts.scopes()];
  }
  const error = (context.body as { readonly error?: string } | null | undefined)?.error;
  if (error !== "unsupported_token_type" || context.oidc?.client === undefined) return;
  const { route, params, client } = context.oidc;
  const token = params?.token ?? "";
  const grant = await parts.verify(token);
  if (route === "introspection") {
    context.status = 200;
    context.body = await introspected(parts, { token, grant, client: client.clientId });
  } else if (route === "revocation" && (grant === undefined || grant.client !== client.clientId)) {
    // RFC 7009 section 2.2: a token that is not good needs no revoking.
    context.status = 200;
    context.body = "";
  } else if (route === "revocation" && grant !== undefined && grant.session !== "") {
    await parts.closeSession(grant.tenant, grant.user, grant.session);
    context.status = 200;
    context.body = "";
  }
}

/** RFC 7662. A client is told of tokens of its own tenant: what a service is shown by its callers. */
async function introspected(
  parts: OAuthParts,
  about: { readonly token: string; readonly grant: VerifiedGrant | undefined; readonly client: string },
): Promise<object> {
  const { token, grant, client } = about;
  const asker = await parts.clients.lookUp(client);
  const mayAsk = asker !== undefined && asker.kind !== "PUBLIC" && asker.tenant === grant?.tenant;
  if (grant === undefined || !(mayAsk || grant.client === client)) return { active: false };
  const principal = await parts.principalOf(token, "");
  if (principal === undefined) return { active: false };
  return {
    active: true,
    scope: [...principal.scopes].sort().join(" "),
    client_id: grant.client,
    username: grant.user,
    token_type: "Bearer",
    exp: Math.floor(grant.expiresAt / 1000),
    sub: grant.user,
    aud: parts.issuer(),
    iss: parts.issuer(),
    jti: grant.id,
    tid: grant.tenant,
  };
}

async function registrant(
  parts: OAuthParts,
  request: MountedRequest,
): Promise<{ readonly tenant: string } | MountedAnswer> {
  if (!parts.registration) return failed(404, "not_found", "clients cannot register themselves here");
  const principal = await bearerOf(parts, request);
  if (principal === undefined)
    return {
      ...failed(401, "invalid_token", "registration needs a credential"),
      headers: { ...json, "www-authenticate": 'Bearer realm="portico"' },
    };
  if (!allows(principal.scopes, "oauthClients:write"))
    return failed(403, "insufficient_scope", "registration needs oauthClients:write");
  return { tenant: principal.tenant };
}

async function bearerOf(parts: OAuthParts, request: MountedRequest): Promise<Principal | undefined> {
  const token = /^Bearer +(\S+)$/i.exec(String(request.headers.authorization ?? ""))?.[1];
  return token === undefined ? undefined : await parts.principalOf(token, request.address);
}

/** OpenID Connect Core 5.3. The subject is the ID token's. */
async function userInfo(parts: OAuthParts, request: MountedRequest): Promise<MountedAnswer> {
  const principal = await bearerOf(parts, request);
  const user =
    principal === undefined
      ? undefined
      : await parts.clients.person(principal.tenant, principal.name.slice("users/".length));
  if (user === undefined)
    return {
      ...failed(401, "invalid_token", "the access token is not good"),
      headers: { ...json, "www-authenticate": 'Bearer realm="portico", error="invalid_token"' },
    };
  const { uid, displayName, email, id } = user;
  const claims = { sub: uid, name: displayName, preferred_username: id, ...(email === "" ? {} : { email }) };
  return { status: 200, headers: json, body: JSON.stringify(claims) };
}
