/** From an empty folder to a first administrator, keys and their end, with the command line alone; in production mode. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
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

describe("identity on the command line", () => {
  test("the first administrator is made in the database, and its mistakes are told", async () => {
    const admin = ["users", "create", "--admin", "--email"];
    const short = await run([...admin, "root@example.org"], "short\n");
    assert.deepEqual([short.code, /password: has fewer than 15/.test(short.text)], [1, true], short.text);
    const none = await run([...admin, "root@example.org"]);
    assert.deepEqual([none.code, /standard input/.test(none.text)], [2, true], none.text);
    const made = await run([...admin, "root@example.org"], `${password}\n`);
    assert.deepEqual([made.code, /users\/admin is an administrator/.test(made.text)], [0, true], made.text);
    const twice = await run([...admin, "root@example.org"], `${password}\n`);
    assert.deepEqual([twice.code, /exists already|has this e-mail/.test(twice.text)], [1, true], twice.text);
    assert.ok(!made.text.includes(password));
  });

  test("it signs in to the server, which has no development key", async () => {
    const flags = ["--secret-file", secretFile, "--database-url", database, "--authentication", "on"];
    running = await serve(cwd, flags, "production");
    const body = { email: "root@example.org", password };
    const signedIn = await ask(running.base, "POST", "/api/v1/auth:signIn", { body });
    assert.equal(signedIn.status, 200, signedIn.text);
    token = signedIn.json.accessToken;
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
