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
import { openHttp2 } from "./attacks/attacker.ts";
import { type Frame, frameBytes, headersFrame } from "./http2-bytes.ts";

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

/** What one kept-alive connection of HTTP/1 hears before SIGTERM, up to `last`, and what until it is closed. */
async function askAround(running: Running, target: string, last: string): Promise<[string, string]> {
  const socket = net.connect(Number(new URL(running.base).port), "127.0.0.1");
  let received = "";
  socket.setEncoding("utf8").on("data", (text: string) => {
    received += text;
  });
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  const request = `GET ${target} HTTP/1.1\r\nhost: localhost\r\n\r\n`;
  socket.write(request);
  while (!received.endsWith(last)) await sleep(5);
  const before = received;
  received = "";
  running.child.kill("SIGTERM");
  await sleep(200);
  socket.write(request);
  await closed;
  return [before, received];
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
    const [before, during] = await askAround(running, "/livez", "alive\n");
    assert.doesNotMatch(before, /connection: close/i);
    assert.match(during, /^HTTP\/1\.1 200[\s\S]*connection: close[\s\S]*alive\n$/i);
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

  test("what is created in the meantime is answered as always, with the place where it is", async () => {
    const running = await start();
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    assert.equal(await get(agent, running.base), 200);
    running.child.kill("SIGTERM");
    await sleep(200);
    const created = await new Promise<http.IncomingMessage>((resolve, reject) => {
      const request = http.request(`${running.base}/api/v1/bpmn?documentId=late`, { method: "POST", agent });
      request.once("response", (response) => response.resume().once("end", () => resolve(response)));
      request.once("error", reject);
      request.setHeader("content-type", "application/json");
      request.end(JSON.stringify({ xml: bpmnXml() }));
    });
    agent.destroy();
    assert.equal(created.statusCode, 201);
    assert.match(created.headers.location ?? "", /\/api\/v1\/bpmn\/late$/);
    assert.equal(await running.ended, 0);
  });

  for (const which of ["HTTP", "gRPC"])
    test(`its steps come in order on the port of ${which}: no new connections, a first GOAWAY, time to hear of it, the last GOAWAY, the streams' ends`, async () => {
      const running = await start();
      const port = which === "gRPC" ? running.grpcPort : Number(new URL(running.base).port);
      const connection = openHttp2(port);
      /** A call that stays open until its client ends it. */
      const upload = headersFrame([], { path: "/portico.bpmn.v1.BPMNService/UploadBPMN" });
      const callOn = (stream: number): Buffer => frameBytes(1, 4, stream, upload.subarray(9));
      const goaways = (frames: readonly Frame[]) => frames.filter(({ type }) => type === 7);
      const lastStream = ({ payload }: Frame): number => payload.readUInt32BE(0);
      const isOver = (stream: number) => (frames: readonly Frame[]) =>
        frames.some((one) => one.stream === stream && one.type === 1 && (one.flags & 1) === 1);
      connection.write(callOn(1));
      await connection.until(
        (frames) => frames.some(({ type, flags }) => type === 4 && (flags & 1) === 1),
        2000,
      );
      running.child.kill("SIGTERM");

      const told = await connection.until((frames) => goaways(frames).length === 1, 2000);
      const toldAt = performance.now();
      assert.deepEqual(goaways(told).map(lastStream), [2 ** 31 - 1], "no stream is refused yet");
      const refused = await new Promise((resolve) => {
        const socket = net.connect(port, "127.0.0.1", () => resolve("taken"));
        socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code));
      });
      assert.equal(refused, "ECONNREFUSED", "no new connections");
      // A call that was on its way when the notice came.
      connection.write(Buffer.concat([callOn(3), frameBytes(0, 1, 3, Buffer.alloc(0))]));
      await connection.until(isOver(3), 2000);

      const last = await connection.until((frames) => goaways(frames).length === 2, 2000);
      assert.ok(performance.now() - toldAt > 450, `${performance.now() - toldAt} ms to hear of it`);
      assert.deepEqual(
        goaways(last).map(lastStream),
        [2 ** 31 - 1, 3],
        "everything that was asked is answered",
      );
      await sleep(300);
      assert.equal(running.child.exitCode, null, "a call is still open");
      connection.write(frameBytes(0, 1, 1, Buffer.alloc(0)));
      await connection.until(isOver(1), 2000);
      connection.end();
      assert.equal(await running.ended, 0);
    });

  test("readiness is red from its first moment on", async () => {
    const running = await start();
    const [before, during] = await askAround(running, "/readyz", "ready\n");
    assert.match(before, /^HTTP\/1\.1 200 /);
    assert.match(during, /^HTTP\/1\.1 503[\s\S]*draining\n$/);
    assert.match(during, /^retry-after: 1\r$/im);
    assert.equal(await running.ended, 0);
  });
});
