/**
 * What clients do to bring a server down, as raw bytes against a process of its own: floods and half-said things over HTTP/2, slow clients over
 * both versions, abuse of WebSocket frames. Each ends in a closed connection or refused streams and costs at most 500 ms of processor time
 * and 32 MB; meanwhile others are answered within 300 ms, and the process lives.
 */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { exchangeBytes } from "../support/http-case.ts";
import { binary, close, frame, more, ping, Raw, text } from "../support/websocket-bytes.ts";
import { attack, closedWithin, drip, openHttp2, pour, say } from "./attacks/attacker.ts";
import { attacks } from "./attacks/http2-attacks.ts";
import { startVictim, type Victim } from "./attacks/victim.ts";
import { dataFrame, frameBytes, headersFrame, streamError } from "./http2-bytes.ts";

let victim: Victim;
before(async () => {
  victim = await startVictim();
});
after(() => victim.stop());

describe("HTTP/2", () => {
  for (const one of attacks)
    for (const port of ["grpcPort", "httpPort"] as const)
      test(`${one.name}, on the port of ${port === "grpcPort" ? "gRPC" : "HTTP"}`, async () => {
        await victim.survives(async () => {
          const ending = await attack(victim[port], one);
          if (one.ends === "closed") assert.ok(ending.closed, JSON.stringify(ending));
          else assert.ok(ending.resets.includes(one.ends.refused), JSON.stringify(ending));
        });
      });

  test("the refused stream is the 101st alone", async () => {
    const hundred = attacks.find(({ name }) => name === "the 101st stream");
    const ending = await attack(victim.grpcPort, { ...hundred!, sends: hundred!.sends.slice(0, 100) }, 300);
    assert.deepEqual([ending.closed, ending.resets], [false, []]);
  });
});

const get = "GET /livez HTTP/1.1\r\nHost: a\r\n";
const post =
  "POST /api/v1/bpmn HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{";

describe("slow clients", () => {
  for (const [name, bytes, answer] of [
    ["a socket that says nothing", "", /^$/],
    ["one byte", "G", /^HTTP\/1.1 408 |^$/],
    ["headers without their end", get, /^HTTP\/1.1 408 /],
    ["a body without its end", post, /^HTTP\/1.1 408 /],
  ] as const)
    test(`HTTP/1: ${name}`, async () => {
      await victim.survives(async () => {
        const { bytes: got } = await exchangeBytes(victim.httpPort, Buffer.from(bytes), 4000);
        assert.match(got.toString("latin1"), answer);
      });
    });

  test("HTTP/1: headers byte by byte", async () => {
    await victim.survives(async () => {
      const got = await drip(victim.httpPort, `${get}${"X-A: b\r\n".repeat(20)}`, 50);
      assert.match(got, /^HTTP\/1.1 408 /);
    });
  });

  test("HTTP/1: a thousand at once", async () => {
    await victim.survives(async () => {
      const all = Array.from({ length: 1000 }, () =>
        exchangeBytes(victim.httpPort, Buffer.from(get), 5000).then(({ bytes }) => bytes.toString("latin1")),
      );
      for (const answer of await Promise.all(all)) assert.match(answer, /^HTTP\/1.1 408 |^$/);
    });
  });

  test("HTTP/2: a body without its end", async () => {
    await victim.survives(async () => {
      const frames = await say(victim.httpPort, [
        headersFrame([], { path: "/portico.bpmn.v1.BPMNService/GetBPMN" }),
        frameBytes(0, 0, 1, Buffer.from([0, 0])),
      ]);
      // Trailers-Only, or a reset.
      assert.ok(frames.some(({ type, flags }) => type === 3 || (type === 1 && (flags & 1) === 1)));
    });
  });

  for (const [name, port] of [
    ["the port of gRPC", "grpcPort"],
    ["the port of HTTP", "httpPort"],
  ] as const)
    test(`HTTP/2: an answer that is not read, on ${name}`, async () => {
      await victim.survives(async () => {
        const path =
          port === "grpcPort"
            ? "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
            : "/portico.bpmn.v1.BPMNService/ListBPMN";
        const connection = openHttp2(victim[port], { window: 0 });
        connection.write(headersFrame([], { path }));
        const listServices = Buffer.from([0x3a, 0]);
        const message = port === "grpcPort" ? listServices : Buffer.alloc(0);
        const head = Buffer.alloc(5);
        head.writeUInt32BE(message.length, 1);
        connection.write(dataFrame(Buffer.concat([head, message])));
        const frames = await connection.until(
          (all) => all.some(({ type, stream }) => type === 3 && stream === 1),
          4000,
        );
        // ENHANCE_YOUR_CALM, which clients of gRPC take for RESOURCE_EXHAUSTED.
        assert.equal(streamError(frames), 11);
        connection.end();
      });
    });

  test("HTTP/1: answers that are not read", async () => {
    await victim.survives(async () => {
      const socket = connect(victim.httpPort, "127.0.0.1");
      socket.on("error", () => {});
      socket.pause();
      socket.write("GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100));
      const ended = await closedWithin(socket, 6000);
      assert.ok(ended, "the connection is still open");
    });
  });
});

describe("floods over HTTP/1", () => {
  const chunked = (target: string, type: string) =>
    `POST ${target} HTTP/1.1\r\nHost: a\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`;
  const json = chunked("/api/v1/bpmn", "application/json");
  const upload = chunked("/api/v1/bpmn:upload", "application/xml");
  for (const [name, head, piece, count, answer] of [
    ["JSON in chunks of a byte", json, "1\r\n \r\n", 1_000_000, /^HTTP\/1\.1 413 /],
    ["JSON in chunks of a byte with an extension each", json, "1;a=b\r\n \r\n", 500_000, /^HTTP\/1\.1 413 /],
    ["extensions of 8 KB", json, `1;${"a".repeat(8000)}\r\n \r\n`, 2000, /^HTTP\/1\.1 4(00|08|13) /],
    ["a file in chunks of a byte", upload, "1\r\n \r\n", 1_000_000, /^$/],
    ["trailers without end", `${json}2\r\n{}\r\n0\r\n`, "x: 1\r\n", 500_000, /^HTTP\/1\.1 431 /],
  ] as const)
    test(name, async () => {
      await victim.survives(async () => {
        const { closed, got } = await pour(victim.httpPort, head + piece.repeat(count), 5000);
        assert.ok(closed, "the connection is still open");
        assert.match(got, answer);
      });
    });

  test("20,000 requests one behind the other: no more are answered than a connection may carry", async () => {
    await victim.survives(async () => {
      const sent = `${get}\r\n`.repeat(20_000);
      const { closed, got } = await pour(victim.httpPort, sent, 5000);
      assert.ok(closed, "the connection is still open");
      // The last ones may be lost with what was not read.
      const answers = got.split(/^HTTP\/1\.1 200/m).length - 1;
      assert.ok(answers > 500 && answers <= 1000, `${answers} answers`);
      assert.doesNotMatch(got, /^HTTP\/1\.1 503/m);
    });
  });

  test("who is told that it is over and stays has its connection taken away", async () => {
    await victim.survives(async () => {
      for (const sent of [post, "NONSENSE / HTTP/1.1\r\n\r\n", `${get}X: ${"a".repeat(17_000)}\r\n\r\n`]) {
        const { closed, got } = await pour(victim.httpPort, sent, 5000);
        assert.match(got, /^HTTP\/1\.1 4\d\d /);
        assert.ok(closed, `after ${got.slice(0, 12)} the connection is still open`);
      }
    });
  });
});

describe("WebSocket frames", () => {
  const many = (count: number, one: Buffer): Buffer => Buffer.concat(Array<Buffer>(count).fill(one));
  const piece = (opcode: number, payload: string, fin = false) => frame(opcode, payload, { fin });
  for (const [name, bytes, code] of [
    ["unmasked", frame(text, "{}", { masked: false }), 1002],
    ["a reserved bit", frame(text, "{}", { rsv: 4 }), 1002],
    ["opcode 3", frame(3, "{}"), 1002],
    ["a close code that is none", frame(close, Buffer.from([0, 1])), 1002],
    ["bytes that are no UTF-8", frame(text, Buffer.from([0xff])), 1007],
    ["one MiB and one byte", frame(text, Buffer.alloc(1024 * 1024 + 1, 32)), 1009],
    ["a length of 2^62", Buffer.from("81ff4000000000000000", "hex"), 1009],
    ["20,000 fragments", Buffer.concat([piece(text, "{"), many(20_000, piece(more, " "))]), 1008],
    ["20,000 empty fragments", Buffer.concat([piece(text, ""), many(20_000, piece(more, ""))]), 1008],
    ["100,000 PINGs at once", many(100_000, frame(ping, "a")), undefined],
    ["binary in a protocol of text", frame(binary, Buffer.from([8, 1])), 4400],
    ["a frame that is no JSON", frame(text, "[".repeat(1_000_000)), 4400],
  ] as const)
    test(name, async () => {
      await victim.survives(async () => {
        const raw = await new Raw(victim.httpPort, "/ws").opened();
        raw.socket.write(bytes);
        await raw.until(() => raw.ended, 4000);
        const last = raw.frames.findLast(({ opcode }) => opcode === close);
        assert.equal(last?.payload.readUInt16BE(0), code);
      });
    });

  test("PINGs one after the other", async () => {
    await victim.survives(async () => {
      const raw = await new Raw(victim.httpPort, "/ws").opened();
      for (let sent = 0; sent < 1000 && !raw.ended; sent += 20) {
        raw.socket.write(many(20, frame(ping, "a")));
        await raw.until(() => raw.ended || raw.frames.length >= Math.min(sent + 20, 500));
      }
      await raw.until(() => raw.ended);
      assert.equal(raw.frames.findLast(({ opcode }) => opcode === close)?.payload.readUInt16BE(0), 1008);
    });
  });

  test("2,000 calls at once of what is not there", async () => {
    await victim.survives(async () => {
      const raw = await new Raw(victim.httpPort, "/ws").opened();
      const call = (at: number): Buffer =>
        frame(text, `{"id":"${at}","call":{"method":"a.B/C"},"message":{}}`);
      raw.socket.write(Buffer.concat(Array.from({ length: 2000 }, (_unused, at) => call(at))));
      await raw.until(() => raw.frames.length === 2000, 4000);
      raw.socket.destroy();
    });
  });

  test("a socket that says nothing", async () => {
    await victim.survives(async () => {
      const raw = await new Raw(victim.httpPort, "/ws").opened();
      await raw.until(() => raw.ended, 4000);
      assert.equal(raw.frames.at(-1)?.payload.readUInt16BE(0), 4408);
    });
  });

  test("PINGs whose answers nobody reads", async () => {
    await victim.survives(async () => {
      const raw = await new Raw(victim.httpPort, "/ws").opened();
      raw.socket.pause();
      raw.socket.write(many(100_000, frame(ping, "a".repeat(100))));
      assert.ok(await closedWithin(raw.socket, 4000), "the connection is still open");
    });
  });
});
