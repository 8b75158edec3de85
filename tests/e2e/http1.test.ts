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

describe("HTTP/1 written by hand", () => {
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
      const socket = connect(portico.httpPort, "127.0.0.1", () => {
        socket.write("P");
        setTimeout(() => socket.write("UT /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), 50);
      });
      let text = "";
      socket.on("data", (chunk) => {
        text += chunk.toString("latin1");
      });
      socket.on("close", () => resolve(text));
    });
    assert.match(answer, /^HTTP\/1\.1 405/);
  });

  test("a stream that failed before all of its request was read leaves the connection usable", async () => {
    const upload = "x".repeat(1_000_000);
    const answer = await raw(
      `POST /portico.bpmn.v1.BPMNService/UploadBPMN HTTP/1.1\r\nHost: a\r\nContent-Type: application/connect+json\r\nContent-Length: ${upload.length}\r\n\r\n${upload}GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
    );
    assert.deepEqual(
      [...answer.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map((found) => found[1]),
      ["200", "200"],
      answer.slice(0, 600),
    );
  });

  test("headers that are too large are refused with a reason, as JSON", async () => {
    const answer = await raw(`GET /livez HTTP/1.1\r\nHost: a\r\nX-Large: ${"a".repeat(20_000)}\r\n\r\n`);
    const [head = "", body = ""] = answer.split("\r\n\r\n");
    assert.match(head, /^HTTP\/1\.1 431 /);
    assert.match(head, /^content-type: application\/json/m);
    assert.match(head, /^x-request-id: /m);
    assert.equal(
      (JSON.parse(body) as { details: { reason: string }[] }).details[0]?.reason,
      "HEADERS_TOO_MANY",
    );
  });
});
