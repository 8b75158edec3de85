/**
 * Rolling restarts under load: a process that is told to end answers what it was asked, and clients that are told to go lose
 * nothing. Over HTTP/1 nothing may fail once a connection is made; over gRPC a call may end with UNAVAILABLE, which every client
 * may repeat, and with nothing else.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { BPMNService } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { connect, unary } from "../support/grpc.ts";
import { ask, bpmnXml } from "../support/portico.ts";
import { type Running, serve } from "../support/process.ts";

const dataDir = mkdtempSync(path.join(tmpdir(), "portico-drain-"));
const started: Running[] = [];
after(() => {
  for (const { child } of started) child.kill("SIGKILL");
  rmSync(dataDir, { recursive: true, force: true });
});

const restarts = 3;
const loops = 6;

async function start(): Promise<Running> {
  const running = await serve(dataDir, ["--database-url", "memory:", "--log-level", "warn"]);
  started.push(running);
  const created = await ask(running.base, "POST", "/api/v1/bpmn?documentId=kept", {
    body: { xml: bpmnXml() },
  });
  assert.equal(created.status, 201);
  return running;
}

interface Tally {
  answered: number;
  /** Turned away before anything was done: connection refused, UNAVAILABLE. */
  moved: number;
  readonly lost: string[];
}
const newTally = (): Tally => ({ answered: 0, moved: 0, lost: [] });

function get(agent: http.Agent, base: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    http
      .get(`${base}/api/v1/bpmn/kept`, { agent }, (response) => {
        response
          .resume()
          .once("end", () => resolve(response.statusCode))
          .once("error", reject);
      })
      .once("error", reject);
  });
}

describe("a rolling restart under load", () => {
  test(`${restarts} restarts lose no request`, async (t) => {
    let current = await start();
    let stopped = false;
    const rest = newTally();
    const grpc = newTally();

    const restLoop = async (): Promise<void> => {
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
      while (!stopped) {
        try {
          const status = await get(agent, current.base);
          if (status === 200) rest.answered += 1;
          else rest.lost.push(`HTTP ${status}`);
        } catch (error) {
          const code = (error as NodeJS.ErrnoException).code ?? String(error);
          if (code === "ECONNREFUSED") rest.moved += 1;
          else rest.lost.push(code);
          await sleep(5);
        }
      }
      agent.destroy();
    };
    const grpcLoop = async (): Promise<void> => {
      let at = current;
      let client = connect(at.grpcPort);
      while (!stopped) {
        if (at !== current) {
          client.close();
          at = current;
          client = connect(at.grpcPort);
        }
        try {
          await unary(client, BPMNService.method.getBPMN, { id: "kept" });
          grpc.answered += 1;
        } catch (error) {
          const { code, message } = error as { code: number; message: string };
          if (code === 14) grpc.moved += 1;
          else grpc.lost.push(message);
          await sleep(5);
        }
      }
      client.close();
    };
    const load = Promise.all(Array.from({ length: loops }, () => [restLoop(), grpcLoop()]).flat());

    for (let round = 0; round < restarts; round += 1) {
      const next = await start();
      const old = current;
      await sleep(150);
      old.child.kill("SIGTERM");
      await sleep(150); // until whoever spreads the load has seen that the old one is not ready
      current = next;
      assert.equal(await old.ended, 0);
    }
    stopped = true;
    await load;
    t.diagnostic(
      `REST: ${rest.answered} answered, ${rest.moved} refused connections, ${rest.lost.length} lost; gRPC: ${grpc.answered} answered, ${grpc.moved} UNAVAILABLE, ${grpc.lost.length} lost`,
    );
    assert.deepEqual([rest.lost, grpc.lost], [[], []]);
    assert.ok(rest.answered > 100 && grpc.answered > 100, "there was load");
  });

  test("an idle connection may still ask while others are told to go; the answer says that it is the last", async () => {
    const running = await start();
    const socket = net.connect(Number(new URL(running.base).port), "127.0.0.1");
    let received = "";
    socket.setEncoding("utf8").on("data", (text: string) => {
      received += text;
    });
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    const request = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    socket.write(request);
    while (!received.endsWith("alive\n")) await sleep(5);
    assert.doesNotMatch(received, /connection: close/i);
    received = "";
    running.child.kill("SIGTERM");
    await sleep(200);
    socket.write(request);
    await closed;
    assert.match(received, /^HTTP\/1\.1 200[\s\S]*connection: close[\s\S]*alive\n$/i);
    assert.equal(await running.ended, 0);
  });

  test("an upload that has begun is finished", async () => {
    const running = await start();
    const xml = bpmnXml("slow");
    const answer = new Promise<number | undefined>((resolve, reject) => {
      const request = http.request(`${running.base}/api/v1/bpmn:upload`, { method: "POST" }, (response) => {
        response.resume().once("end", () => resolve(response.statusCode));
      });
      request.once("error", reject);
      request.setHeader("content-type", "application/xml");
      request.write(xml.slice(0, 50));
      setTimeout(() => running.child.kill("SIGTERM"), 100);
      setTimeout(() => request.end(xml.slice(50)), 1200); // well after the notice
    });
    assert.equal(await answer, 200);
    const answered = performance.now();
    assert.equal(await running.ended, 0);
    assert.ok(performance.now() - answered < 2000, "the answer said that the connection is at its end");
  });
});
