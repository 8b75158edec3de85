/** From an empty folder to a first administrator, keys and their end, with the command line alone; in production mode. */
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { BrowserSession } from "../support/browser-session.ts";
import { ask } from "../support/portico.ts";
import { portico, type Running, serve } from "../support/process.ts";

const cwd = mkdtempSync(path.join(tmpdir(), "portico-cli-"));
const password = "correct horse battery staple";
const secretFile = path.join(cwd, "portico.secret");
const database = `sqlite:${path.join(cwd, "portico.db")}`;
const env = {
  PORTICO_SECRET_FILE: secretFile,
  PORTICO_DATABASE_URL: database,
  PORTICO_MODE: "production",
  PORTICO_DATA_DIR: cwd,
};
let running: Running;
let token: string;

const run = (args: readonly string[], input = "", more: Record<string, string> = {}) =>
  portico(args, { cwd, env: { ...env, ...more }, input });
const client = (args: readonly string[], key = token) =>
  portico([...args, "--url", running.base], { cwd, env: { PORTICO_API_KEY: key, PORTICO_DATA_DIR: cwd } });

before(() => {
  writeFileSync(secretFile, Buffer.alloc(32, 5));
});
after(() => {
  running?.child.kill("SIGKILL");
  rmSync(cwd, { recursive: true, force: true });
});

/** What the person does in the browser. */
async function allow(url: string, code: string): Promise<void> {
  const browser = new BrowserSession(new URL(url).origin);
  const asked = await browser.open(url);
  const confirm = await browser.submit(asked, { user_code: code });
  assert.match(confirm.text, new RegExp(`<code>${code}</code>`));
  const signIn = await browser.submit(confirm, {});
  const consent = await browser.submit(signIn, { tenant: "default", email: "root@example.org", password });
  assert.match((await browser.submit(consent, { step: "allow" })).text, /is connected/);
}

describe("identity on the command line", () => {
  test("the first administrator is made in the database, and its mistakes are told", async () => {
    const admin = ["users", "create", "--admin", "--email"];
    const short = await run([...admin, "root@example.org"], "short\n");
    assert.deepEqual([short.code, /password: has fewer than 15/.test(short.text)], [1, true], short.text);
    const none = await run([...admin, "root@example.org"]);
    assert.deepEqual([none.code, /standard input/.test(none.text)], [2, true], none.text);
    const list = path.join(cwd, "breached");
    writeFileSync(list, `${hash("sha1", password, "hex").toUpperCase()}:3\n`);
    const lost = await run([...admin, "root@example.org"], `${password}\n`, {
      PORTICO_BREACHED_PASSWORDS: list,
    });
    assert.deepEqual([lost.code, /others have lost/.test(lost.text)], [1, true], lost.text);
    const made = await run([...admin, "root@example.org"], `${password}\n`);
    assert.deepEqual([made.code, /users\/admin is an administrator/.test(made.text)], [0, true], made.text);
    const twice = await run([...admin, "root@example.org"], `${password}\n`);
    assert.deepEqual([twice.code, /exists already|has this e-mail/.test(twice.text)], [1, true], twice.text);
    assert.ok(!made.text.includes(password));
  });

  test("it signs in to the server, which has no development key", async () => {
    const flags = [
      ...["--secret-file", secretFile, "--database-url", database, "--authentication", "on"],
      ...["--breached-passwords", path.join(cwd, "breached")],
    ];
    running = await serve(cwd, flags, { mode: "production" });
    const body = { email: "root@example.org", password };
    const signedIn = await ask(running.base, "POST", "/api/v1/auth:signIn", { body });
    assert.equal(signedIn.status, 200, signedIn.text);
    token = signedIn.json.accessToken;
    const lost = await ask(running.base, "POST", "/api/v1/users:batchCreate", {
      headers: { authorization: `Bearer ${token}` },
      body: { requests: [{ user: { email: "ana@example.org" }, password }] },
    });
    assert.deepEqual([lost.status, /others have lost/.test(lost.text)], [400, true], lost.text);
    const dev = await portico(["keys", "dev"], { cwd, env: { PORTICO_DATA_DIR: cwd } });
    assert.deepEqual([dev.code, /no development key/.test(dev.text)], [4, true], dev.text);
  });

  test("keys are created into a file, listed, used, rotated and revoked", async () => {
    // An access token serves as well as a key where a key is asked for.
    const nowhere = await client(["keys", "create", "--name", "import"]);
    assert.deepEqual([nowhere.code, /--out FILE, or --print/.test(nowhere.text)], [2, true], nowhere.text);
    const made = await client([
      "keys",
      "create",
      "--name",
      "import",
      "--scopes",
      "bpmn:read",
      "--out",
      "import.key",
    ]);
    assert.equal(made.code, 0, made.text);
    const file = path.join(cwd, "import.key");
    const secret = readFileSync(file, "utf8").trim();
    assert.match(secret, /^ptk_live_/);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.ok(!made.text.includes(secret));
    const id = secret.split("_")[2] ?? "";
    const listed = await client(["keys", "list"]);
    assert.match(listed.stdout, new RegExp(`^${id} {2}ACTIVE {2}users/admin .* bpmn:read {2}import$`, "m"));
    const me = await client(["whoami"], secret);
    assert.match(me.stdout, /^users\/admin \(Administrator\)/);
    const rotated = await client(["keys", "rotate", id, "--overlap", "0", "--print"]);
    assert.match(rotated.stdout, /^ptk_live_/);
    assert.notEqual(rotated.stdout.trim(), secret);
    const revoked = await client(["keys", "revoke", id]);
    assert.match(revoked.text, /is revoked/);
    const over = await client(["keys", "revoke", id]);
    assert.deepEqual([over.code, /is revoked; create another/.test(over.text)], [5, true], over.text);
  });

  test("users are created, suspended, reactivated and signed out", async () => {
    const eve = ["users", "create", "--id", "eve", "--email", "eve@example.org", "--roles", "viewer"];
    const made = await portico([...eve, "--password-stdin", "--url", running.base], {
      ...{ cwd, env: { PORTICO_API_KEY: token }, input: "a password that is long enough\n" },
    });
    assert.match(
      made.stdout,
      /^users\/eve {2}ACTIVE {2}PERSON {2}eve@example.org {2}roles\/viewer$/m,
      made.text,
    );
    const service = await client([
      "users",
      "create",
      "--id",
      "importer",
      "--service",
      "--roles",
      "editor,viewer",
    ]);
    assert.match(service.stdout, /^users\/importer {2}ACTIVE {2}SERVICE {4}roles\/editor roles\/viewer$/m);
    const key = await client([
      ...["keys", "create", "--owner", "users/importer", "--scopes", "bpmn:read"],
      ...["--networks", "127.0.0.0/8,::1/128", "--print"],
    ]);
    assert.match(
      (await client(["whoami"], key.stdout.trim())).stdout,
      /^users\/importer \(importer\): bpmn:read$/m,
    );
    const suspended = await client(["users", "suspend", "importer"]);
    assert.deepEqual([suspended.code, /may do nothing/.test(suspended.text)], [0, true], suspended.text);
    const filter = ["users", "list", "--filter", "state = SUSPENDED"];
    assert.match((await client(filter)).stdout, /^users\/importer {2}SUSPENDED [^\n]*\n$/);
    const again = await client(["users", "reactivate", "importer"]);
    assert.deepEqual([again.code, /may work again/.test(again.text)], [0, true], again.text);
    const body = { email: "eve@example.org", password: "a password that is long enough" };
    const { refreshToken } = (await ask(running.base, "POST", "/api/v1/auth:signIn", { body })).json;
    const out = await client(["users", "revoke-sessions", "eve"]);
    assert.deepEqual([out.code, /users\/eve has to sign in again/.test(out.text)], [0, true], out.text);
    const refresh = await ask(running.base, "POST", "/api/v1/auth:refresh", { body: { refreshToken } });
    assert.equal(refresh.status, 401);
    assert.equal((await client(["users", "suspend", "nobody"])).code, 4);
  });

  test("no option of any command takes a secret: they would stand in the list of processes", async () => {
    const commands = ["", "serve", "call", "login", "token", "whoami"].map((name) => name.split(" "));
    for (const inner of ["create", "list", "rotate", "revoke", "dev"]) commands.push(["keys", inner]);
    for (const inner of ["create", "list", "suspend"]) commands.push(["users", inner]);
    for (const command of commands) {
      const { text } = await run([...command.filter((part) => part !== ""), "--help"]);
      for (const [option] of text.matchAll(/--[a-z-]+ <[^>]+>/g))
        if (/secret|password|token|key\b/.test(option))
          assert.match(option, /<(FILE|PATH)>$/, command.join(" "));
    }
  });

  test("routes are listed by who may take them", async () => {
    const open = await run(["routes", "--public"]);
    const named = [...open.stdout.matchAll(/^(portico\.\S+)/gm)].map((found) => found[1]);
    assert.deepEqual(named, [
      "portico.users.v1.AuthService/SignIn",
      "portico.users.v1.AuthService/RefreshToken",
    ]);
    const scopes = (await run(["routes", "--by-scope"])).stdout;
    assert.match(scopes, /^users:write\n(?: {2}\S+\n)* {2}portico\.users\.v1\.UserService\/SuspendUser\n/m);
    assert.match(scopes, /^\(public\)\n/m);
  });

  test("a person signs in with a browser, and out again", async () => {
    const home = { PORTICO_DATA_DIR: "/nonexistent", XDG_CONFIG_HOME: path.join(cwd, "config") };
    const mine = (args: readonly string[], onMessage?: (text: string) => void) =>
      portico([...args, "--url", running.base], { cwd, env: home, ...(onMessage && { onMessage }) });
    const before = await mine(["token"]);
    assert.deepEqual([before.code, /sign in with: portico login/.test(before.text)], [4, true], before.text);
    let browsing: Promise<void> | undefined;
    const login = await mine(["login"], (text) => {
      const url = /Open (\S+)/.exec(text)?.[1];
      const code = /code: (\S+)/.exec(text)?.[1];
      if (url !== undefined && code !== undefined) browsing = allow(url, code);
    });
    await browsing;
    assert.deepEqual([login.code, /signed in at/.test(login.text)], [0, true], login.text);
    const file = path.join(cwd, "config/portico/logins.json");
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const me = await mine(["whoami"]);
    assert.match(me.stdout, /^users\/admin \(Administrator\)/, me.text);
    const printed = (await mine(["token"])).stdout.trim();
    assert.equal(printed.split(".").length, 3);
    assert.ok(!login.text.includes(printed));
    // As it is ten minutes later, and from five commands at once: the refresh token is used once.
    const logins = JSON.parse(readFileSync(file, "utf8")) as Record<string, { expiresAt: number }>;
    for (const one of Object.values(logins)) one.expiresAt = 0;
    writeFileSync(file, JSON.stringify(logins), { mode: 0o600 });
    const all = await Promise.all(Array.from({ length: 5 }, () => mine(["token"])));
    assert.deepEqual([...new Set(all.map(({ stdout }) => stdout))].length, 1);
    assert.notEqual(all[0]?.stdout.trim(), printed);
    const listed = await mine(["users", "list"]);
    assert.match(listed.stdout, /^users\/admin {2}ACTIVE {2}PERSON {2}root@example.org {2}roles\/admin$/m);
    const out = await mine(["logout"]);
    assert.deepEqual([out.code, /signed out/.test(out.text)], [0, true], out.text);
    assert.equal((await mine(["whoami"])).code, 3);
    const headers = { authorization: `Bearer ${all[0]?.stdout.trim()}` };
    // What a credential stands for is kept for two seconds.
    await new Promise((resolve) => setTimeout(resolve, 2100));
    assert.equal((await ask(running.base, "GET", "/api/v1/me", { headers })).status, 401);
  });

  test("without a credential, and with a wrong one, commands say so and end with 3", async () => {
    const none = await portico(["whoami", "--url", running.base], {
      cwd: tmpdir(),
      env: { PORTICO_DATA_DIR: "/nonexistent" },
    });
    assert.deepEqual([none.code, /show who you are/.test(none.text)], [3, true], none.text);
    const wrong = await client(["whoami"], "ptk_live_x");
    assert.deepEqual([wrong.code, /credential is not good/.test(wrong.text)], [3, true], wrong.text);
  });
});
