/**
 * Connections that say nothing, in clear text and over TLS: they count from the moment they are accepted, on both ports together, so that the
 * cap and the files that are kept back hold whatever a client does not do.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { bpmnXml } from "../support/portico.ts";
import { type Running, type ServeOptions, serve } from "../support/process.ts";
import { type TlsFiles, writeTlsFiles } from "../support/tls-files.ts";

const folder = mkdtempSync(path.join(tmpdir(), "portico-connections-"));
const running: Running[] = [];
let files: TlsFiles;
before(async () => {
  files = await writeTlsFiles(folder);
});
after(async () => {
  for (const { child, ended } of running) {
    child.kill("SIGKILL");
    await ended;
  }
  rmSync(folder, { recursive: true, force: true });
});

async function start(
  over: "clear text" | "TLS",
  flags: readonly string[],
  more: ServeOptions = {},
): Promise<Running> {
  const all = [
    "--database-url",
    "memory:",
    "--log-level",
    "silent",
    ...(over === "TLS" ? files.flags : []),
    ...flags,
  ];
  const process = await serve(path.join(folder, `data-${running.length}`), all, more);
  running.push(process);
  return process;
}

const httpPort = ({ base }: Running): number => Number(new URL(base).port);
const openFilesOf = ({ child }: Running): number => readdirSync(`/proc/${child.pid}/fd`).length;

/** Connections of TCP on which nothing is ever said. */
async function silent(port: number, count: number): Promise<{ readonly open: number; end(): void }> {
  const sockets = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<Socket>((resolve) => {
          const socket = connect(port, "127.0.0.1", () => resolve(socket));
          socket.on("error", () => resolve(socket));
          // Hears of the end.
          socket.resume();
        }),
    ),
  );
  return {
    get open() {
      return sockets.filter((socket) => !socket.destroyed && socket.readyState === "open").length;
    },
    end: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

function get(server: Running, target: string, agent: http.Agent | false, body?: object): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const client = server.base.startsWith("https:") ? https : http;
    const headers = body === undefined ? {} : { "content-type": "application/json" };
    const method = body === undefined ? "GET" : "POST";
    const request = client.request(
      server.base + target,
      { ...{ agent, method, headers }, ca: files.ca },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
      },
    );
    request.on("error", reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function settle(isSo: () => boolean, ms = 3000): Promise<void> {
  for (const late = performance.now() + ms; !isSo() && performance.now() < late; ) await sleep(20);
}

const gauge = (text: string): number => Number(/^portico_connections_open (\d+)$/m.exec(text)?.[1]);

for (const over of ["clear text", "TLS"] as const)
  describe(`connections in ${over}`, () => {
    let server: Running;
    before(async () => {
      server = await start(over, ["--max-connections", "20"]);
    });

    test("the cap holds for those that say nothing, on both ports together", async () => {
      const idle = openFilesOf(server);
      for (const port of [server.grpcPort, httpPort(server)]) {
        const crowd = await silent(port, 500);
        await settle(() => crowd.open <= 20);
        assert.equal(crowd.open, 20);
        assert.ok(openFilesOf(server) <= idle + 20, `${openFilesOf(server) - idle} files`);
        const other = await silent(port === server.grpcPort ? httpPort(server) : server.grpcPort, 1);
        await settle(() => other.open === 0);
        assert.equal(other.open, 0, "one more, on the other port");
        crowd.end();
        await settle(() => openFilesOf(server) <= idle);
        assert.equal(openFilesOf(server), idle, "every place is free again");
      }
    });

    test("each counts once, from its accepting to its end", async () => {
      const agent = new (over === "TLS" ? https : http).Agent({ keepAlive: true });
      const open = async (): Promise<number> => gauge((await get(server, "/metrics", agent)).text);
      const becomes = async (count: number): Promise<void> => {
        // A client is connected before the process has accepted it.
        for (const late = performance.now() + 3000; (await open()) !== count && performance.now() < late; )
          await sleep(20);
        assert.equal(await open(), count);
      };
      await becomes(1);
      const crowd = [await silent(httpPort(server), 3), await silent(server.grpcPort, 2)];
      await becomes(6);
      for (const some of crowd) some.end();
      await becomes(1);
      agent.destroy();
    });

    test("files are left for everything else, however many connect", async () => {
      const few = await start(over, [], { openFiles: 300 });
      const agent = new (over === "TLS" ? https : http).Agent({ keepAlive: true });
      assert.equal((await get(few, "/api/v1/bpmn", agent)).status, 200);
      const crowd = await silent(httpPort(few), 600);
      await settle(() => crowd.open <= 180);
      assert.ok(openFilesOf(few) <= 300 - 32, `${openFilesOf(few)} files of 300`);
      // The parser's thread begins with its first use.
      const checked = await get(few, "/api/v1/bpmn:validate", agent, { xml: bpmnXml() });
      assert.equal(checked.status, 200, checked.text);
      crowd.end();
      agent.destroy();
    });
  });

describe("handshakes of TLS", () => {
  let server: Running;
  before(async () => {
    const times = ["--tls-handshake-timeout-ms", "700", "--http-headers-timeout-ms", "5000"];
    server = await start("TLS", times);
  });

  test("one that does not come is not waited for, on either port", async () => {
    for (const port of [httpPort(server), server.grpcPort]) {
      const began = performance.now();
      const crowd = await silent(port, 10);
      await settle(() => crowd.open === 0);
      const tookMs = performance.now() - began;
      assert.ok(crowd.open === 0 && tookMs >= 650 && tookMs < 2500, `${crowd.open} open after ${tookMs} ms`);
    }
  });

  test("one that comes byte by byte has no more time", async () => {
    const hello = await clientHello();
    for (const port of [httpPort(server), server.grpcPort]) {
      const began = performance.now();
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => {}).resume();
      let at = 0;
      const dripping = setInterval(() => {
        socket.write(hello.subarray(at, at + 1));
        at += 1;
      }, 20);
      await settle(() => socket.destroyed);
      clearInterval(dripping);
      const tookMs = performance.now() - began;
      assert.ok(at < hello.length, "it was over before it was whole");
      assert.ok(socket.destroyed && tookMs < 2500, `open after ${tookMs} ms`);
    }
  });

  test("a connection whose handshake is done keeps its time", async () => {
    const socket = connectTls({
      port: httpPort(server),
      host: "127.0.0.1",
      ca: files.ca,
      servername: "localhost",
    });
    await new Promise((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
    await sleep(1200);
    let answer = "";
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      answer += chunk;
    });
    socket.write("GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    await settle(() => socket.destroyed);
    assert.match(answer, /^HTTP\/1\.1 200 /);
  });
});

/** What a client of TLS begins with. */
async function clientHello(): Promise<Buffer> {
  return await new Promise((resolve) => {
    const server = createServer((socket) =>
      socket.once("data", (hello) => {
        socket.destroy();
        server.close();
        resolve(hello as Buffer);
      }),
    );
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      connectTls({ port, host: "127.0.0.1" }).on("error", () => {});
    });
  });
}
