/** A listener of a body that throws has a fault; it costs its own request, not the process. */
import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { after, before, describe, test } from "node:test";
import { type Adapter, type Listener, listen } from "#gateway/ingress/ingress.ts";
import type { Refusal } from "#rpc/refusal.ts";
import { systemClock } from "#std/clock.ts";
import { exchangeBytes } from "../support/http-case.ts";

const fault = new TypeError("the listener has a fault");
/** `/fault` throws once it has the body, however that ends; everything else is answered. */
const adapter: Adapter & { owns(path: string): boolean } = {
  owns: () => false,
  handle: (exchange) =>
    exchange.collectBody(4, (_error, body) => {
      if (exchange.path === "/fault") throw fault;
      exchange.reply(200, {}, body);
    }),
};

const thrown: unknown[] = [];
const refused: Refusal[] = [];
let listener: Listener;
const hear = (error: unknown): number => thrown.push(error);

before(async () => {
  process.on("uncaughtException", hear);
  listener = await listen({
    ...{ host: "127.0.0.1", httpPort: 0, grpcPort: 0, clock: systemClock },
    adapters: {
      ...{ grpc: { ...adapter }, grpcWeb: { ...adapter }, connect: { ...adapter } },
      ...{ rest: adapter, pages: { ...adapter } },
    },
    onRefused: (refusal) => refused.push(refusal),
  });
});

after(async () => {
  process.off("uncaughtException", hear);
  await listener.close();
});

/** The stream's error code, and the status where there was one, over a session that others use afterwards. */
function post(path: string, body: string, port: number): Promise<string> {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  const ask = (target: string, sent: string): Promise<string> =>
    new Promise((resolve) => {
      const stream = session.request({ ":method": "POST", ":path": target });
      let status = "none";
      stream.on("response", (headers) => {
        status = String(headers[":status"]);
      });
      stream.on("error", () => {});
      stream.on("close", () => resolve(`${status}, code ${stream.rstCode}`));
      stream.resume().end(sent);
    });
  return ask(path, body)
    .then(async (first) => `${first}; then ${await ask("/good", "ok")}`)
    .finally(() => session.destroy());
}

/** What watches was told since the last time, and nothing came past it. */
function heard(): readonly string[] {
  assert.deepEqual(thrown.splice(0), []);
  return refused.splice(0).map(({ protocol, error }) => {
    assert.equal(error.cause, fault);
    return `${protocol} ${error.reason}`;
  });
}

describe("a body listener that throws", { timeout: 20_000 }, () => {
  for (const [what, body] of [
    ["with the body", "abc"],
    ["with the error of a body over the limit", "abcdef"],
  ] as const) {
    test(`${what}: HTTP/2 resets the stream, and the session goes on`, async () => {
      assert.equal(await post("/fault", body, listener.httpPort), "none, code 2; then 200, code 0");
      assert.deepEqual(heard(), ["rest INTERNAL"]);
    });

    test(`${what}: so does the port of gRPC`, async () => {
      assert.equal(await post("/fault", body, listener.grpcPort), "none, code 2; then 200, code 0");
      assert.deepEqual(heard(), ["grpc INTERNAL"]);
    });

    test(`${what}: HTTP/1 closes the connection without an answer`, async () => {
      const head = `POST /fault HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`;
      const { bytes } = await exchangeBytes(listener.httpPort, Buffer.from(head + body));
      assert.equal(bytes.toString(), "");
      assert.deepEqual(heard(), ["rest INTERNAL"]);
    });
  }

  test("with the error of a client that left: the process goes on", async () => {
    const session = connectHttp2(`http://127.0.0.1:${listener.httpPort}`);
    session.on("error", () => {});
    const stream = session.request({ ":method": "POST", ":path": "/fault" });
    stream.on("error", () => {});
    await new Promise((resolve) => stream.write("a", resolve));
    stream.close(8);
    while (refused.length + thrown.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual(heard(), ["rest INTERNAL"]);
    session.destroy();
  });
});
