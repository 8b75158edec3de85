/** Runs every command that a page marks with `<!-- run -->`, as it is written, against a Portico started as the README says. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { globSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, "../..");
const bin = path.join(root, "node_modules/.bin");
const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
const pages = ["README.md", ...globSync("docs/**/*.md", { cwd: root })];
const commands = pages.flatMap((page) => {
  const text = readFileSync(path.join(root, page), "utf8");
  return [...text.matchAll(/<!-- run -->\s*```sh\n([\s\S]*?)```/g)].flatMap((found) =>
    String(found[1])
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "")
      .map((command) => ({ page, command })),
  );
});
/** Lines such as `KEY=$(cat file)`: they hold for all that follow, on every page. */
const isAssignment = (command: string): boolean => /^[A-Z_]+=/.test(command);
const prelude = commands.map(({ command }) => command).filter(isAssignment);

const dataDir = mkdtempSync(path.join(tmpdir(), "portico-docs-"));
let server: ReturnType<typeof spawn>;
let ports: { http: string; grpc: string };
/** What the greeting proposes. */
let proposed = "";

before(async () => {
  const flags = ["--http-port", "0", "--grpc-port", "0", "--data-dir", dataDir];
  server = spawn(path.join(bin, "node"), ["scripts/portico.js", "serve", "--mode", "development", ...flags], {
    cwd: root,
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  ports = await new Promise((resolve, reject) => {
    const found = { http: "", grpc: "" };
    server.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    createInterface({ input: server.stderr! }).on("line", (line) => {
      found.http = /REST\s+http:\/\/localhost:(\d+)/.exec(line)?.[1] ?? found.http;
      found.grpc = /gRPC\s+[\d.]+:(\d+)/.exec(line)?.[1] ?? found.grpc;
      proposed = /^Try: (.*)$/.exec(line)?.[1] ?? proposed;
      if (found.http !== "" && found.grpc !== "") resolve(found);
    });
  });
});

after(async () => {
  const gone = new Promise((resolve) => server.once("exit", resolve));
  server.kill("SIGTERM");
  assert.equal(await gone, 0, "SIGTERM drains and ends with 0");
  rmSync(dataDir, { recursive: true, force: true });
});

/** The pages name the default ports; here they are whatever was free. */
function onPorts(command: string): string {
  return command
    .replaceAll("localhost:8000", `localhost:${ports.http}`)
    .replaceAll("localhost:50051", `localhost:${ports.grpc}`)
    .replaceAll(".portico/dev-key", path.join(dataDir, "dev-key"));
}

describe("commands in the pages", () => {
  test("there are some in the README and in the tour", () => {
    assert.ok(commands.filter(({ page }) => page === "README.md").length >= 7);
    assert.ok(commands.some(({ page }) => page === "docs/tour.md"));
  });
  test("the one that the greeting proposes works, and shows no credential either", async () => {
    assert.match(proposed, /^curl -H @\S+\.header /);
    const { stdout } = await run("bash", ["-c", proposed.replace("curl", "curl -s")], { env });
    assert.match(stdout, /"documents":/);
    const key = readFileSync(path.join(dataDir, "dev-key"), "utf8");
    assert.equal(readFileSync(path.join(dataDir, "dev-key.header"), "utf8"), `X-API-Key: ${key}`);
    assert.equal(statSync(path.join(dataDir, "dev-key.header")).mode & 0o777, 0o600);
  });
  test("put no credential where a list of processes shows it", () => {
    for (const page of pages)
      assert.doesNotMatch(
        readFileSync(path.join(root, page), "utf8"),
        /-H ["'](X-API-Key|Authorization):/i,
        page,
      );
  });
  for (const { page, command } of commands.filter((one) => !isAssignment(one.command))) {
    test(`${page}: ${command}`, async () => {
      let line = onPorts(command);
      // Some commands take their addresses from their defaults.
      if (/portico\.js call /.test(line))
        line += ` --url http://localhost:${ports.http} --grpc localhost:${ports.grpc}`;
      if (/portico\.js (keys|whoami)/.test(line)) line += ` --url http://localhost:${ports.http}`;
      if (line.includes("check.ts")) line += ` http://localhost:${ports.http} localhost:${ports.grpc}`;
      const script = [...prelude.map(onPorts), line].join("\n");
      const PORTICO_API_KEY = readFileSync(path.join(dataDir, "dev-key"), "utf8").trim();
      const { stdout } = await run("bash", ["-c", script], { cwd: root, env: { ...env, PORTICO_API_KEY } });
      assert.notEqual(stdout, "", "the command says nothing");
      // An error is a status, which begins with its code.
      if (!command.includes("pageSiz=")) assert.doesNotMatch(stdout, /^\{"code":\d/);
      else assert.match(stdout, /did you mean pageSize/);
    });
  }
});

/** The script of a whole block, or blocks of a kind, with the page it stands on. */
function blocks(kind: string, language: string): { page: string; text: string }[] {
  const fence = new RegExp(`<!-- ${kind} -->\\s*\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, "g");
  return pages.flatMap((page) =>
    [...readFileSync(path.join(root, page), "utf8").matchAll(fence)].map((found) => ({
      page,
      text: String(found[1]),
    })),
  );
}

/** Lines of a shell that has `set -e`: the command serves until it says that it does, and has to end well when it is told to. */
function untilItServes(command: string): string {
  return `${command} 2> said &
until grep -q '^  Data ' said; do kill -0 $! || { cat said >&2; exit 1; }; sleep 0.05; done
kill $!
wait $!
cat said >&2`;
}

describe("scripts in the pages", () => {
  const inFolder = async (script: string, cwd: string) => {
    const text = script.replaceAll("scripts/portico.js", path.join(root, "scripts/portico.js"));
    return await run(
      "bash",
      ["-e", "-o", "pipefail", "-c", text.replaceAll("@examples", `@${root}/examples`)],
      {
        cwd,
        env,
      },
    );
  };
  test("there are some", () => assert.ok(blocks("run whole", "sh").length >= 2));

  for (const { page, text } of blocks("run whole", "sh"))
    test(`${page}: ${text.split("\n")[1]}`, async () => {
      const cwd = mkdtempSync(path.join(tmpdir(), "portico-script-"));
      try {
        const { stdout } = await inFolder(onPorts(text), cwd);
        assert.doesNotMatch(stdout, /\{"code":\d/);
        assert.match(stdout, /"documents":|<\?xml|<bpmn:definitions|<definitions/);
      } finally {
        rmSync(cwd, { recursive: true, force: true });
      }
    });

  for (const { page, text } of blocks("run own", "sh"))
    test(`${page}: ${text.split("\n")[0]}`, async () => {
      const cwd = mkdtempSync(path.join(tmpdir(), "portico-script-"));
      const port = await freePort();
      // A port of its own, and an end also when a command fails.
      const script = `trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n${text}`
        .replace(" serve ", ` serve --http-port ${port} --grpc-port 0 `)
        .replaceAll("localhost:8000", `localhost:${port}`);
      try {
        const { stdout } = await inFolder(script, cwd);
        // The server's log is between, and a line of it may come behind the answer that it tells of.
        const answers = stdout.split("\n").filter((line) => line !== "" && !line.startsWith('{"level":'));
        assert.match(answers.at(-1) ?? "", /"name":"users\/importer"/);
      } finally {
        rmSync(cwd, { recursive: true, force: true });
      }
    });

  for (const { page, text } of blocks("config", "ts"))
    test(`${page}: ${text.split("\n")[2]?.trim()} is a configuration that starts`, async () => {
      const cwd = mkdtempSync(path.join(tmpdir(), "portico-config-"));
      try {
        writeFileSync(path.join(cwd, "portico.config.ts"), text);
        const flags = "--mode development --http-port 0 --grpc-port 0 --database-url memory:";
        const { stderr } = await inFolder(untilItServes(`node scripts/portico.js serve ${flags}`), cwd);
        assert.match(stderr, /^portico \S+ \(development\)$/m);
      } finally {
        rmSync(cwd, { recursive: true, force: true });
      }
    });
});

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as { port: number };
  probe.close();
  return port;
}

describe("the production commands of the identity guide", () => {
  test("make a secret and an administrator, and serve", async () => {
    const guide = readFileSync(path.join(root, "docs/guides/identity.md"), "utf8");
    const block = /## Production[\s\S]*?```sh\n([\s\S]*?)```/.exec(guide)?.[1] ?? "";
    assert.match(block, /users create --admin[\s\S]*dist\/main\.js serve/);
    const cwd = mkdtempSync(path.join(tmpdir(), "portico-production-"));
    writeFileSync(path.join(cwd, "password.txt"), "correct horse battery staple\n");
    // The sources instead of the package, free ports, and an end.
    const script = block
      .replaceAll("dist/main.js", path.join(root, "scripts/portico.js"))
      .replace(/^\S+ \S+ serve.*$/m, (line) => untilItServes(`${line} --http-port 0 --grpc-port 0`));
    try {
      const { stderr } = await run("bash", ["-ec", script], { cwd, env });
      assert.match(stderr, /users\/admin is an administrator and signs in as root@example\.org/);
      assert.match(stderr, /^portico \S+ \(production\)$/m);
      assert.doesNotMatch(stderr, /dev-key/);
    } finally {
      rmSync(cwd, { recursive: true, force: true });
    }
  });
});
