import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { startPortico, type TestPortico } from "../support/portico.ts";

let portico: TestPortico;
before(async () => {
  portico = await startPortico();
});
after(() => portico.stop());

/** Writes bytes and reads until the server closes or `enough` characters of answers have come. */
function raw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(portico.httpPort, "127.0.0.1", () => socket.write(text, "latin1"));
    let answer = "";
    socket.on("data", (chunk) => {
      answer += chunk.toString("latin1");
    });
    socket.on("close", () => resolve(answer)).on("error", reject);
    socket.setTimeout(700, () => socket.destroy());
  });
}

const many = Array.from({ length: 101 }, (_unused, index) => `x-${index}: 1\r\n`).join("");

/** What is written | status of the first answer | whether a second request hidden in it may be answered: never. */
const rows: readonly (readonly [string, string, number])[] = [
  [
    "Content-Length beside chunked",
    "POST /api/v1/bpmn HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nHost: a\r\n\r\n",
    400,
  ],
  [
    "two Content-Lengths",
    "POST /api/v1/bpmn HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    400,
  ],
  [
    "a Content-Length with a sign",
    "POST /api/v1/bpmn HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nabcde",
    400,
  ],
  [
    "an unknown transfer coding",
    "POST /api/v1/bpmn HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    400,
  ],
  ["a folded header", "GET /livez HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400],
  ["a space before the colon", "GET /livez HTTP/1.1\r\nHost : a\r\n\r\n", 400],
  [
    "HTTP/1.0 with chunked",
    "POST /api/v1/bpmn HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    400,
  ],
  ["NUL in a header", "GET /livez HTTP/1.1\r\nHost: a\r\nX: a\u0000b\r\n\r\n", 400],
  ["no Host", "GET /livez HTTP/1.1\r\n\r\n", 400],
  ["two Hosts", "GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400],
  ["a whole URL", "GET http://elsewhere.example/livez HTTP/1.1\r\nHost: a\r\n\r\n", 421],
  ["headers of 17 KB", `GET /livez HTTP/1.1\r\nHost: a\r\nX: ${"a".repeat(17_000)}\r\n\r\n`, 431],
  ["101 headers", `GET /livez HTTP/1.1\r\nHost: a\r\n${many}\r\n`, 431],
  ["a URL of 8,193 bytes", `GET /${"a".repeat(8192)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
  ["a path with dot segments", "GET /api/../livez HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["no HTTP at all", "hello\r\n\r\n", 400],
];

describe("HTTP/1 written by hand", () => {
  for (const [what, text, status] of rows) {
    test(`${what} is answered with ${status} and nothing after it`, async () => {
      const answer = await raw(text);
      assert.equal(Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]), status, answer.slice(0, 200));
      assert.equal(answer.split("HTTP/1.1 ").length - 1, 1, "a hidden request was answered");
    });
  }

  test("requests one after another on one connection are all answered", async () => {
    const answer = await raw(
      "GET /livez HTTP/1.1\r\nHost: a\r\n\r\nGET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert.deepEqual(
      [...answer.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map((found) => found[1]),
      ["200", "200"],
    );
  });

  test("a first byte alone, then the rest, is still read as HTTP/1", async () => {
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(portico.httpPort, "127.0.0.1", () => socket.write("P"));
      setTimeout(() => socket.write("UT /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), 50);
      let text = "";
      socket.on("data", (chunk) => {
        text += chunk.toString("latin1");
      });
      socket.on("close", () => resolve(text));
    });
    assert.match(answer, /^HTTP\/1\.1 405/);
  });
});
