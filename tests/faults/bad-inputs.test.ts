/**
 * What bad input is answered with, row by row: HTTP/1 framing, routing, gRPC framing, JSON, ids, paging, etags and models, over
 * REST (HTTP/1 and h2c), gRPC (both ports), Connect, gRPC-Web and WebSocket. Every error is told apart by its reason and leaks nothing.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type EchoServer, startEcho } from "../support/echo.ts";
import { ask, bpmnXml, startPortico, type TestPortico } from "../support/portico.ts";
import { type Row, runInTime } from "./bad-input.ts";
import { bpmnRows } from "./rows-bpmn.ts";
import { grpcRows } from "./rows-grpc.ts";
import { httpRows } from "./rows-http.ts";
import { jsonRows } from "./rows-json.ts";
import { grpcWebText, otherColumns } from "./rows-protocols.ts";

let portico: TestPortico;
let echo: EchoServer;
before(async () => {
  [portico, echo] = await Promise.all([startPortico(), startEcho()]);
  const created = await ask(portico.base, "POST", "/api/v1/bpmn?documentId=order", {
    body: { xml: bpmnXml() },
  });
  assert.equal(created.status, 201, created.text);
  // The first model loads the parser into its thread; what is timed are answers and not that.
  await ask(portico.base, "POST", "/api/v1/bpmn:validate", { body: { xml: bpmnXml() } });
});
after(async () => {
  await echo.close();
  await portico.stop();
});

const rows: readonly Row[] = [...httpRows, ...grpcRows, grpcWebText, ...jsonRows, ...bpmnRows]
  .map((one) => ({ ...one, ...otherColumns[one.row] }))
  .toSorted((a, b) => a.row - b.row);

for (const { row, says, rest, grpc, connect, grpcWeb, webSocket } of rows)
  describe(`${row}. ${says}`, () => {
    for (const [protocol, cases] of [
      ["REST", rest],
      ["gRPC", grpc],
      ["Connect", connect],
      ["gRPC-Web", grpcWeb],
      ["WebSocket", webSocket],
    ] as const) {
      if (cases === undefined || typeof cases === "string") continue;
      for (const { what, run } of cases)
        test(`over ${protocol}${what === "" ? "" : `: ${what}`}`, () =>
          runInTime(() => run({ portico, echo })));
    }
  });

test("every row has a column for each protocol that it applies to, or says why not", () => {
  const numbers = rows.map(({ row }) => row);
  const span = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_unused, at) => from + at);
  // 9 to 17 and 64 to 66 are in attacks.test.ts, 45 to 62 in rows-identity.test.ts, 69 to 73 in GraphQL's and MCP's own tests.
  const owed = [...span(1, 8), ...span(18, 44), 74, 75, 80];
  assert.deepEqual(numbers, owed);
  for (const { row, rest, grpc, connect, grpcWeb, webSocket } of rows) {
    const beyond = row >= 18 && row <= 41 && row !== 34 ? [connect, grpcWeb, webSocket] : [];
    for (const column of [rest, grpc, ...beyond]) {
      assert.ok(column !== undefined, `row ${row} lacks a protocol`);
      assert.ok(column.length > 0 && (typeof column !== "string" || column.length > 8));
    }
  }
});
