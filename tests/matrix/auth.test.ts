/**
 * Who may call what: every hosted method x every kind of credential x every protocol. A refusal is exactly 401 and 16, or 403 and 7; who
 * may is answered with neither, whatever else the empty request gets.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import tls from "node:tls";
import { hasUnaryRequest, type Method } from "#rpc/method.ts";
import { type Authority, makeAuthority, type Pem } from "../support/certificates.ts";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { ask } from "../support/portico.ts";
import { type Protocol, protocols, type Verdict } from "../support/verdicts.ts";

const folder = mkdtempSync(path.join(tmpdir(), "portico-auth-"));
let authority: Authority;
let server: IdentityServer;

interface Caller {
  readonly name: string;
  headers(): Promise<Record<string, string>> | Record<string, string>;
  readonly certificate?: () => Promise<Pem>;
  /** For a method that is not public. */
  verdict(scopes: readonly string[]): Verdict;
}

const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });
const never = (): Verdict => "unauthenticated";
const now = () => Math.floor(Date.now() / 1000);
const keys: Record<string, string> = {};
/** What the scopes of a caller allow; the empty request is about the caller, so "self" is always good. */
const judged =
  (held: readonly string[]) =>
  (scopes: readonly string[]): Verdict =>
    scopes.some((scope) => scope === "self" || held.includes(scope)) ? "allowed" : "forbidden";

const editor = ["apiKeys:read", "apiKeys:write", "bpmn:read", "bpmn:write", "events:read"];
const viewer = ["bpmn:read", "events:read"];
const spiffe = "spiffe://portico.test/viewer";
const callers: readonly Caller[] = [
  { name: "no credential", headers: () => ({}), verdict: never },
  {
    name: "an expired token",
    headers: async () => bearer(await server.token({ iat: now() - 700, exp: now() - 100 })),
    verdict: never,
  },
  {
    name: "a token for another audience",
    headers: async () => bearer(await server.token({ aud: "https://else.test" })),
    verdict: never,
  },
  {
    name: "a token of a user that is not there",
    headers: async () => bearer(await server.token({ sub: "nobody" })),
    verdict: never,
  },
  { name: "a made-up key", headers: () => ({ "x-api-key": "ptk_test_0123456789_nope" }), verdict: never },
  { name: "basic authentication", headers: () => ({ authorization: "Basic YTpi" }), verdict: never },
  { name: "a revoked key", headers: () => ({ "x-api-key": keys.revoked! }), verdict: never },
  { name: "a key of a suspended user", headers: () => ({ "x-api-key": keys.suspended! }), verdict: never },
  { name: "a key for another network", headers: () => ({ "x-api-key": keys.elsewhere! }), verdict: never },
  { name: "a user without roles", headers: () => bearer(keys.roleless!), verdict: judged([]) },
  { name: "an editor", headers: () => ({ "x-api-key": keys.editor! }), verdict: judged(editor) },
  {
    name: "an editor's key for reading alone",
    headers: () => ({ "x-api-key": keys.reader! }),
    verdict: judged(["bpmn:read"]),
  },
  { name: "an administrator's key", headers: () => bearer(server.adminKey), verdict: () => "allowed" },
  {
    name: "an administrator's token",
    headers: async () => bearer(await server.token()),
    verdict: () => "allowed",
  },
  {
    name: "an administrator's token for reading alone",
    headers: async () => bearer(await server.token({ scope: "bpmn:read" })),
    verdict: judged(["bpmn:read"]),
  },
  {
    name: "a certificate with the wrong SAN",
    headers: () => ({}),
    certificate: () => authority.sign([{ type: "url", value: "spiffe://portico.test/other" }]),
    verdict: never,
  },
  {
    name: "a viewer's certificate",
    headers: () => ({}),
    certificate: () => authority.sign([{ type: "url", value: spiffe }]),
    verdict: judged(viewer),
  },
];

before(async () => {
  authority = await makeAuthority("authority");
  const { cert, key } = await authority.sign([
    { type: "dns", value: "localhost" },
    { type: "ip", value: "127.0.0.1" },
  ]);
  const files = { "cert.pem": cert, "key.pem": key, "ca.pem": authority.cert };
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  // For `fetch`, which the setup uses.
  tls.setDefaultCACertificates([...tls.getCACertificates("default"), authority.cert]);
  server = await startIdentity({
    tls: {
      certFile: path.join(folder, "cert.pem"),
      keyFile: path.join(folder, "key.pem"),
      clientCaFile: path.join(folder, "ca.pem"),
      clientCertificate: "request",
    },
    mcpMetaTools: true,
    webSocketLimits: { initMs: 60_000 },
  });
  keys.roleless = await server.userWithKey("roleless", []);
  keys.editor = await server.userWithKey("editor", ["editor"]);
  keys.reader = await server.userWithKey("reader", ["editor"], ["bpmn:read"]);
  keys.revoked = await server.userWithKey("revoked", ["admin"]);
  keys.suspended = await server.userWithKey("suspended", ["admin"]);
  keys.elsewhere = await server.userWithKey("elsewhere", ["admin"]);
  const idOf = (key: string) => key.split("_")[2];
  const headers = { "x-api-key": server.adminKey };
  const change = async (method: string, target: string, body: object, expected = 200) => {
    const { status, text } = await ask(server.base, method, target, { headers, body });
    assert.equal(status, expected, text);
  };
  await change("POST", `/api/v1/apiKeys/${idOf(keys.revoked)}:revoke`, {});
  await change("POST", "/api/v1/users/suspended:suspend", {});
  await change("PATCH", `/api/v1/apiKeys/${idOf(keys.elsewhere)}`, { allowedNetworks: ["10.0.0.0/8"] });
  const viewer = { kind: "SERVICE", roles: ["roles/viewer"], certificates: [spiffe] };
  await change("POST", "/api/v1/users?userId=viewer", viewer, 201);
});
after(async () => {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

/** For who may, the empty request is about the caller: it would end the caller's sessions, or is refused for that. */
const endsCaller = /\/(SignOut|RevokeSessions|DeleteUser|SuspendUser)$/;

async function hold(caller: Caller, protocol: Protocol): Promise<number> {
  const target = { base: server.base, grpcPort: server.grpcPort, ca: authority.cert };
  const certificate = await caller.certificate?.();
  const shown = { headers: await caller.headers(), ...(certificate && { certificate }) };
  const asking = protocols[protocol](target, shown);
  let asked = 0;
  try {
    for (const method of server.methods) {
      const expected = expectedOf(caller, method, protocol);
      // They have no way to send a stream.
      if ((protocol === "MCP" || protocol === "GraphQL") && !hasUnaryRequest(method.kind)) continue;
      if (expected === "allowed" && endsCaller.test(method.name)) continue;
      assert.equal(await asking.call(method), expected, `${protocol} ${method.name}`);
      asked += 1;
    }
  } finally {
    asking.close();
  }
  return asked;
}

function expectedOf(caller: Caller, method: Method, protocol: Protocol): Verdict {
  const rule = server.ruleOf(method)!;
  // Its credential is in the request, and nothing is none.
  if (method.name.endsWith("/RefreshToken")) return "unauthenticated";
  // MCP as a whole asks who calls, before it looks at what is called.
  if (rule.public && !(protocol === "MCP" && caller.verdict([]) === "unauthenticated")) return "allowed";
  return caller.verdict(rule.scopes);
}

describe("who may call what", () => {
  test("every hosted method says who may", () => {
    const silent = server.methods.filter((method) => {
      const rule = server.ruleOf(method);
      return rule === undefined || (!rule.public && rule.scopes.length === 0);
    });
    assert.deepEqual(
      silent.map(({ name }) => name),
      [],
    );
    assert.ok(server.methods.length > 30);
  });
  test("the public methods are these", () => {
    assert.deepEqual(
      server.methods.filter((method) => server.ruleOf(method)?.public).map(({ name }) => name),
      ["portico.users.v1.AuthService/SignIn", "portico.users.v1.AuthService/RefreshToken"],
    );
  });
  for (const protocol of Object.keys(protocols) as Protocol[])
    for (const caller of callers)
      test(`${caller.name}, every method over ${protocol}`, async () =>
        assert.ok((await hold(caller, protocol)) > 30));
});
