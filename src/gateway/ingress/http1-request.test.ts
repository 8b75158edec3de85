/** Bodies that go to who waits for the whole of them, past the stream: whenever asked for, however they come, whatever comes behind them. */
import assert from "node:assert/strict";
import { createServer, type RequestListener, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { WholeBody } from "./body-reader.ts";
import type { BodyListener } from "./exchange.ts";
import { Http1Request } from "./http1-request.ts";

let server: Server;
/** What each request's body was, in the order in which they were told, or the reason of its error. */
let told: string[] = [];
/** Milliseconds that a request waits before it asks for its body. */
let waitMs = 0;
let maxBytes = 1000;

const serve: RequestListener = (request, response) => {
  const done: BodyListener = (error, body) => {
    told.push(error?.reason ?? Buffer.from(body).toString("latin1"));
    if (whole.isFlood) response.shouldKeepAlive = false;
    if (!response.destroyed) response.end(`got ${body.length}`);
  };
  const whole = new WholeBody(maxBytes, done, {
    threw: (error) => {
      throw error;
    },
  });
  if (waitMs === 0) (request as Http1Request).collect(whole);
  else setTimeout(() => (request as Http1Request).collect(whole), waitMs);
};

before(async () => {
  server = createServer({ IncomingMessage: Http1Request, optimizeEmptyRequests: true }, serve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
after(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  told = [];
});

/** Sends the pieces, each a moment after the one before; what came back until it has been quiet. */
async function exchange(pieces: readonly string[], after?: (socket: Socket) => void): Promise<string> {
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1").setNoDelay(true);
  let answer = "";
  socket.setEncoding("latin1").on("data", (text: string) => {
    answer += text;
  });
  socket.on("error", () => undefined);
  for (const piece of pieces) {
    socket.write(piece, "latin1");
    await sleep(15);
  }
  after?.(socket);
  await sleep(waitMs + 60);
  socket.destroy();
  return answer;
}

const head = (rest: string): string => `POST / HTTP/1.1\r\nHost: a\r\n${rest}\r\n`;
const sized = (body: string): string => `${head(`Content-Length: ${body.length}\r\n`)}${body}`;
const count = (text: string, part: string): number => text.split(part).length - 1;

for (const wait of [0, 30])
  describe(wait === 0 ? "asked for at once" : "asked for when it has come", () => {
    before(() => {
      waitMs = wait;
    });

    test("in one piece with the head", async () => {
      assert.match(await exchange([sized("hello")]), /got 5$/);
      assert.deepEqual(told, ["hello"]);
    });

    test("in pieces", async () => {
      const answer = await exchange([head("Content-Length: 6\r\n"), "ab", "cd", "ef"]);
      assert.match(answer, /got 6$/);
      assert.deepEqual(told, ["abcdef"]);
    });

    test("in chunks, with trailers", async () => {
      const chunks = ["2\r\nab\r\n", "3\r\ncde\r\n0\r\nx-a: b\r\n\r\n"];
      assert.match(await exchange([head("Transfer-Encoding: chunked\r\n"), ...chunks]), /got 5$/);
      assert.deepEqual(told, ["abcde"]);
    });

    test("of no bytes, said or not", async () => {
      const answer = await exchange([head("Content-Length: 0\r\n"), "GET / HTTP/1.1\r\nHost: a\r\n\r\n"]);
      assert.equal(count(answer, "got 0"), 2);
      assert.deepEqual(told, ["", ""]);
    });

    test("several in one piece are answered in their order", async () => {
      const answer = await exchange([
        `${sized("one")}GET / HTTP/1.1\r\nHost: a\r\n\r\n${sized("three")}${sized("4")}`,
      ]);
      assert.deepEqual(answer.match(/got \d/g), ["got 3", "got 0", "got 5", "got 1"]);
      assert.deepEqual(told, ["one", "", "three", "4"]);
    });

    test("larger than allowed: told once, the rest is read and the connection goes on", async () => {
      const answer = await exchange([
        head("Content-Length: 3000\r\n"),
        "a".repeat(1500),
        "a".repeat(1500),
        sized("next"),
      ]);
      assert.deepEqual(told, ["PAYLOAD_TOO_LARGE", "next"]);
      assert.match(answer, /got 0[\s\S]*got 4$/);
    });

    test("a client that leaves in the middle: told once", async () => {
      await exchange([head("Content-Length: 10\r\n"), "abc"], (socket) => socket.destroy());
      assert.deepEqual(told, ["CALL_CANCELED"]);
    });

    test("a client that leaves behind it: told of the body alone", async () => {
      await exchange([sized("abc")], (socket) => socket.destroy());
      assert.ok(told.length === 1 && (told[0] === "abc" || told[0] === "CALL_CANCELED"), String(told));
    });

    test("what is no chunk ends the connection, and who waits is told", async () => {
      await exchange([head("Transfer-Encoding: chunked\r\n"), "zz\r\n"]);
      assert.deepEqual(told, ["CALL_CANCELED"]);
    });
  });

test("a flood of pieces is not read to its end, and nothing behind it is served", async () => {
  waitMs = 0;
  maxBytes = 1_000_000;
  const flood = "1\r\na\r\n".repeat(20_000);
  const answer = await exchange([head("Transfer-Encoding: chunked\r\n"), flood, flood]);
  assert.deepEqual(told, ["PAYLOAD_TOO_LARGE"]);
  // Who goes on sending may lose the answer with the reset of the connection.
  assert.ok(answer === "" || /connection: close/i.test(answer), answer);
});

test("a body that nobody asks for flows away", async () => {
  const idle = createServer(
    { IncomingMessage: Http1Request, optimizeEmptyRequests: true },
    (_request, response) => {
      response.end("done");
    },
  );
  await new Promise<void>((resolve) => idle.listen(0, "127.0.0.1", resolve));
  const before = server;
  server = idle;
  const answer = await exchange([sized("x".repeat(200_000)), sized("y")]);
  server = before;
  idle.closeAllConnections();
  idle.close();
  assert.equal(count(answer, "done"), 2);
});
