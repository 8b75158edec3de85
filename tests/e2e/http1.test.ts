import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { exchangeBytes } from "../support/http-case.ts";
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

  for (const [what, sent] of [
    ["a space in the path", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["a method in small letters", "get / HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["a version that is none", "GET /livez HTTP/3.7\r\nHost: a\r\n\r\n"],
    ["a header without a colon", "GET /livez HTTP/1.1\r\nHost: a\r\nBad\r\n\r\n"],
  ] as const)
    test(`a request with ${what} is told why it cannot be read`, async () => {
      const answer = await raw(sent);
      assert.match(answer, /^HTTP\/1\.1 400 .*\r\n\r\n\{.*"REQUEST_MALFORMED"/s);
    });

  for (const [what, sent] of [
    ["a word", "INVALID CONNECTION PREFACE\r\n\r\n"],
    ["a mail server's client", "EHLO mail.example\r\n"],
    ["a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ["line ends and a word", "\r\n\r\nhello"],
  ] as const)
    test(`a connection that begins with ${what} is closed without a word`, async () => {
      const { bytes } = await exchangeBytes(portico.httpPort, Buffer.from(sent, "latin1"));
      assert.equal(bytes.toString("latin1"), "");
    });

  test("what is no HTTP behind a request is answered as a request, and the connection is over", async () => {
    const answer = await raw("GET /livez HTTP/1.1\r\nHost: a\r\n\r\nEHLO mail.example\r\n");
    assert.match(answer, /^HTTP\/1\.1 200 .*HTTP\/1\.1 400 /s);
  });

  test("a preface of HTTP/2 that goes wrong is answered in HTTP/2", async () => {
    const answer = Buffer.from(await raw("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"), "latin1");
    const types = [];
    for (let at = 0; at + 9 <= answer.length; at += 9 + answer.readUIntBE(at, 3)) types.push(answer[at + 3]);
    // RFC 9113 section 6: SETTINGS and GOAWAY, and nothing else.
    assert.ok(
      types.every((type) => type === 4 || type === 7),
      String(types),
    );
    assert.ok(!answer.includes("HTTP/1.1"));
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

describe("a client that waits for a word before it sends its body", () => {
  const list = "/api/v1/bpmn";
  const xml = '<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" id="d" targetNamespace="a"/>';
  const cases = [
    ["is asked for what is read", { target: "/api/v1/bpmn:validate", length: undefined }, [100, 200]],
    ["is told at once that it would be too much", { target: list, length: 20_000_000 }, [413]],
    [
      "is told at the path of a method",
      { target: "/portico.bpmn.v1.BPMNService/CreateBPMN", length: 20_000_000 },
      [413],
    ],
    ["is told over GraphQL", { target: "/graphql", length: 20_000_000 }, [413]],
    ["is told over MCP", { target: "/mcp", length: 20_000_000 }, [413]],
    ["sends nothing to what is not there", { target: "/nothing", length: 5 }, [404]],
  ] as const;
  const body = JSON.stringify({ xml });

  for (const [what, { target, length = body.length }, expected] of cases) {
    test(`${what}, over HTTP/1`, async () => {
      const statuses = await new Promise<number[]>((resolve, reject) => {
        const socket = connect(portico.httpPort, "127.0.0.1").on("error", reject);
        let answer = "";
        const told = () => [...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status));
        socket.on("data", (chunk) => {
          answer += chunk.toString("latin1");
          if (told().at(-1) === 100) socket.write(body);
          else if (answer.includes("\r\nConnection: close")) socket.end();
          else socket.destroy();
        });
        socket.on("close", () => resolve(told()));
        socket.write(
          `POST ${target} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\nExpect: 100-continue\r\n\r\n`,
        );
      });
      assert.deepEqual(statuses, expected);
    });

    test(`${what}, over HTTP/2`, async () => {
      const session = connectHttp2(`http://127.0.0.1:${portico.httpPort}`);
      const statuses: (number | undefined)[] = [];
      const stream = session.request({
        ...{ ":method": "POST", ":path": target, "content-type": "application/json" },
        ...{ "content-length": String(length), expect: "100-continue" },
      });
      stream.on("continue", () => {
        statuses.push(100);
        stream.end(body);
      });
      stream.on("response", (headers) => statuses.push(headers[":status"]));
      stream.on("error", () => {}).resume();
      await new Promise((resolve) => stream.once("response", resolve));
      stream.close();
      session.destroy();
      assert.deepEqual(statuses, expected);
    });
  }

  test("an old one of HTTP/1.0 is not", async () => {
    const answer = await raw(
      `POST /api/v1/bpmn:validate HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n${body}`,
    );
    assert.deepEqual(answer.match(/HTTP\/1\.1 \d+/g), ["HTTP/1.1 200"]);
  });
});
