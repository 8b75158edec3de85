/** One JSON line a call on standard output, whatever the protocol and the outcome. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { BPMNService } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { connect, unary } from "../support/grpc.ts";
import { ask } from "../support/portico.ts";
import { type Running, serve } from "../support/process.ts";

const dataDir = mkdtempSync(path.join(tmpdir(), "portico-log-"));
const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
let running: Running;

interface Line {
  readonly [field: string]: unknown;
}

before(async () => {
  running = await serve(dataDir, ["--database-url", "memory:"]);
});
after(() => {
  running.child.kill("SIGKILL");
  rmSync(dataDir, { recursive: true, force: true });
});

/** The lines of one request; the process writes them within 200 ms. */
async function linesOf(requestId: string): Promise<Line[]> {
  for (let tries = 0; tries < 50; tries += 1) {
    const found = running.lines
      .map((line) => JSON.parse(line) as Line)
      .filter((line) => line.requestId === requestId);
    if (found.length > 0) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return [];
}

describe("the access log", () => {
  test("has a line for a call over REST, with its trace and without what the client is not to see again", async () => {
    await ask(running.base, "GET", "/api/v1/bpmn?pageSize=1", {
      headers: { "x-request-id": "rest-1", traceparent, authorization: "Bearer hunter2" },
    });
    const [line, ...more] = await linesOf("rest-1");
    assert.deepEqual(more, []);
    const { time, durationMs, gatewayMs, serviceMs, bytesOut, ...rest } = line ?? {};
    assert.deepEqual(rest, {
      level: 30,
      method: "portico.bpmn.v1.BPMNService/ListBPMN",
      protocol: "rest",
      code: "ok",
      bytesIn: 0,
      requestId: "rest-1",
      peer: "127.0.0.1",
      principal: "users/local",
      traceId: "0af7651916cd43dd8448eb211c80319c",
      msg: "call",
    });
    assert.match(String(time), /^\d{4}-\d\d-\d\dT/);
    for (const number of [durationMs, gatewayMs, serviceMs, bytesOut])
      assert.ok(Number(number) > 0, String(number));
    assert.ok(Number(durationMs) >= Number(gatewayMs) + Number(serviceMs) - 0.002);
    assert.ok(!running.lines.join("\n").includes("hunter2"));
  });

  test("has a line for a call over gRPC that failed, with its reason", async () => {
    const client = connect(running.grpcPort);
    const metadata = { "x-request-id": "grpc-1" };
    await assert.rejects(unary(client, BPMNService.method.getBPMN, { id: "none" }, { metadata }));
    client.close();
    const [line] = await linesOf("grpc-1");
    assert.deepEqual(
      [line?.method, line?.protocol, line?.code, line?.reason],
      ["portico.bpmn.v1.BPMNService/GetBPMN", "grpc", "not_found", "RESOURCE_NOT_FOUND"],
    );
  });

  test("has one line for a stream, when it ends", async () => {
    await ask(running.base, "POST", "/api/v1/bpmn?documentId=streamed", {
      body: { xml: '<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" id="d"/>' },
    });
    await ask(running.base, "GET", "/api/v1/bpmn/streamed:download", {
      headers: { "x-request-id": "stream-1" },
    });
    assert.equal((await linesOf("stream-1")).length, 1);
  });
});
