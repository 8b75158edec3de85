/**
 * Secrets through every protocol and every way to fail, with everything written that can be: all log levels, every body, every trace, the
 * audit. None of them is found again in logs, errors, traces, metrics as they are scraped and pushed, or audit rows.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { WebSocket } from "ws";
import { AuthService, SignInRequestSchema } from "#gen/portico/users/v1/auth_pb.ts";
import { UserService } from "#gen/portico/users/v1/users_pb.ts";
import { connect, unary } from "../support/grpc.ts";
import { frame } from "../support/grpc-driver.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { type Answer, ask } from "../support/portico.ts";
import { type Running, serve } from "../support/process.ts";

const dataDir = mkdtempSync(path.join(tmpdir(), "portico-canaries-"));
/** By where it was, the secret. */
const canaries = new Map<string, string>();
/** What callers were told when something failed. */
const errors: string[] = [];
let receiver: OtlpReceiver;
let running: Running;
let admin: Record<string, string>;

/** Long enough for a password, and like nothing else. */
function canary(where: string): string {
  const secret = `Cnry${canaries.size}x${Buffer.from(where).toString("hex").slice(0, 24)}Zq`;
  canaries.set(where, secret);
  return secret;
}

/** One that the server made. */
function given(where: string, secret: unknown): string {
  assert.ok(typeof secret === "string" && secret.length >= 20, `${where}: ${String(secret)}`);
  canaries.set(where, secret);
  return secret;
}

async function call(
  method: string,
  target: string,
  options: { readonly body?: unknown; readonly headers?: Record<string, string> } = {},
): Promise<Answer> {
  const answer = await ask(running.base, method, target, options);
  if (answer.status >= 400) errors.push(answer.text, ...[...answer.headers].flat());
  return answer;
}

const form = { "content-type": "application/x-www-form-urlencoded" };
const users = "portico.users.v1.UserService";
const auth = "portico.users.v1.AuthService";

before(async () => {
  receiver = await startOtlpReceiver();
  running = await serve(dataDir, [
    ...["--authentication", "on", "--log-level", "trace", "--log-bodies", "1", "--rate-limit", "off"],
    ...[
      "--otlp-endpoint",
      receiver.url,
      "--trace-ratio",
      "1",
      "--otlp-headers",
      `authorization=${canary("otlp header")}`,
    ],
    ...["--otlp-metrics", "on", "--otlp-metrics-interval-ms", "500"],
    ...["--otlp-metrics-headers", `x-token=${canary("header of pushed metrics")}`],
    ...["--mcp-meta-tools", "on"],
  ]);
  admin = {
    "x-api-key": given("development key", readFileSync(path.join(dataDir, "dev-key"), "utf8").trim()),
  };
});
after(async () => {
  running.child.kill("SIGKILL");
  await receiver.close();
  rmSync(dataDir, { recursive: true, force: true });
});

describe("the forms of a secret", () => {
  test("are found at whatever place of base64", () => {
    const secret = "Cnry1x0123456789abcdefZq";
    for (const before of ["", "i", "id", "id:", "a-client:", "another-client:"])
      for (const coding of ["base64", "base64url"] as const) {
        const basic = Buffer.from(`${before}${secret}`).toString(coding);
        assert.ok(
          formsOf(secret).some((form) => basic.includes(form)),
          before,
        );
      }
    assert.ok(
      !formsOf(secret).some((form) => Buffer.from("Cnry2x-something-else").toString("base64").includes(form)),
    );
  });
});

describe("secrets", () => {
  test("go over REST: in bodies, headers and URLs, where they are good and where they are not", async () => {
    const password = canary("password of a new user");
    const email = "ana@example.org";
    const made = await call("POST", `/${users}/CreateUser`, {
      ...{ headers: { ...admin, "idempotency-key": canary("idempotency key") } },
      body: { user: { email, displayName: "Ana", roles: ["roles/admin"] }, userId: "ana", password },
    });
    await call("POST", `/api/v1/users?userId=eve&password=${canary("password in the URL of a new user")}`, {
      headers: admin,
      body: { email: "eve@example.org", displayName: "Eve" },
    });
    const again = await call("POST", `/${users}/CreateUser`, {
      headers: { ...admin, "idempotency-key": "again" },
      body: {
        user: { email: "no", roles: [] },
        userId: "bob",
        password: canary("password beside a mistake"),
      },
    });
    assert.ok(again.status >= 400);
    await call("POST", "/api/v1/users:batchCreate", {
      headers: admin,
      body: { requests: [{ user: { email: "x" }, password: canary("password inside a batch") }] },
    });
    await call("POST", "/api/v1/tenants", {
      headers: admin,
      body: {
        tenant: { displayName: "A" },
        tenantId: "acme",
        adminEmail: "no",
        adminPassword: canary("a tenant's first password"),
      },
    });
    const signIn = (secret: string) =>
      call("POST", "/api/v1/auth:signIn", { body: { email, password: secret } });
    await signIn(canary("wrong password"));
    const signedIn = await signIn(made.status === 200 ? password : "");
    assert.equal(signedIn.status, 200, made.text + signedIn.text);
    const refresh = given("refresh token", signedIn.json.refreshToken);
    const bearer = { authorization: `Bearer ${given("access token", signedIn.json.accessToken)}` };
    const refreshed = await call("POST", "/api/v1/auth:refresh", { body: { refreshToken: refresh } });
    given("next refresh token", refreshed.json.refreshToken);
    await call("POST", "/api/v1/auth:refresh", { body: { refreshToken: canary("wrong refresh token") } });
    await call("POST", "/api/v1/auth:changePassword", {
      headers: bearer,
      body: { currentPassword: canary("wrong current password"), newPassword: canary("new password") },
    });
    const key = await call("POST", "/api/v1/apiKeys", {
      headers: bearer,
      body: { displayName: "k", scopes: ["bpmn:read"] },
    });
    given("API key", key.json.secret);
    const ticket = await call("POST", "/api/v1/auth:ticket", { headers: admin, body: { scopes: [] } });
    await call("GET", `/api/v1/bpmn/none:download?ticket=${given("ticket", ticket.json.ticket)}`);
    await call("GET", `/api/v1/bpmn/none:download?ticket=${canary("wrong ticket")}`);
    for (const [name, value] of Object.entries({
      "x-api-key": `ptk_live_${canary("wrong API key")}`,
      authorization: `Bearer ${canary("wrong bearer token")}`,
      cookie: `session=${canary("cookie")}`,
      "proxy-authorization": `Basic ${canary("proxy credential")}`,
      "x-webhook-signature": canary("webhook signature"),
      "if-match": `"${canary("etag that is none")}"`,
    }))
      await call("GET", "/api/v1/bpmn?pageSize=1", { headers: { [name]: value } });
    const jwt = `eyJhbGciOiJFUzI1NiJ9.${Buffer.from(`{"sub":"${canary("claim of a forged token")}"}`).toString("base64url")}.c2ln`;
    canaries.set("forged token", jwt);
    await call("GET", "/api/v1/bpmn", { headers: { authorization: `Bearer ${jwt}` } });
    for (const name of ["api_key", "access_token", "password"])
      await call("GET", `/api/v1/bpmn?${name}=${canary(`${name} in the URL`)}`);
    await call("POST", "/api/v1/auth:signIn", {
      headers: { "content-type": "application/json" },
      body: `{"email": "a@b.c", "password": "${canary("password in a broken body")}", `,
    });
    await call("POST", "/api/v1/auth:signIn", {
      body: { email, password: { deep: canary("password of the wrong type") } },
    });
    await call("POST", "/api/v1/auth:signIn", {
      body: { email, passwort: canary("password under a wrong name") },
    });
  });

  test("go to the authorization server", async () => {
    const made = await call("POST", "/api/v1/oauthClients", {
      headers: admin,
      body: { displayName: "Web", kind: "CONFIDENTIAL", redirectUris: ["https://app.example.org/cb"] },
    });
    assert.equal(made.status, 201, made.text);
    const basic = (secret: string) => ({
      authorization: `Basic ${Buffer.from(`${made.json.oauthClient?.id}:${secret}`).toString("base64")}`,
    });
    given("client secret", made.json.secret);
    const token = (fields: Record<string, string>, headers: Record<string, string> = {}) =>
      call("POST", "/oauth2/token", {
        headers: { ...form, ...headers },
        body: new URLSearchParams(fields).toString(),
      });
    await token({ grant_type: "client_credentials" }, basic(String(made.json.secret)));
    await token({ grant_type: "client_credentials" }, basic(canary("wrong client secret")));
    await token({
      grant_type: "client_credentials",
      client_id: "x",
      client_secret: canary("client secret in a form"),
    });
    await token({
      ...{ grant_type: "authorization_code", client_id: "x", code: canary("authorization code") },
      code_verifier: canary("code verifier"),
    });
    await token({
      grant_type: "refresh_token",
      client_id: "x",
      refresh_token: canary("refresh token in a form"),
    });
    await token({
      grant_type: "urn:ietf:params:oauth:grant-type:device_code",
      ...{ client_id: "x", device_code: canary("device code") },
    });
    await call("POST", "/oauth2/introspect", {
      headers: form,
      body: `token=${canary("token to introspect")}`,
    });
    await call("POST", "/oauth2/interaction/none/sign-in", {
      headers: form,
      body: `password=${canary("password on the page")}`,
    });
  });

  test("go into paths and names, where none belong", async () => {
    const key = given(
      "API key in a path",
      (
        await call("POST", "/api/v1/apiKeys", {
          headers: admin,
          body: { displayName: "p", scopes: ["bpmn:read"] },
        })
      ).json.secret,
    );
    const token = `eyJhbGciOiJFUzI1NiJ9.${Buffer.from(`{"sub":"${canary("claim in a path")}"}`).toString("base64url")}.c2ln`;
    canaries.set("token in a path", token);
    const ticket = `ptt_${canary("ticket in a path").padEnd(43, "0")}`;
    for (const secret of [key, token, ticket, key.replaceAll("_", "%5F")]) {
      await call("POST", `/api/v1/apiKeys/${secret}:revoke`, { headers: admin, body: {} });
      await call("DELETE", `/api/v1/users/${secret}`, { headers: admin });
      await call("GET", `/api/v1/bpmn/${secret}`, { headers: admin });
      await call("PATCH", `/api/v1/bpmn/${secret}`, { headers: admin, body: { displayName: secret } });
      await call("POST", `/${users}/DeleteUser`, { headers: admin, body: { id: secret } });
      await call("GET", `/nowhere/${secret}`, { headers: admin });
    }
    const client = connect(running.grpcPort);
    await unary(client, UserService.method.deleteUser, { id: key }, { metadata: admin }).catch(
      () => undefined,
    );
    client.close();
    const query = `mutation { deleteUser(id: "${key}") { id } }`;
    await call("POST", "/graphql", { headers: admin, body: { query } });
  });

  test("go over gRPC, gRPC-Web and Connect", async () => {
    const client = connect(running.grpcPort);
    const told = (thrown: unknown): void => void errors.push(String(thrown), JSON.stringify(thrown));
    const metadata = { authorization: `Bearer ${canary("token over gRPC")}` };
    const wrong = { email: "a@b.c", password: canary("password over gRPC") };
    await unary(client, AuthService.method.signIn, wrong, { metadata: {} }).catch(told);
    await unary(client, AuthService.method.signOut, {}, { metadata }).catch(told);
    const made = { user: { email: "no" }, password: canary("password of a user over gRPC") };
    await unary(client, UserService.method.createUser, made, { metadata: admin }).catch(told);
    client.close();
    const password = canary("password over gRPC-Web");
    await call("POST", `/${auth}/SignIn`, {
      headers: {
        "content-type": "application/grpc-web+proto",
        authorization: `Bearer ${canary("token over gRPC-Web")}`,
      },
      body: frame(toBinary(SignInRequestSchema, create(SignInRequestSchema, { email: "a@b.c", password }))),
    });
    const connectHeaders = { "connect-protocol-version": "1" };
    await call("POST", `/${auth}/SignIn`, {
      headers: { ...connectHeaders, authorization: `Bearer ${canary("token over Connect")}` },
      body: { email: "a@b.c", password: canary("password over Connect") },
    });
    await call("POST", `/${auth}/SignIn`, {
      headers: { ...connectHeaders, "content-type": "application/json" },
      body: `{"password":"${canary("password in a broken message")}"`,
    });
  });

  test("go over GraphQL and MCP", async () => {
    const query = 'mutation ($p: String!) { signIn(email: "a@b.c", password: $p) { accessToken } }';
    await call("POST", "/graphql", { body: { query, variables: { p: canary("password in a variable") } } });
    const inline = `mutation { signIn(email: "a@b.c", password: "${canary("password in a query")}") { nope } }`;
    await call("POST", "/graphql", { body: { query: inline } });
    await call("POST", "/graphql", {
      headers: { authorization: `Bearer ${canary("token over GraphQL")}` },
      body: { query: '{ getUser(id: "me") { id } }' },
    });
    const tool = (headers: Record<string, string>, given: object) =>
      call("POST", "/mcp", {
        headers: {
          accept: "application/json, text/event-stream",
          "mcp-protocol-version": "2025-11-25",
          ...headers,
        },
        body: {
          jsonrpc: "2.0",
          id: 1,
          method: "tools/call",
          params: { name: "call_method", arguments: given },
        },
      });
    const signIn = {
      method: `${auth}/SignIn`,
      request: { email: "a@b.c", password: canary("password of an agent") },
    };
    const answer = await tool(admin, signIn);
    errors.push(answer.text);
    await tool({ authorization: `Bearer ${canary("token of an agent")}` }, signIn);
    await tool(admin, {
      method: `${users}/CreateUser`,
      request: { passwort: canary("agent's wrong field") },
    });
  });

  test("go over WebSockets", async () => {
    const frames = await overSocket("/ws", [
      {
        id: "1",
        call: { method: `${auth}/SignIn` },
        message: { email: "a@b.c", password: canary("password on a socket") },
        end: true,
      },
      {
        id: "2",
        call: {
          method: `${users}/GetUser`,
          metadata: { authorization: `Bearer ${canary("token of a call on a socket")}` },
        },
        message: { id: "me" },
        end: true,
      },
      {
        id: "3",
        call: { method: `nobody.${canary("method that is none").slice(0, 4)}/None` },
        message: {},
        end: true,
      },
      { init: { token: canary("token of a socket") } },
    ]);
    errors.push(frames);
    errors.push(await overSocket(`/ws?access_token=${canary("token in a socket's URL")}`, []));
    errors.push(
      await overSocket(`/api/v1/events:subscribe?topics=bpmn/*&ticket=${canary("ticket of a socket")}`, []),
    );
  });

  test("are at least thirty, and nowhere to be found", async () => {
    assert.ok(canaries.size >= 30, `${canaries.size}`);
    const metrics = await (await fetch(`${running.base}/metrics`)).text();
    const rows = await call("GET", "/api/v1/auditEntries?pageSize=1000", { headers: admin });
    assert.ok(rows.json.entries.length > 5, rows.text);
    running.child.kill("SIGTERM");
    await running.ended;
    const log = running.lines.join("\n");
    // The bytes of pushed metrics are among those of the traces.
    const pushed = JSON.stringify(receiver.pushes, (key, value) => {
      if (key === "headers") return undefined;
      if (value instanceof Map) return [...value];
      return typeof value === "bigint" ? String(value) : value;
    });
    const traces = receiver.text() + JSON.stringify(receiver.spans.map(({ attributes }) => attributes));
    const places: Readonly<Record<string, string>> = {
      logs: log,
      "standard error": running.said.join("\n"),
      errors: errors.join("\n"),
      ...{ traces, metrics, "pushed metrics": pushed },
      "audit answers": rows.text,
      "audit rows": auditRows(),
    };
    // What is looked through has what it should have, or the search would prove nothing.
    assert.ok(receiver.spans.length > 30 && running.lines.length > 30 && errors.length > 30);
    assert.match(log, /"request":\{"email":"ana@example.org","password":"\*\*\*"/);
    assert.match(log, /"secret":"\*\*\*"/);
    assert.match(places["audit rows"] ?? "", /CreateUser/);
    assert.ok(receiver.pushes.length > 2 && pushed.length > 10_000);
    assert.equal(receiver.pushes[0]?.headers["x-token"], canaries.get("header of pushed metrics"));
    for (const [, reason] of metrics.matchAll(/^portico_errors_total\{reason="(\w+)"/gm))
      assert.ok(pushed.includes(`"reason":"${reason}"`), `${reason} was not pushed`);
    for (const protocol of ["rest", "grpc", "grpc-web", "connect", "websocket", "graphql", "mcp"])
      assert.ok(log.includes(`"protocol":"${protocol}"`), `no line over ${protocol}`);
    const found = [...canaries].flatMap(([where, secret]) =>
      Object.entries(places).flatMap(([place, text]) =>
        formsOf(secret).some((form) => text.includes(form)) ? [`${where} is in the ${place}`] : [],
      ),
    );
    assert.deepEqual(found, []);
  });
});

/** All that the server sends until it closes, or for a while. */
function overSocket(target: string, frames: readonly object[]): Promise<string> {
  return new Promise((resolve) => {
    const socket = new WebSocket(running.base.replace("http", "ws") + target);
    let text = "";
    const end = (): void => {
      socket.close();
      resolve(text);
    };
    const timer = setTimeout(end, 1500);
    socket.on("open", () => {
      for (const one of frames) socket.send(JSON.stringify(one));
    });
    socket.on("message", (data) => {
      text += String(data);
    });
    socket.on("close", (code, reason) => {
      clearTimeout(timer);
      text += `${code} ${String(reason)}`;
      resolve(text);
    });
    socket.on("unexpected-response", (_request, response) => {
      response.on("data", (data) => {
        text += String(data);
      });
    });
    socket.on("error", (error) => {
      text += String(error);
    });
  });
}

/**
 * As it is, as a URL has it, and inside anybody's base64: what stands before it moves it by none, one or two bytes, and what stands around the
 * middle of it is left out. One behind an id and a colon is what `Basic` has.
 */
function formsOf(secret: string): readonly string[] {
  const moved = [0, 1, 2].flatMap((by) => {
    const bytes = Buffer.from("-".repeat(by) + secret);
    const whole = Math.floor(bytes.length / 3) * 3;
    const middle = bytes.subarray(by === 0 ? 0 : 3, whole);
    return [middle.toString("base64"), middle.toString("base64url")];
  });
  return [secret, encodeURIComponent(secret), secret.replaceAll("_", "%5F"), ...moved];
}

/** As they are on disk. */
function auditRows(): string {
  const database = new DatabaseSync(path.join(dataDir, "portico.db"));
  const rows = ["users_audit", "users_audit_heads"].map((table) =>
    database.prepare(`SELECT * FROM ${table}`).all(),
  );
  database.close();
  return JSON.stringify(rows);
}
