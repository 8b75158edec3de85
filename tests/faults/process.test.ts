/** The process as a whole: refuses a second one on its database, reports bad configuration, survives kill -9. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ask, bpmnXml } from "../support/portico.ts";
import { portico, serve } from "../support/process.ts";

const dataDir = mkdtempSync(path.join(tmpdir(), "portico-process-"));
after(() => rmSync(dataDir, { recursive: true, force: true }));

const flags = ["--mode", "development", "--http-port", "0", "--grpc-port", "0", "--data-dir", dataDir];

const run = (args: readonly string[], env: Record<string, string> = {}) =>
  portico(args, { cwd: dataDir, env });

describe("the process", () => {
  test("keeps what it answered under kill -9, and refuses a second process", async () => {
    const first = await serve(dataDir);
    assert.equal(
      (await ask(first.base, "POST", "/api/v1/bpmn?documentId=kept", { body: { xml: bpmnXml() } })).status,
      201,
    );
    const second = await run(["serve", ...flags]);
    assert.equal(second.code, 1);
    assert.match(second.text, /portico\.db is in use by another process/);
    first.child.kill("SIGKILL");
    await first.ended;

    const again = await serve(dataDir);
    assert.equal((await ask(again.base, "GET", "/api/v1/bpmn/kept")).json.xml, bpmnXml());
    again.child.kill("SIGTERM");
    assert.equal(await again.ended, 0);
  });

  test("ends after an error that nobody handled, but answers first what it was asked", async () => {
    const fault = 'setTimeout(() => Promise.reject(new Error("nobody handled me")), 2500)';
    const { code, text } = await run(["serve", ...flags, "--database-url", "memory:"], {
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(fault)}`,
    });
    assert.equal(code, 1);
    assert.match(
      text,
      /ends after an error that nobody handled: Error: nobody handled me\n.*\n?[\s\S]*portico: draining/,
    );
  });

  test("sends calls away while its heap is nearly full, and serves again when it is not", async () => {
    const fault = `
      import { getHeapStatistics } from "node:v8";
      const full = () => getHeapStatistics().used_heap_size / 160 / 1048576;
      setTimeout(() => {
        let kept = [];
        const hold = setInterval(() => { while (full() < 0.93) kept.push(Array.from({ length: 1000 }, (_, at) => ({ at }))); }, 50);
        setTimeout(() => { clearInterval(hold); kept = []; }, 3000);
      }, 2500);`;
    const running = await serve(dataDir, ["--database-url", "memory:"], {
      env: {
        NODE_OPTIONS: `--max-old-space-size=160 --import=data:text/javascript,${encodeURIComponent(fault)}`,
      },
    });
    try {
      const statuses = new Set<number>();
      const until = performance.now() + 30_000;
      const call = async () => {
        const { status } = await ask(running.base, "GET", "/api/v1/bpmn");
        statuses.add(status);
        return status;
      };
      while (performance.now() < until && (await call()) !== 503) await sleep(50);
      assert.ok(statuses.has(503), [...statuses].join());
      assert.equal((await ask(running.base, "GET", "/livez")).status, 200);
      // What is let go of is seen when it is collected.
      while (performance.now() < until && (await call()) !== 200) await sleep(50);
      assert.equal(await call(), 200);
    } finally {
      running.child.kill("SIGTERM");
    }
    assert.equal(await running.ended, 0);
  });

  test("knows no __proto__ that data could name", async () => {
    const look = 'setTimeout(() => console.error("door: " + ("__proto__" in {})), 2500)';
    const running = portico(["serve", ...flags, "--database-url", "memory:"], {
      cwd: dataDir,
      env: {
        NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(`${look}; setTimeout(() => process.kill(process.pid, "SIGTERM"), 2700)`)}`,
      },
    });
    const { code, text } = await running;
    assert.equal(code, 0);
    assert.match(text, /door: false/);
  });

  test("a terminal that closes is no reason to drop calls", async () => {
    const running = await serve(dataDir, ["--database-url", "memory:"]);
    running.child.kill("SIGHUP");
    assert.equal(await running.ended, 0);
  });

  test("reports every problem of its configuration at once, each with its remedy", async () => {
    const { code, text } = await run(["serve", "--http-port", "99999", "--http2-max-streams", "-1"], {
      PORTICO_LOG_LEVEL: "loud",
      PORTICO_HTTP_PROT: "1",
      PORTICO_HOST: "0.0.0.0",
      PORTICO_AUTHENTICATION: "off",
    });
    assert.equal(code, 2);
    for (const part of [
      "--http-port: must be 0 to 65535",
      "--http2-max-streams: must be 1 to 10000",
      "PORTICO_LOG_LEVEL: must be",
      "did you mean PORTICO_HTTP_PORT?",
      "loopback only",
      "PORTICO_SECRET_FILE is missing",
    ]) {
      assert.ok(text.includes(part), `${part} is not in:\n${text}`);
    }
  });

  test("says which port is taken and how to choose another", async () => {
    const running = await serve(dataDir);
    const port = new URL(running.base).port;
    const { code, text } = await run([
      "serve",
      "--mode",
      "development",
      "--http-port",
      port,
      "--grpc-port",
      "0",
      "--database-url",
      "memory:",
    ]);
    assert.equal(code, 1);
    assert.match(text, new RegExp(`port ${port} is in use.*--http-port or PORTICO_HTTP_PORT`));
    running.child.kill("SIGTERM");
    assert.equal(await running.ended, 0);
  });

  test("calls that cannot reach a server say so and end with 6; unknown methods end with 4 and the nearest name", async () => {
    const gone = await run(["call", "/livez", "--url", "http://127.0.0.1:1"]);
    assert.deepEqual([gone.code, /does not answer/.test(gone.text)], [6, true]);
    const unknown = await run(["call", "BPMNService/GetBPM"]);
    assert.deepEqual(
      [unknown.code, /did you mean portico.bpmn.v1.BPMNService\/GetBPMN/.test(unknown.text)],
      [4, true],
    );
  });
});
