/** Tokens of somebody else's identity provider, a real one in a process of its own, through `openid-client`. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import * as oidc from "openid-client";
import { createIssuers, type TrustedIssuer } from "#services/users/issuers.ts";
import { systemClock } from "#std/clock.ts";
import { BrowserSession } from "../support/browser-session.ts";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { ask, bpmnXml, reasonOf } from "../support/portico.ts";

const audience = "https://portico.example";
const redirect = "http://127.0.0.1:9/callback";

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as { port: number };
  probe.close();
  return port;
}

/** How often somebody looked at the provider's keys. */
let looks = 0;

async function startProvider(port: number, kid: string): Promise<ChildProcess> {
  const script = path.resolve(import.meta.dirname, "../support/identity-provider.ts");
  const child = spawn(process.execPath, [script, String(port), kid], { stdio: ["ignore", "pipe", "ignore"] });
  await Promise.race([
    once(child.stdout, "data"),
    once(child, "exit").then(() => Promise.reject(new Error("the identity provider ended"))),
  ]);
  child.stdout.on("data", (text) => {
    looks += String(text).split("keys").length - 1;
  });
  return child;
}

describe("a trusted issuer", () => {
  let provider: ChildProcess;
  let server: IdentityServer;
  let port: number;
  let base: string;
  let trusted: TrustedIssuer;
  const insecure = { execute: [oidc.allowInsecureRequests] };

  const robotToken = async (resource = audience): Promise<string> => {
    const config = await oidc.discovery(
      new URL(base),
      "robot",
      "a secret of the robot's own",
      undefined,
      insecure,
    );
    return (await oidc.clientCredentialsGrant(config, { scope: "api", resource })).access_token;
  };
  const personTokens = async (email: string) => {
    const config = await oidc.discovery(new URL(base), "desk", undefined, oidc.None(), insecure);
    const verifier = oidc.randomPKCECodeVerifier();
    const url = oidc.buildAuthorizationUrl(config, {
      ...{ redirect_uri: redirect, scope: "openid api", login_hint: email, code_challenge_method: "S256" },
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    });
    const back = await new BrowserSession(base).open(url.href);
    return await oidc.authorizationCodeGrant(config, new URL(back.url), { pkceCodeVerifier: verifier });
  };
  const api = (target: string, token: string, to = server) =>
    ask(to.base, "GET", target, { headers: { authorization: `Bearer ${token}` } });

  before(async () => {
    port = await freePort();
    base = `http://127.0.0.1:${port}`;
    provider = await startProvider(port, "one");
    trusted = {
      ...{ name: "corp", issuer: base, audience },
      tenant: { claim: "org", map: { acme: "default" } },
      roles: {
        claim: "groups",
        map: { ops: ["operator"], everybody: ["viewer"], robots: ["worker"], root: ["admin"] },
      },
    };
    server = await startIdentity({ trustedIssuers: [trusted] });
  });
  after(async () => {
    provider.kill("SIGKILL");
    await server.close();
  });

  test("lets a service in with the roles that its groups stand for", async () => {
    const token = await robotToken();
    assert.equal((await api("/api/v1/bpmn", token)).status, 200);
    assert.equal((await api("/api/v1/users", token)).status, 403);
  });

  test("lets people in, each with their own roles", async () => {
    const olga = (await personTokens("olga@corp.example")).access_token;
    const paul = (await personTokens("paul@corp.example")).access_token;
    assert.equal((await api("/api/v1/users", olga)).status, 200);
    assert.equal((await api("/api/v1/users", paul)).status, 403);
    assert.equal((await api("/api/v1/bpmn", paul)).status, 200);
  });

  test("tells people of whom there is no user here who they are, by me and by their own id alone", async () => {
    const olga = (await personTokens("olga@corp.example")).access_token;
    const grant = await createIssuers({ issuers: [trusted], clock: systemClock }).verify(olga);
    const me = await api("/api/v1/me", olga);
    assert.equal(me.status, 200, me.text);
    assert.equal(me.json.name, `users/${grant?.user}`);
    assert.equal(me.json.state, "ACTIVE");
    assert.deepEqual(me.json.roles, ["roles/operator", "roles/viewer"]);
    assert.ok(me.json.effectiveScopes.includes("users:read"), me.text);
    assert.deepEqual((await api(`/api/v1/users/${grant?.user}`, olga)).json, me.json);
    const robot = await robotToken();
    const id = (await api("/api/v1/me", robot)).json.id;
    assert.notEqual(id, me.json.id);
    assert.equal((await api(`/api/v1/users/${id}`, olga)).status, 404, "of others there is no user");
  });

  test("not with an ID token, not for another audience, not in a tenant that its claim does not name", async () => {
    const olga = await personTokens("olga@corp.example");
    assert.equal((await api("/api/v1/bpmn", String(olga.id_token))).status, 401);
    assert.equal((await api("/api/v1/bpmn", await robotToken("https://other.example"))).status, 401);
    const root = (await personTokens("root@corp.example")).access_token;
    assert.equal((await api("/api/v1/bpmn", root)).status, 401);
    const [head, , tail] = olga.access_token.split(".");
    const forged = Buffer.from(JSON.stringify({ iss: base, aud: audience, sub: "x", org: "acme" })).toString(
      "base64url",
    );
    assert.equal((await api("/api/v1/bpmn", `${head}.${forged}.${tail}`)).status, 401);
  });

  test("is nobody where it is not trusted", async () => {
    const strict = await startIdentity({});
    try {
      assert.equal((await api("/api/v1/bpmn", await robotToken(), strict)).status, 401);
    } finally {
      await strict.close();
    }
  });

  test("somebody from there can be suspended here", async () => {
    const token = (await personTokens("paul@corp.example")).access_token;
    const grant = await createIssuers({ issuers: [trusted], clock: systemClock }).verify(token);
    const admin = { headers: { "x-api-key": server.adminKey } };
    const id = String(grant?.user);
    const made = await ask(server.base, "POST", `/api/v1/users?userId=${id}`, {
      ...admin,
      body: { email: "paul@corp.example" },
    });
    assert.equal(made.status, 201, made.text);
    assert.equal((await api("/api/v1/bpmn", token)).status, 200);
    await ask(server.base, "POST", `/api/v1/users/${id}:suspend`, { ...admin, body: {} });
    const again = (await personTokens("paul@corp.example")).access_token;
    assert.equal((await api("/api/v1/bpmn", again)).status, 401);
  });

  describe("somebody from there of whom there is no user here", () => {
    const post = (target: string, token: string, body: object) =>
      ask(server.base, "POST", target, { headers: { authorization: `Bearer ${token}` }, body });
    const exchanged = async (token: string, scopes: readonly string[] = []): Promise<string> => {
      const answer = await post("/api/v1/auth:exchange", token, { scopes });
      assert.equal(answer.status, 200, answer.text);
      return answer.json.accessToken;
    };
    const ticketOf = async (token: string, scopes: readonly string[] = []): Promise<string> => {
      const answer = await post("/api/v1/auth:ticket", token, { scopes });
      assert.equal(answer.status, 200, answer.text);
      return answer.json.ticket;
    };
    const download = async (ticket: string): Promise<number> =>
      (await ask(server.base, "GET", `/api/v1/bpmn/theirs:download?ticket=${ticket}`)).status;
    let olga: string;
    before(async () => {
      olga = (await personTokens("olga@corp.example")).access_token;
      const body = { xml: bpmnXml() };
      const made = await ask(server.base, "POST", "/api/v1/bpmn?documentId=theirs", {
        headers: { "x-api-key": server.adminKey },
        body,
      });
      assert.equal(made.status, 201, made.text);
    });

    test("is, with an exchanged token, who the first one said, and may what it said or less", async () => {
      const me = (await api("/api/v1/me", olga)).json;
      const all = await exchanged(olga);
      assert.deepEqual((await api("/api/v1/me", all)).json, me);
      assert.equal((await api("/api/v1/users", all)).status, 200);
      const less = await exchanged(olga, ["bpmn:read"]);
      assert.equal((await api("/api/v1/bpmn", less)).status, 200);
      assert.equal((await api("/api/v1/users", less)).status, 403);
      const again = await exchanged(less);
      assert.equal((await api("/api/v1/bpmn", again)).status, 200);
      assert.equal((await api("/api/v1/users", again)).status, 403);
      const paul = (await personTokens("root@corp.example")).access_token;
      assert.equal((await post("/api/v1/auth:exchange", paul, {})).status, 401, "who gets in nowhere");
    });

    test("opens a stream with a ticket, also with one of an exchanged token", async () => {
      assert.equal(await download(await ticketOf(olga)), 200);
      assert.equal(await download(await ticketOf(olga, ["bpmn:read"])), 200);
      assert.equal(await download(await ticketOf(olga, ["users:read"])), 403);
      assert.equal(await download(await ticketOf(await exchanged(olga, ["bpmn:read"]))), 200);
    });

    test("loses both when somebody of that id is suspended here", async () => {
      const robot = await robotToken();
      const { id } = (await api("/api/v1/me", robot)).json;
      const [token, ticket] = [await exchanged(robot), await ticketOf(robot)];
      const headers = { "x-api-key": server.adminKey };
      const made = await ask(server.base, "POST", `/api/v1/users?userId=${id}`, {
        headers,
        body: { email: "robot@corp.example" },
      });
      assert.equal(made.status, 201, made.text);
      assert.equal((await api("/api/v1/bpmn", token)).status, 200, "its roles are still those of its issuer");
      assert.equal(await download(await ticketOf(robot)), 200);
      await ask(server.base, "POST", `/api/v1/users/${id}:suspend`, { headers, body: {} });
      assert.equal(await download(ticket), 401);
      await new Promise((resolve) => setTimeout(resolve, 2500));
      assert.equal((await api("/api/v1/bpmn", token)).status, 401);
      await ask(server.base, "DELETE", `/api/v1/users/${id}`, { headers });
    });

    test("gets no API key, which would outlive the word of its issuer, and is told so", async () => {
      const answer = await post("/api/v1/apiKeys", olga, { displayName: "k" });
      assert.equal(answer.status, 400, answer.text);
      assert.equal(reasonOf(answer), "FIELD_INVALID");
      assert.match(answer.text, /apiKey.owner.*there is no users\/corp-\w+ here.*exchange/);
    });

    test("has a ticket's stream no longer than the token that asked for it", async () => {
      let aheadMs = 0;
      const clock = {
        now: () => systemClock.now() + aheadMs,
        monotonic: () => systemClock.monotonic() + aheadMs,
      };
      const own = await startIdentity({ trustedIssuers: [trusted], clock });
      try {
        const headers = { authorization: `Bearer ${olga}` };
        const made = await ask(own.base, "POST", "/api/v1/auth:ticket", { headers, body: {} });
        const abort = new AbortController();
        const stream = await fetch(
          `${own.base}/api/v1/events:subscribe?topics=bpmn/*&ticket=${made.json.ticket}`,
          {
            headers: { accept: "text/event-stream" },
            signal: abort.signal,
          },
        );
        assert.equal(stream.status, 200);
        aheadMs = 301_000;
        const timer = setTimeout(() => abort.abort(), 10_000);
        assert.match(await stream.text(), /CREDENTIAL_INVALID/);
        clearTimeout(timer);
      } finally {
        await own.close();
      }
    });
  });

  test("a nested claim without a map names roles itself", async () => {
    const issuers = createIssuers({
      issuers: [
        { ...trusted, tenant: "default", roles: { always: ["worker"], claim: "realm_access.roles" } },
      ],
      clock: systemClock,
    });
    const grant = await issuers.verify((await personTokens("olga@corp.example")).access_token);
    assert.deepEqual(grant?.roles, ["worker", "viewer"]);
  });

  test("its keys are read once for many, again for a new key, and kept while it is away", async () => {
    const issuers = createIssuers({ issuers: [trusted], clock: systemClock, cooldownMs: 200 });
    const old = await robotToken();
    const before = looks;
    const all = await Promise.all(Array.from({ length: 50 }, () => issuers.verify(old)));
    assert.ok(all.every((grant) => grant?.tenant === "default"));
    assert.equal(looks - before, 1);
    provider.kill("SIGKILL");
    await once(provider, "exit");
    assert.notEqual(await issuers.verify(old), undefined, "its keys are known");
    provider = await startProvider(port, "two");
    const fresh = await robotToken();
    await new Promise((resolve) => setTimeout(resolve, 250));
    assert.notEqual(await issuers.verify(fresh), undefined, "a new key is looked for");
  });
});
