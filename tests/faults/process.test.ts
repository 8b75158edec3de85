/** The process as a whole: drains, refuses a second one on its database, reports bad configuration, survives kill -9. */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, describe, test } from "node:test";
import { BPMNService } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { connect, unary } from "../support/grpc.ts";
import { ask, bpmnXml } from "../support/portico.ts";

const root = path.resolve(import.meta.dirname, "../..");
const dataDir = mkdtempSync(path.join(tmpdir(), "portico-process-"));
after(() => rmSync(dataDir, { recursive: true, force: true }));

const flags = ["--mode", "development", "--http-port", "0", "--grpc-port", "0", "--data-dir", dataDir];

interface Running {
  readonly child: ChildProcess;
  readonly base: string;
  readonly grpcPort: number;
  readonly ended: Promise<number | null>;
}

function serve(): Promise<Running> {
  const child = spawn(process.execPath, [path.join(root, "scripts/portico.js"), "serve", ...flags], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  return new Promise((resolve, reject) => {
    let port = "";
    child.once("exit", (code) => reject(new Error(`ended with ${code}`)));
    createInterface({ input: child.stderr! }).on("line", (line) => {
      port = /REST\s+http:\/\/localhost:(\d+)/.exec(line)?.[1] ?? port;
      const grpc = /gRPC\s+[\d.]+:(\d+)/.exec(line)?.[1];
      if (grpc !== undefined)
        resolve({ child, base: `http://127.0.0.1:${port}`, grpcPort: Number(grpc), ended });
    });
  });
}

function portico(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ code: number; text: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [path.join(root, "scripts/portico.js"), ...args],
      { env: { ...process.env, ...env }, cwd: dataDir },
      (error, stdout, stderr) =>
        resolve({ code: typeof error?.code === "number" ? error.code : 0, text: stdout + stderr }),
    );
  });
}

describe("the process", () => {
  test("keeps what it answered under kill -9, refuses a second process, and drains on SIGTERM", async () => {
    const first = await serve();
    assert.equal(
      (await ask(first.base, "POST", "/api/v1/bpmn?documentId=kept", { body: { xml: bpmnXml() } })).status,
      200,
    );
    const second = await portico(["serve", ...flags]);
    assert.equal(second.code, 1);
    assert.match(second.text, /portico\.db is in use by another process/);
    first.child.kill("SIGKILL");
    await first.ended;

    const again = await serve();
    assert.equal((await ask(again.base, "GET", "/api/v1/bpmn/kept")).json.xml, bpmnXml());
    const client = connect(again.grpcPort);
    await unary(client, BPMNService.method.getBPMN, { id: "kept" });
    let refused = 0;
    let answered = 0;
    const calls = Array.from({ length: 20 }, async () => {
      for (let round = 0; round < 20; round += 1) {
        await unary(client, BPMNService.method.getBPMN, { id: "kept" }).then(
          () => {
            answered += 1;
          },
          (error: { code: number }) => {
            assert.equal(error.code, 14);
            refused += 1;
          },
        );
      }
    });
    again.child.kill("SIGTERM");
    await Promise.all(calls);
    client.close();
    assert.equal(await again.ended, 0);
    assert.equal(answered + refused, 400);
  });

  test("reports every problem of its configuration at once, each with its remedy", async () => {
    const { code, text } = await portico(["serve", "--http-port", "99999"], {
      PORTICO_LOG_LEVEL: "loud",
      PORTICO_HTTP_PROT: "1",
      PORTICO_HOST: "0.0.0.0",
    });
    assert.equal(code, 2);
    for (const part of [
      "--http-port: must be 0 to 65535",
      "PORTICO_LOG_LEVEL: must be",
      "did you mean PORTICO_HTTP_PORT?",
      "loopback only",
      "PORTICO_SECRET_FILE is missing",
    ]) {
      assert.ok(text.includes(part), `${part} is not in:\n${text}`);
    }
  });

  test("says which port is taken and how to choose another", async () => {
    const running = await serve();
    const port = new URL(running.base).port;
    const { code, text } = await portico([
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
    const gone = await portico(["call", "/livez", "--url", "http://127.0.0.1:1"]);
    assert.deepEqual([gone.code, /does not answer/.test(gone.text)], [6, true]);
    const unknown = await portico(["call", "BPMNService/GetBPM"]);
    assert.deepEqual(
      [unknown.code, /did you mean portico.bpmn.v1.BPMNService\/GetBPMN/.test(unknown.text)],
      [4, true],
    );
  });
});
