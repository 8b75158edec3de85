/**
 * The attacks of attacks.test.ts over TLS, at the same price: all of those on HTTP/2, on both ports, whose sessions come there in two ways, and of
 * slow clients, floods and WebSockets each kind once; and what clients can do to a handshake.
 */
import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { after, before, describe, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { dial, type Where } from "../support/dial.ts";
import { exchangeBytes } from "../support/http-case.ts";
import { close, frame, more, ping, Raw, text } from "../support/websocket-bytes.ts";
import { attack, closedWithin, openHttp2, pour, say } from "./attacks/attacker.ts";
import { attacks } from "./attacks/http2-attacks.ts";
import { startVictim, type Victim } from "./attacks/victim.ts";
import { dataFrame, frameBytes, headersFrame, streamError } from "./http2-bytes.ts";

let victim: Victim;
before(async () => {
  victim = await startVictim("TLS");
});
after(() => victim.stop());

const ports = ["grpcPort", "httpPort"] as const;
type Port = (typeof ports)[number];
const nameOf = (port: Port): string => `the port of ${port === "grpcPort" ? "gRPC" : "HTTP"}`;
const http2 = (port: Port): Where => ({ port: victim[port], ca: victim.ca, speaks: "h2" });
const http1 = (): Where => ({ port: victim.httpPort, ca: victim.ca, speaks: "http/1.1" });

describe("handshakes", () => {
  // What OpenSSL and node keep for each is some 30 KB.
  for (const port of ports)
    test(`five hundred that never come, on ${nameOf(port)}`, async () => {
      await victim.survives(async () => {
        const all = Array.from({ length: 500 }, async () => {
          const socket = connect(victim[port], "127.0.0.1");
          socket.on("error", () => {}).resume();
          return await closedWithin(socket, 4000);
        });
        assert.deepEqual(new Set(await Promise.all(all)), new Set([true]));
      });
    });

  for (const port of ports)
    test(`a hundred byte by byte, on ${nameOf(port)}`, async () => {
      const hello = await clientHello();
      await victim.survives(async () => {
        const all = Array.from({ length: 100 }, () => dripBytes(victim[port], hello));
        for (const written of await Promise.all(all))
          assert.ok(written < hello.length, "closed before its end");
      });
    });

  test("what is no handshake", async () => {
    await victim.survives(async () => {
      for (const bytes of [Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Buffer.alloc(20_000, 22)])
        for (const port of ports) await exchangeBytes(victim[port], bytes, 3000);
    });
  });
});

describe("HTTP/2", () => {
  for (const one of attacks)
    for (const port of ports)
      test(`${one.name}, on ${nameOf(port)}`, async () => {
        await victim.survives(async () => {
          const ending = await attack(http2(port), one);
          if (one.ends === "closed") assert.ok(ending.closed, JSON.stringify(ending));
          else assert.ok(ending.resets.includes(one.ends.refused), JSON.stringify(ending));
        });
      });

  test("a body without its end", async () => {
    await victim.survives(async () => {
      const frames = await say(http2("httpPort"), [
        headersFrame([], { path: "/portico.bpmn.v1.BPMNService/GetBPMN" }),
        frameBytes(0, 0, 1, Buffer.from([0, 0])),
      ]);
      // Trailers-Only, or a reset.
      assert.ok(frames.some(({ type, flags }) => type === 3 || (type === 1 && (flags & 1) === 1)));
    });
  });

  for (const port of ports)
    test(`an answer that is not read, on ${nameOf(port)}`, async () => {
      await victim.survives(async () => {
        const connection = openHttp2(http2(port), { window: 0 });
        connection.write(headersFrame([], { path: "/portico.bpmn.v1.BPMNService/ListBPMN" }));
        connection.write(dataFrame(Buffer.alloc(5)));
        const frames = await connection.until(
          (all) => all.some(({ type, stream }) => type === 3 && stream === 1),
          4000,
        );
        // ENHANCE_YOUR_CALM, which clients of gRPC take for RESOURCE_EXHAUSTED.
        assert.equal(streamError(frames), 11);
        connection.end();
      });
    });
});

const get = "GET /livez HTTP/1.1\r\nHost: a\r\n";

describe("HTTP/1", () => {
  for (const [name, bytes, answer] of [
    ["a connection on which nothing is said", "", /^HTTP\/1.1 408 |^$/],
    ["headers without their end", get, /^HTTP\/1.1 408 /],
  ] as const)
    test(name, async () => {
      await victim.survives(async () => {
        const { bytes: got } = await exchangeBytes(http1(), Buffer.from(bytes), 4000);
        assert.match(got.toString("latin1"), answer);
      });
    });

  test("answers that are not read", async () => {
    await victim.survives(async () => {
      const socket = dial(http1(), () =>
        socket.write("GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100)),
      );
      socket.on("error", () => {});
      socket.pause();
      assert.ok(await closedWithin(socket, 6000), "the connection is still open");
    });
  });

  test("JSON in chunks of a byte", async () => {
    await victim.survives(async () => {
      const head =
        "POST /api/v1/bpmn HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
      const { closed, got } = await pour(http1(), head + "1\r\n \r\n".repeat(1_000_000), 5000);
      assert.ok(closed, "the connection is still open");
      assert.match(got, /^HTTP\/1\.1 413 |^$/);
    });
  });

  test("who is told that it is over and stays has its connection taken away", async () => {
    await victim.survives(async () => {
      const { closed, got } = await pour(http1(), "NONSENSE / HTTP/1.1\r\n\r\n", 5000);
      assert.match(got, /^HTTP\/1\.1 400 /);
      assert.ok(closed, "the connection is still open");
    });
  });
});

describe("WebSocket frames", () => {
  const piece = (opcode: number, payload: string) => frame(opcode, payload, { fin: false });
  const many = (count: number, one: Buffer): Buffer => Buffer.concat(Array<Buffer>(count).fill(one));
  for (const [name, bytes, code] of [
    ["one MiB and one byte", frame(text, Buffer.alloc(1024 * 1024 + 1, 32)), 1009],
    ["20,000 fragments", Buffer.concat([piece(text, "{"), many(20_000, piece(more, " "))]), 1008],
    ["nothing", Buffer.alloc(0), 4408],
  ] as const)
    test(name, async () => {
      await victim.survives(async () => {
        const raw = await new Raw(http1(), "/ws").opened();
        raw.socket.write(bytes);
        await raw.until(() => raw.ended, 4000);
        const last = raw.frames.findLast(({ opcode }) => opcode === close);
        assert.equal(last?.payload.readUInt16BE(0), code);
      });
    });

  test("PINGs whose answers nobody reads", async () => {
    await victim.survives(async () => {
      const raw = await new Raw(http1(), "/ws").opened();
      raw.socket.pause();
      raw.socket.write(many(100_000, frame(ping, "a".repeat(100))));
      assert.ok(await closedWithin(raw.socket, 4000), "the connection is still open");
    });
  });
});

/** What a client of TLS begins with. */
function clientHello(): Promise<Buffer> {
  return new Promise((resolve) => {
    const server = createServer((socket) =>
      socket.once("data", (hello) => {
        socket.destroy();
        server.close();
        resolve(hello);
      }),
    );
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      connectTls({ port, host: "127.0.0.1" }).on("error", () => {});
    });
  });
}

/** Writes on until the server closes. @returns how much was written. */
function dripBytes(port: number, bytes: Buffer): Promise<number> {
  return new Promise((resolve) => {
    let at = 0;
    const socket = connect(port, "127.0.0.1");
    const timer = setInterval(() => {
      socket.write(bytes.subarray(at, at + 1));
      at += 1;
    }, 20);
    socket.on("error", () => {}).resume();
    socket.on("close", () => {
      clearInterval(timer);
      resolve(at);
    });
  });
}
