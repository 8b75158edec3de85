/**
 * Who may call what: every hosted method x every kind of credential x protocol. A refusal is exactly 401 and 16, or 403 and 7; who may is
 * answered with neither, whatever else the empty request gets.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { hasUnaryReply, hasUnaryRequest, type Method } from "#rpc/method.ts";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { ask } from "../support/portico.ts";

let server: IdentityServer;
let client: Client;

type Verdict = "unauthenticated" | "forbidden" | "allowed";
interface Caller {
  readonly name: string;
  headers(): Promise<Record<string, string>> | Record<string, string>;
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
];

before(async () => {
  server = await startIdentity();
  client = new Client(`127.0.0.1:${server.grpcPort}`, credentials.createInsecure());
  keys.roleless = await server.userWithKey("roleless", []);
  keys.editor = await server.userWithKey("editor", ["editor"]);
  keys.reader = await server.userWithKey("reader", ["editor"], ["bpmn:read"]);
  keys.revoked = await server.userWithKey("revoked", ["admin"]);
  keys.suspended = await server.userWithKey("suspended", ["admin"]);
  keys.elsewhere = await server.userWithKey("elsewhere", ["admin"]);
  const admin = { headers: { "x-api-key": server.adminKey } };
  const idOf = (key: string) => key.split("_")[2];
  const revoke = await ask(server.base, "POST", `/api/v1/apiKeys/${idOf(keys.revoked)}:revoke`, {
    ...admin,
    body: {},
  });
  const suspend = await ask(server.base, "POST", "/api/v1/users/suspended:suspend", { ...admin, body: {} });
  const move = await ask(server.base, "PATCH", `/api/v1/apiKeys/${idOf(keys.elsewhere)}`, {
    ...admin,
    body: { allowedNetworks: ["10.0.0.0/8"] },
  });
  assert.deepEqual([revoke.status, suspend.status, move.status], [200, 200, 200]);
});
after(async () => {
  client.close();
  await server.close();
});

async function overRest(method: Method, headers: Record<string, string>): Promise<Verdict> {
  const { status } = await ask(server.base, "POST", method.path, { headers, body: {} });
  return status === 401 ? "unauthenticated" : status === 403 ? "forbidden" : "allowed";
}

function overGrpc(method: Method, headers: Record<string, string>): Promise<Verdict> {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  const same = (bytes: Buffer): Buffer => bytes;
  const empty = Buffer.alloc(0);
  const options = { deadline: Date.now() + 5000 };
  return new Promise((resolve) => {
    const done = (error: Partial<ServiceError> | null): void => {
      resolve(error?.code === 16 ? "unauthenticated" : error?.code === 7 ? "forbidden" : "allowed");
    };
    if (hasUnaryRequest(method.kind) && hasUnaryReply(method.kind))
      client.makeUnaryRequest(method.path, same, same, empty, metadata, options, done);
    else if (hasUnaryRequest(method.kind))
      client
        .makeServerStreamRequest(method.path, same, same, empty, metadata, options)
        .on("error", done)
        .on("data", () => {})
        .on("end", () => done(null));
    else client.makeClientStreamRequest(method.path, same, same, metadata, options, done).end();
  });
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
  for (const caller of callers)
    test(`${caller.name}, every method over REST and gRPC`, async () => {
      const headers = await caller.headers();
      for (const method of server.methods) {
        const rule = server.ruleOf(method)!;
        // Sign-in and refresh refuse an empty request as they refuse a wrong one; ending the caller's sessions would end the test.
        if (rule.public || /SignOut|RevokeSessions|DeleteUser|SuspendUser/.test(method.name)) continue;
        const expected = caller.verdict(rule.scopes);
        assert.equal(await overGrpc(method, headers), expected, `gRPC ${method.name}`);
        // Streams of requests are gRPC's alone; REST says so before anything else.
        if (hasUnaryRequest(method.kind))
          assert.equal(await overRest(method, headers), expected, `REST ${method.name}`);
      }
    });
});
