/**
 * The authorization server, configured: which flows there are, how long things live, and how our users, clients and scopes look to it.
 *
 * The protocol itself is oidc-provider's, which is certified. It is made anew when another key signs, and holds no state of its own.
 *
 * @see RFC 6749, 7009, 7591, 7636, 7662, 8628, 9068, 9700; OpenID Connect Core 1.0
 */
import {
  type AdapterPayload,
  type ClientMetadata,
  type Configuration,
  errors,
  interactionPolicy,
  type JWK,
  type KoaContextWithOIDC,
  Provider,
} from "oidc-provider";
import { lifeSeconds } from "../access-tokens.ts";
import type { OAuthClientRow, UserRow } from "../tables.ts";
import { createAdapter, sessionOf } from "./adapter.ts";
import { checkRedirect } from "./clients.ts";
import * as pages from "./pages.ts";
import type { OAuthParts } from "./parts.ts";

/** The command line: everybody's, of every tenant. Its tokens may what their user may. */
export const commandLine = "portico-cli";

const daySeconds = 24 * 3600;
const monthSeconds = 30 * daySeconds;
/** How far clocks may differ. */
const skewSeconds = 5;

/** What we keep beside the metadata of the RFCs. */
interface Ours {
  readonly portico_tenant?: string;
  readonly portico_user?: string;
  readonly portico_scopes?: readonly string[];
}
type Client = NonNullable<KoaContextWithOIDC["oidc"]["client"]>;

export function oursOf(client: Client | undefined): Ours {
  return (client ?? {}) as unknown as Ours;
}

export const paths = {
  authorization: "/oauth2/authorize",
  token: "/oauth2/token",
  revocation: "/oauth2/revoke",
  introspection: "/oauth2/introspect",
  device_authorization: "/oauth2/device/code",
  code_verification: "/oauth2/device",
  registration: "/oauth2/register",
  end_session: "/oauth2/sign-out",
  pushed_authorization_request: "/oauth2/par",
  userinfo: "/oauth2/userinfo",
  jwks: "/.well-known/jwks.json",
} as const;

/** @param key private, as JWK. */
export function createProvider(parts: OAuthParts, issuer: string, key: JWK): Provider {
  const provider = new Provider(issuer, {
    ...configuration(parts, issuer),
    jwks: { keys: [key] },
  });
  // TLS may end before us; where clients reach us is a setting, and the headers that say so are written by us.
  provider.proxy = true;
  provider.silent = true;
  const client = provider.Client.prototype as unknown as {
    compareClientSecret(this: { readonly clientSecret: string }, given: string): boolean;
  };
  // Only a keyed hash is stored.
  client.compareClientSecret = function compare(given) {
    return parts.isSecret(given, this.clientSecret);
  };
  return provider;
}

function configuration(parts: OAuthParts, issuer: string): Configuration {
  const secure = issuer.startsWith("https:");
  const cookie = { httpOnly: true, sameSite: "lax", secure, signed: true } as const;
  return {
    adapter: createAdapter({
      ...parts,
      clients: {
        find: async (id) => asMetadata(await parts.clients.lookUp(id)),
        register: (id, payload) => register(parts, id, payload),
      },
      describe: (payload) => describeGrant(parts, payload),
    }),
    clients: [
      {
        client_id: commandLine,
        client_name: "Portico command line",
        application_type: "native",
        token_endpoint_auth_method: "none",
        grant_types: ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
        redirect_uris: [],
        response_types: [],
      },
    ],
    routes: paths,
    scopes: ["openid", "offline_access", "profile", "email"],
    claims: { openid: ["sub"], profile: ["name", "preferred_username"], email: ["email"] },
    // Access tokens are for the API alone, so the ID token carries what the scopes promise.
    conformIdTokenClaims: false,
    clientDefaults: {
      id_token_signed_response_alg: "ES256",
      token_endpoint_auth_method: "client_secret_basic",
    },
    clientAuthMethods: ["client_secret_basic", "client_secret_post", "none"],
    enabledJWA: { idTokenSigningAlgValues: ["ES256"] },
    responseTypes: ["code"],
    pkce: { required: () => true },
    clockTolerance: skewSeconds,
    cookies: {
      keys: [parts.secrets.oauth.cookieKey],
      names: {
        session: secure ? "__Host-portico-session" : "portico-session",
        interaction: secure ? "__Secure-portico-interaction" : "portico-interaction",
        resume: secure ? "__Secure-portico-resume" : "portico-resume",
      },
      long: cookie,
      short: cookie,
    },
    features: featuresOf(parts, issuer),
    extraClientMetadata: {
      properties: ["portico_tenant", "portico_user", "portico_scopes"],
      // In a registration they are ours to say, not the client's.
      validator: (ctx, name, value) => {
        if (ctx !== undefined && value !== undefined)
          throw new errors.InvalidClientMetadata(`${name} is not for clients`);
      },
    },
    findAccount: async (ctx, uid) => {
      const user = await parts.findUser(uid);
      const tenant = oursOf(ctx.oidc.client).portico_tenant;
      if (user === undefined || (tenant !== undefined && tenant !== user.tenant)) return undefined;
      return { accountId: uid, claims: () => claimsOf(user) };
    },
    formats: { customizers: { jwt: (_ctx, token, structured) => ourClaims(parts, token, structured) } },
    interactions: {
      policy: interactions(),
      url: (_ctx, interaction) => `/oauth2/interaction/${interaction.uid}`,
    },
    rotateRefreshToken: () => true,
    expiresWithSession: () => false,
    clientBasedCORS: (_ctx, origin, client) =>
      (client.redirectUris ?? []).some((uri) => URL.canParse(uri) && new URL(uri).origin === origin),
    renderError: (ctx, out) => {
      ctx.type = "html";
      ctx.body = pages.failure(out.error, out.error_description);
    },
    ttl: {
      AccessToken: () => lifeSeconds,
      ClientCredentials: () => lifeSeconds,
      AuthorizationCode: () => 60,
      DeviceCode: () => lifeSeconds,
      IdToken: () => lifeSeconds,
      Interaction: () => 3600,
      Session: () => daySeconds,
      Grant: () => monthSeconds,
      RefreshToken: (_ctx, token) => {
        const started = (token as { readonly iiat?: number }).iiat;
        const left =
          started === undefined ? monthSeconds : started + monthSeconds - Math.floor(Date.now() / 1000);
        return Math.max(1, Math.min(daySeconds, left));
      },
    },
  };
}

/** Who is signed in, but not as somebody that this client is for, is asked to sign in as somebody else. */
function interactions(): interactionPolicy.DefaultPolicy {
  const { base, Check } = interactionPolicy;
  const policy = base();
  const description = "the account that is signed in is not one for this application";
  policy
    .get("login")
    ?.checks.add(
      new Check("account_foreign", description, "login_required", (ctx) =>
        ctx.oidc.session?.accountId !== undefined && ctx.oidc.account === undefined
          ? Check.REQUEST_PROMPT
          : Check.NO_NEED_TO_PROMPT,
      ),
    );
  return policy;
}

function featuresOf(parts: OAuthParts, issuer: string): NonNullable<Configuration["features"]> {
  return {
    devInteractions: { enabled: false },
    // Our API does not ask for proof of possession, so it is not promised.
    dPoP: { enabled: false },
    userinfo: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: {
      enabled: true,
      allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId,
    },
    revocation: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId },
    deviceFlow: {
      enabled: true,
      charset: "base-20",
      mask: "****-****",
      userCodeInputSource: (ctx, form, out, error) => {
        const known = ctx.req.headers["x-portico-user-code"];
        const wrong = out !== undefined || error !== undefined;
        ctx.body = pages.deviceCode(hiddenOf(form), typeof known === "string" ? known : "", wrong);
      },
      userCodeConfirmSource: (ctx, form, client, _info, code) => {
        ctx.body = pages.deviceConfirm(hiddenOf(form), client.clientName ?? client.clientId, code);
      },
      successSource: (ctx) => {
        ctx.body = pages.deviceDone(ctx.oidc.client?.clientName ?? "the application");
      },
    },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => {
        ctx.body = pages.signOut(hiddenOf(form));
      },
      postLogoutSuccessSource: (ctx) => {
        ctx.body = pages.signedOut();
      },
    },
    registration: { enabled: parts.registration, issueRegistrationAccessToken: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => issuer,
      useGrantedResource: () => true,
      getResourceServerInfo: (_ctx, resource, client) => {
        if (resource !== issuer) throw new errors.InvalidTarget(`tokens are for ${issuer} alone`);
        return {
          audience: issuer,
          scope: scopesOf(parts, client).join(" "),
          accessTokenFormat: "jwt",
          accessTokenTTL: lifeSeconds,
          jwt: { sign: { alg: "ES256" } },
        };
      },
    },
  };
}

/** The most that a client's tokens may. */
function scopesOf(parts: OAuthParts, client: Client): readonly string[] {
  return client.clientId === commandLine ? ["*", ...parts.scopes()] : (oursOf(client).portico_scopes ?? []);
}

function claimsOf(user: UserRow) {
  return {
    sub: user.uid,
    name: user.displayName,
    preferred_username: user.id,
    ...(user.email === "" ? {} : { email: user.email }),
  };
}

/** As our own tokens have them; a token that asked for nothing may nothing. */
async function ourClaims(
  parts: OAuthParts,
  token: { readonly client?: Client | undefined },
  { payload }: { readonly payload: Record<string, unknown> },
): Promise<void> {
  const { accountId, grantId } = token as { readonly accountId?: string; readonly grantId?: string };
  payload.scope ??= "";
  if (accountId === undefined) {
    const { portico_tenant: tenant, portico_user: user } = oursOf(token.client);
    payload.sub = user;
    payload.tid = tenant;
    return;
  }
  const user = await parts.findUser(accountId);
  if (user === undefined || grantId === undefined) throw new errors.InvalidGrant("the user may not sign in");
  payload.sub = user.id;
  payload.tid = user.tenant;
  payload.sid = sessionOf(parts.secrets, grantId);
}

function asMetadata(row: OAuthClientRow | undefined): AdapterPayload | undefined {
  if (row === undefined) return undefined;
  const isService = row.kind === "SERVICE";
  const redirects = JSON.parse(row.redirect_uris) as string[];
  const metadata: ClientMetadata & Ours = {
    ...(JSON.parse(row.metadata) as object),
    client_id: row.id,
    client_name: row.display_name,
    // Only native applications may be sent to loopback or to schemes of their own.
    application_type: redirects.every((uri) => uri.startsWith("https:")) ? "web" : "native",
    token_endpoint_auth_method: row.kind === "PUBLIC" ? "none" : "client_secret_basic",
    ...(row.secret === "" ? {} : { client_secret: row.secret }),
    grant_types: grantsOf(isService, redirects.length > 0),
    response_types: isService || redirects.length === 0 ? [] : ["code"],
    redirect_uris: isService ? [] : redirects,
    portico_tenant: row.tenant,
    portico_scopes: JSON.parse(row.scopes) as string[],
    ...(isService ? { portico_user: row.service_account } : {}),
  };
  return metadata as AdapterPayload;
}

function grantsOf(isService: boolean, hasRedirects: boolean): string[] {
  if (isService) return ["client_credentials"];
  const device = "urn:ietf:params:oauth:grant-type:device_code";
  return [...(hasRedirects ? ["authorization_code"] : []), device, "refresh_token"];
}

/** RFC 7591: who registers may no more than a client made by hand. */
async function register(parts: OAuthParts, id: string, payload: AdapterPayload): Promise<void> {
  const metadata = payload as unknown as ClientMetadata;
  const redirects = metadata.redirect_uris ?? [];
  const bad = redirects.flatMap((uri) => checkRedirect(uri, uri)).at(0);
  if (bad !== undefined) throw new errors.InvalidRedirectUri(`${bad.field.slice(0, 100)} ${bad.description}`);
  const tenant = parts.current()?.tenant;
  if (tenant === undefined) throw new errors.AccessDenied("registration needs a credential");
  const isPublic = metadata.token_endpoint_auth_method === "none";
  await parts.clients.register({
    id,
    tenant,
    display_name: (metadata.client_name ?? id).slice(0, 200),
    kind: isPublic ? "PUBLIC" : "CONFIDENTIAL",
    redirect_uris: JSON.stringify(redirects),
    // Scopes are given by an administrator, with UpdateOAuthClient.
    scopes: "[]",
    secret: metadata.client_secret === undefined ? "" : parts.clients.hashSecret(metadata.client_secret),
    metadata: "{}",
  });
}

async function describeGrant(parts: OAuthParts, payload: AdapterPayload) {
  if (payload.accountId === undefined) return undefined;
  const user = await parts.findUser(payload.accountId);
  const { clientId = "" } = payload;
  const client = clientId === commandLine ? undefined : await parts.clients.lookUp(clientId);
  const application = client?.display_name ?? "Portico command line";
  return user && { tenant: user.tenant, user: user.id, application, address: parts.current()?.address ?? "" };
}

/** The library hands over a form; we take its hidden fields and write our own. */
function hiddenOf(form: string): pages.HiddenFields {
  const action = /action="([^"]*)"/.exec(form)?.[1] ?? "";
  const fields = [...form.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g)].map(
    ([, name = "", value = ""]) => [name, value] as const,
  );
  return { action: new URL(action, "http://localhost").pathname, fields };
}
