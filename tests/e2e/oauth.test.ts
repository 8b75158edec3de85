/** The authorization server as its clients meet it: `openid-client` and a browser's cookies against a whole server. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import * as oidc from "openid-client";
import { BrowserSession, type Page } from "../support/browser-session.ts";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { ask } from "../support/portico.ts";
import { startPostgres, type TestPostgres } from "../support/postgres.ts";

const password = "correct horse battery staple";
const redirect = "http://127.0.0.1:9/callback";

describe("OAuth in memory", () => suite(async () => "memory:"));
describe("OAuth on PostgreSQL", () => {
  let postgres: TestPostgres;
  before(async () => {
    postgres = await startPostgres();
  });
  after(() => postgres.stop());
  describe("with row security", () => suite(() => postgres.createDatabase()));
});

function suite(databaseUrl: () => Promise<string>): void {
  let server: IdentityServer;
  let admin: { headers: Record<string, string> };
  const insecure = { execute: [oidc.allowInsecureRequests] };

  const person = async (id: string, roles = ["roles/editor"]): Promise<void> => {
    const user = { email: `${id}@example.org`, roles, displayName: id };
    const created = await ask(server.base, "POST", "/portico.users.v1.UserService/CreateUser", {
      ...admin,
      body: { userId: id, password, user },
    });
    assert.equal(created.status, 200, created.text);
  };
  const client = async (body: object): Promise<{ id: string; secret: string }> => {
    const made = await ask(server.base, "POST", "/api/v1/oauthClients", { ...admin, body });
    assert.equal(made.status, 201, made.text);
    return { id: made.json.oauthClient.id, secret: made.json.secret };
  };
  const discover = (id: string, secret?: string): Promise<oidc.Configuration> =>
    oidc.discovery(
      new URL(server.base),
      id,
      secret,
      secret === undefined ? oidc.None() : undefined,
      insecure,
    );
  const api = (path: string, token: string) =>
    ask(server.base, "GET", path, { headers: { authorization: `Bearer ${token}` } });

  /** Through sign-in and consent to the code's redirect. */
  const allow = async (browser: BrowserSession, url: URL, email: string): Promise<Page> => {
    const signIn = await browser.open(url.href);
    assert.match(signIn.text, /<h1>Sign in<\/h1>/);
    const consent = await browser.submit(signIn, { email, password });
    assert.match(consent.text, /<h1>Allow /);
    return await browser.submit(consent, { step: "allow" });
  };
  const signedIn = async (config: oidc.Configuration, email: string, scope: string) => {
    const verifier = oidc.randomPKCECodeVerifier();
    const state = oidc.randomState();
    const url = oidc.buildAuthorizationUrl(config, {
      ...{ redirect_uri: redirect, scope, state, prompt: "consent", code_challenge_method: "S256" },
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    });
    const back = await allow(new BrowserSession(server.base), url, email);
    assert.ok(back.url.startsWith(redirect), `${back.url} ${back.text}`);
    return await oidc.authorizationCodeGrant(config, new URL(back.url), {
      pkceCodeVerifier: verifier,
      expectedState: state,
    });
  };

  before(async () => {
    server = await startIdentity({
      ...{ reachable: true, oauthRegistration: true },
      databaseUrl: await databaseUrl(),
    });
    admin = { headers: { "x-api-key": server.adminKey } };
    await person("ana");
  });
  after(() => server.close());

  test("discovery names what there is, at the root", async () => {
    for (const name of ["openid-configuration", "oauth-authorization-server"]) {
      const { json, status } = await ask(server.base, "GET", `/.well-known/${name}`);
      assert.equal(status, 200);
      assert.equal(json.issuer, server.base);
      assert.equal(json.jwks_uri, `${server.base}/.well-known/jwks.json`);
      assert.equal(json.token_endpoint, `${server.base}/oauth2/token`);
      assert.deepEqual(json.code_challenge_methods_supported, ["S256"]);
      assert.ok(json.scopes_supported.includes("bpmn:read"));
    }
  });

  test("code with PKCE: sign-in, consent, a token the API knows, an ID token, user info", async () => {
    const { id } = await client({
      displayName: "Desk",
      kind: "PUBLIC",
      redirectUris: [redirect],
      scopes: ["bpmn:read"],
    });
    const config = await discover(id);
    const tokens = await signedIn(
      config,
      "ana@example.org",
      "openid profile offline_access bpmn:read bpmn:write",
    );
    assert.equal(tokens.expires_in, 600);
    const claims = tokens.claims();
    assert.equal(claims?.preferred_username, "ana");
    const me = await api("/api/v1/me", tokens.access_token);
    assert.equal(me.status, 200, me.text);
    assert.equal(me.json.name, "users/ana");
    assert.equal((await api("/api/v1/bpmn", tokens.access_token)).status, 200);
    // Ana may write, the client may not ask for it.
    const write = await ask(server.base, "POST", "/api/v1/bpmn", {
      headers: { authorization: `Bearer ${tokens.access_token}` },
      body: {},
    });
    assert.equal(write.status, 403);
    const info = await oidc.fetchUserInfo(config, tokens.access_token, claims?.sub ?? "");
    assert.equal(info.preferred_username, "ana");
    const sessions = await api("/api/v1/users/me/sessions", tokens.access_token);
    assert.ok(
      sessions.json.sessions.some(
        (one: { userAgent: string; current: boolean }) => one.userAgent === "Desk (OAuth)" && one.current,
      ),
    );
  });

  test("row 59: a refresh token used again is invalid_grant, and the family is dead", async () => {
    const { id } = await client({
      displayName: "Twice",
      kind: "PUBLIC",
      redirectUris: [redirect],
      scopes: ["bpmn:read"],
    });
    const config = await discover(id);
    const first = await signedIn(config, "ana@example.org", "openid offline_access bpmn:read");
    const second = await oidc.refreshTokenGrant(config, String(first.refresh_token));
    assert.equal((await api("/api/v1/bpmn", second.access_token)).status, 200);
    const again = await fetch(`${server.base}/oauth2/token`, {
      method: "POST",
      body: new URLSearchParams({
        grant_type: "refresh_token",
        refresh_token: String(first.refresh_token),
        client_id: id,
      }),
    });
    assert.equal(again.status, 400);
    assert.equal(((await again.json()) as { error: string }).error, "invalid_grant");
    await assert.rejects(oidc.refreshTokenGrant(config, String(second.refresh_token)), {
      error: "invalid_grant",
    });
    await eventually(async () => (await api("/api/v1/bpmn", second.access_token)).status === 401);
  });

  test("client credentials: a service's token, no more than its account and the client may", async () => {
    await server.userWithKey("importer", ["editor"]);
    const { id, secret } = await client({
      ...{
        displayName: "Importer",
        kind: "SERVICE",
        serviceAccount: "users/importer",
        scopes: ["bpmn:read"],
      },
    });
    const config = await discover(id, secret);
    const tokens = await oidc.clientCredentialsGrant(config, { scope: "bpmn:read" });
    assert.equal((await api("/api/v1/bpmn", tokens.access_token)).status, 200);
    assert.equal((await api("/api/v1/users", tokens.access_token)).status, 403);
    const told = await oidc.tokenIntrospection(config, tokens.access_token);
    assert.equal(told.active, true);
    assert.equal(told.username, "importer");
    assert.equal(told.scope, "bpmn:read");
    assert.equal((await oidc.tokenIntrospection(config, "nonsense")).active, false);
    const none = await oidc.clientCredentialsGrant(config);
    assert.equal((await api("/api/v1/bpmn", none.access_token)).status, 403);
    const wrong = await discover(id, "pts_wrong");
    await assert.rejects(oidc.clientCredentialsGrant(wrong), { error: "invalid_client" });
  });

  test("revocation ends the session, and with it the access token", async () => {
    const { id, secret } = await client({
      ...{ displayName: "Web", kind: "CONFIDENTIAL", redirectUris: ["https://web.example.org/cb", redirect] },
      scopes: ["bpmn:read"],
    });
    const config = await discover(id, secret);
    for (const which of ["refresh_token", "access_token"] as const) {
      const tokens = await signedIn(config, "ana@example.org", "openid offline_access bpmn:read");
      assert.equal((await oidc.tokenIntrospection(config, tokens.access_token)).active, true);
      await oidc.tokenRevocation(config, String(tokens[which]));
      await eventually(async () => (await api("/api/v1/bpmn", tokens.access_token)).status === 401);
      assert.equal((await oidc.tokenIntrospection(config, tokens.access_token)).active, false);
      await assert.rejects(oidc.refreshTokenGrant(config, String(tokens.refresh_token)), {
        error: "invalid_grant",
      });
    }
  });

  test("a session that its user ends, and a suspended user, end the grant", async () => {
    await person("bob");
    const { id } = await client({
      displayName: "App",
      kind: "PUBLIC",
      redirectUris: [redirect],
      scopes: ["bpmn:read"],
    });
    const config = await discover(id);
    const tokens = await signedIn(config, "bob@example.org", "openid offline_access bpmn:read");
    const ended = await ask(server.base, "POST", "/api/v1/users/bob:revokeSessions", { ...admin, body: {} });
    assert.equal(ended.status, 204, ended.text);
    await assert.rejects(oidc.refreshTokenGrant(config, String(tokens.refresh_token)), {
      error: "invalid_grant",
    });
    const more = await signedIn(config, "bob@example.org", "openid offline_access bpmn:read");
    await ask(server.base, "POST", "/api/v1/users/bob:suspend", { ...admin, body: {} });
    await assert.rejects(oidc.refreshTokenGrant(config, String(more.refresh_token)), {
      error: "invalid_grant",
    });
    await eventually(async () => (await api("/api/v1/bpmn", more.access_token)).status === 401);
  });

  test("device flow: a code, a browser, a token for the command line", async () => {
    const config = await discover("portico-cli");
    const started = await oidc.initiateDeviceAuthorization(config, { scope: "openid offline_access *" });
    assert.match(started.user_code, /^[A-Z]{4}-[A-Z]{4}$/);
    const browser = new BrowserSession(server.base);
    const asked = await browser.open(String(started.verification_uri_complete));
    assert.match(asked.text, new RegExp(`value="${started.user_code}"`));
    const confirm = await browser.submit(asked, { user_code: started.user_code });
    assert.match(confirm.text, /Is this your device/);
    const signIn = await browser.submit(confirm, {});
    const consent = await browser.submit(signIn, { tenant: "default", email: "ana@example.org", password });
    assert.match(consent.text, /do everything that you may do/);
    const done = await browser.submit(consent, { step: "allow" });
    assert.match(done.text, /is connected/);
    const tokens = await oidc.pollDeviceAuthorizationGrant(config, { ...started, interval: 0.1 });
    const me = await api("/api/v1/me", tokens.access_token);
    assert.equal(me.json.name, "users/ana");
    assert.equal((await api("/api/v1/bpmn", tokens.access_token)).status, 200);
    assert.equal((await api("/api/v1/users", tokens.access_token)).status, 403);
  });

  test("row 63: a form from a foreign origin is refused, as is one without", async () => {
    const { id } = await client({
      displayName: "Csrf",
      kind: "PUBLIC",
      redirectUris: [redirect],
      scopes: [],
    });
    const url = oidc.buildAuthorizationUrl(await discover(id), {
      ...{ redirect_uri: redirect, scope: "openid", code_challenge_method: "S256" },
      code_challenge: await oidc.calculatePKCECodeChallenge(oidc.randomPKCECodeVerifier()),
    });
    const browser = new BrowserSession(server.base);
    const page = await browser.open(url.href);
    for (const origin of ["https://evil.example", "null", ""]) {
      const refused = await browser.submit(page, { email: "ana@example.org", password }, origin);
      assert.equal(refused.status, 403, refused.text);
    }
    assert.match((await browser.submit(page, { email: "ana@example.org", password })).text, /<h1>Allow /);
  });

  test("what is wrong is said, and nobody is sent where they should not", async () => {
    const { id } = await client({
      displayName: "Strict",
      kind: "PUBLIC",
      redirectUris: [redirect],
      scopes: [],
    });
    const query = { client_id: id, response_type: "code", scope: "openid" };
    const open = (more: Record<string, string>) =>
      new BrowserSession(server.base).open(
        `${server.base}/oauth2/authorize?${new URLSearchParams({ ...query, ...more }).toString()}`,
      );
    const foreign = await open({ redirect_uri: "https://evil.example/cb" });
    assert.equal(foreign.status, 400);
    assert.match(foreign.text, /redirect_uri/);
    const plain = await open({ redirect_uri: redirect });
    assert.match(plain.url, /error=invalid_request/);
    assert.match(plain.url, /PKCE|code_challenge/i);
    const unknown = await open({ client_id: "<script>", redirect_uri: redirect });
    assert.equal(unknown.status, 400);
    assert.ok(!unknown.text.includes("<script>"));
    const wrong = await ask(server.base, "POST", "/api/v1/oauthClients", {
      ...admin,
      body: {
        displayName: "x",
        kind: "PUBLIC",
        redirectUris: ["http://example.org/cb", "javascript:alert(1)"],
      },
    });
    assert.equal(wrong.status, 400);
    assert.match(wrong.text, /redirectUris\[0\].*https/);
    assert.match(wrong.text, /redirectUris\[1\]/);
  });

  test("a wrong password stays on the page and is audited; ten more are too many", async () => {
    await person("eve");
    const { id } = await client({
      displayName: "Guess",
      kind: "PUBLIC",
      redirectUris: [redirect],
      scopes: [],
    });
    const url = oidc.buildAuthorizationUrl(await discover(id), {
      ...{ redirect_uri: redirect, scope: "openid", code_challenge_method: "S256" },
      code_challenge: await oidc.calculatePKCECodeChallenge(oidc.randomPKCECodeVerifier()),
    });
    const browser = new BrowserSession(server.base);
    let page = await browser.open(url.href);
    for (let attempt = 0; attempt < 10; attempt += 1) {
      page = await browser.submit(page, { email: "eve@example.org", password: "not the right one" });
      assert.equal(page.status, 401);
    }
    assert.equal((await browser.submit(page, { email: "eve@example.org", password })).status, 429);
    const entries = await ask(
      server.base,
      "GET",
      `/api/v1/auditEntries?filter=${encodeURIComponent('method = "oauth2/signIn"')}`,
      admin,
    );
    assert.ok(
      entries.json.entries.some((one: { reason: string }) => one.reason === "SIGN_IN_REFUSED"),
      entries.text,
    );
    assert.ok(!entries.text.includes("not the right one"));
  });

  test("registration needs a credential, and gives no scopes", async () => {
    const register = (headers: Record<string, string>) =>
      ask(server.base, "POST", "/oauth2/register", {
        headers,
        body: {
          ...{ client_name: "Agent", redirect_uris: [redirect], token_endpoint_auth_method: "none" },
          ...{ application_type: "native", grant_types: ["authorization_code", "refresh_token"] },
        },
      });
    assert.equal((await register({})).status, 401);
    const made = await register({ authorization: `Bearer ${server.adminKey}` });
    assert.equal(made.status, 201, made.text);
    const listed = await ask(server.base, "GET", `/api/v1/oauthClients/${made.json.client_id}`, admin);
    assert.equal(listed.json.displayName, "Agent");
    const tokens = await signedIn(
      await discover(made.json.client_id),
      "ana@example.org",
      "openid offline_access",
    );
    assert.equal((await api("/api/v1/bpmn", tokens.access_token)).status, 403);
    const gone = await ask(server.base, "DELETE", `/api/v1/oauthClients/${made.json.client_id}`, admin);
    assert.equal(gone.status, 204);
    await eventually(async () => (await api("/api/v1/me", tokens.access_token)).status === 401);
  });

  test("people of another tenant cannot sign in to this tenant's client", async () => {
    const tenant = await ask(server.base, "POST", "/api/v1/tenants", {
      ...admin,
      body: { tenantId: "acme", adminEmail: "root@acme.example", adminPassword: password },
    });
    assert.equal(tenant.status, 201, tenant.text);
    const cli = await discover("portico-cli");
    const started = await oidc.initiateDeviceAuthorization(cli, { scope: "openid *" });
    const browser = new BrowserSession(server.base);
    const confirm = await browser.submit(await browser.open(started.verification_uri), {
      user_code: started.user_code,
    });
    const signIn = await browser.submit(confirm, {});
    const consent = await browser.submit(signIn, { tenant: "acme", email: "root@acme.example", password });
    assert.match((await browser.submit(consent, { step: "allow" })).text, /is connected/);
    // The same browser, signed in as acme's, comes with the client of "default".
    const { id } = await client({
      displayName: "Ours",
      kind: "PUBLIC",
      redirectUris: [redirect],
      scopes: [],
    });
    const url = oidc.buildAuthorizationUrl(await discover(id), {
      ...{ redirect_uri: redirect, scope: "openid", code_challenge_method: "S256" },
      code_challenge: await oidc.calculatePKCECodeChallenge(oidc.randomPKCECodeVerifier()),
    });
    const page = await browser.open(url.href);
    assert.match(page.text, /<h1>Sign in<\/h1>/);
    assert.match((await browser.submit(page, { email: "root@acme.example", password })).text, /not right/);
  });

  test("nothing that can be used lies in the database", async () => {
    const { id } = await client({
      displayName: "Secrets",
      kind: "PUBLIC",
      redirectUris: [redirect],
      scopes: [],
    });
    const tokens = await signedIn(await discover(id), "ana@example.org", "openid offline_access");
    const rows = await server.storage
      .tables<{ users_oauth_artifacts: Record<string, unknown> }>()
      .db.selectFrom("users_oauth_artifacts")
      .selectAll()
      .execute();
    const all = rows
      .map((row) =>
        Buffer.from(
          JSON.stringify({ ...row, payload: Buffer.from(row.payload as Uint8Array).toString("latin1") }),
        ).toString(),
      )
      .join("\n");
    assert.ok(rows.length > 0);
    assert.ok(!all.includes(String(tokens.refresh_token)) && !all.includes("ana@") && !all.includes("jti"));
  });
}

async function eventually(holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 5000;
  while (!(await holds())) {
    assert.ok(Date.now() < end, "not within five seconds");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
