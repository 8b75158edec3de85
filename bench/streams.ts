/**
 * Streams and sockets: messages of 1 KiB a second over gRPC and server-sent events, a reader that stops, and what ten thousand idle WebSockets
 * cost. The server is a process of its own, and so is the peer; this process reads.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { request as requestHttp } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import path from "node:path";
import { createInterface } from "node:readline";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { WebSocket } from "ws";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { echoDescriptors } from "../tests/support/echo.ts";
import { median, type Row } from "./table.ts";

interface Served {
  readonly http: number;
  readonly grpc: number;
  residentBytes(): number;
  stop(): Promise<void>;
}

async function start(file: string): Promise<Served> {
  const child: ChildProcess = spawn(process.execPath, [path.join(import.meta.dirname, file)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ports = await new Promise<readonly string[]>((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`${file} ended with code ${code}`)));
    createInterface({ input: child.stdout! }).once("line", (line) => resolve(line.split(" ").slice(1)));
  });
  return {
    http: Number(ports[0]),
    grpc: Number(ports[1]),
    residentBytes: () =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1] ?? 0) * 1024,
    stop: async () => {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), 3000);
      await gone;
      clearTimeout(late);
    },
  };
}

const text = "x".repeat(1010);
const planOf = (count: number): string => JSON.stringify({ count });

/** Messages a second of one gRPC server stream. */
function grpcStream(desc: DescMessage): (server: Served, count: number) => Promise<number> {
  const message = toBinary(desc, create(desc, { text } as MessageInitShape<DescMessage>));
  const framed = Buffer.concat([Buffer.alloc(5), message]);
  framed.writeUInt32BE(message.length, 1);
  return (server, count) =>
    new Promise((resolve, reject) => {
      const session = connectHttp2(`http://127.0.0.1:${server.grpc}`, {
        settings: { initialWindowSize: 1024 * 1024 },
      });
      session.on("error", reject);
      const started = performance.now();
      const stream = session.request({
        ":method": "POST",
        ":path": "/test.v1.Echo/ServerStream",
        "content-type": "application/grpc",
        te: "trailers",
        "echo-plan": planOf(count),
      });
      let bytes = 0;
      stream.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
      stream.on("end", () => {
        session.close();
        const perMessage = framed.length;
        if (bytes !== perMessage * count) reject(new Error(`${bytes} bytes came, not ${perMessage * count}`));
        else resolve((count / (performance.now() - started)) * 1000);
      });
      stream.end(framed);
    });
}

/** Messages a second of one stream of server-sent events. */
function sseStream(server: Served, count: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const request = requestHttp(
      `http://127.0.0.1:${server.http}/v1/stream`,
      {
        method: "POST",
        headers: {
          "content-type": "application/json",
          accept: "text/event-stream",
          "echo-plan": planOf(count),
        },
      },
      (response) => {
        let events = 0;
        let last = 0;
        response.on("data", (chunk: Buffer) => {
          // Each message is one line that begins so; a chunk may end within it.
          for (let at = chunk.indexOf("\n\n"); at !== -1; at = chunk.indexOf("\n\n", at + 2)) events += 1;
          last = chunk.at(-1) ?? 0;
        });
        response.on("end", () => {
          if (events < count * 0.99 || last !== 10) reject(new Error(`${events} events came, not ${count}`));
          else resolve((count / (performance.now() - started)) * 1000);
        });
      },
    );
    request.on("error", reject);
    request.end(JSON.stringify({ text }));
  });
}

async function idleSockets(server: Served, count: number): Promise<Row[]> {
  const before = server.residentBytes();
  const started = performance.now();
  const sockets: WebSocket[] = [];
  for (let at = 0; at < count; at += 200)
    await Promise.all(
      Array.from({ length: Math.min(200, count - at) }, () => {
        const socket = new WebSocket(`ws://127.0.0.1:${server.http}/ws`, ["portico.v1+json"]);
        sockets.push(socket);
        return new Promise<void>((resolve, reject) => {
          socket.on("error", reject);
          // The init keeps it; what it is answered shows that it is open for calls.
          socket.on("open", () => socket.send('{"init":{}}'));
          socket.once("message", () => resolve());
        });
      }),
    );
  const seconds = (performance.now() - started) / 1000;
  const each = (server.residentBytes() - before) / count / 1024;
  for (const socket of sockets) socket.terminate();
  return [
    { what: `${count} WebSockets opened (s)`, target: "<= 5", value: seconds, digits: 1 },
    { what: `an idle WebSocket, of ${count} (KB)`, target: "<= 12", value: each, digits: 1 },
  ];
}

/** How much the server grows from the first to the third second in which the reader of an endless stream takes nothing, in MB. */
async function slowReader(server: Served): Promise<Row> {
  const request = requestHttp(`http://127.0.0.1:${server.http}/v1/stream`, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "text/event-stream", "echo-plan": planOf(1e9) },
  });
  request.on("error", () => {});
  request.on("response", (response) => response.once("data", () => response.pause()));
  request.end(JSON.stringify({ text }));
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const before = server.residentBytes();
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const grown = (server.residentBytes() - before) / 1e6;
  request.destroy();
  return {
    what: "resident memory that a stopped reader of server-sent events costs (MB)",
    target: "flat",
    value: grown,
    digits: 1,
  };
}

export async function measureStreams(smoke: boolean, rounds: number): Promise<Row[]> {
  const desc = loadCatalog({ descriptorSet: echoDescriptors() }).registry.getMessage("test.v1.Everything")!;
  const scale = smoke ? 0.02 : 1;
  const kinds = [
    {
      what: "gRPC server stream, messages of 1 KiB / bare node:http2",
      target: ">= 100,000/s",
      count: 200_000 * scale,
      run: grpcStream(desc),
    },
    {
      what: "server-sent events, messages of 1 KiB / bare node:http + toJson",
      target: ">= 60,000/s",
      count: 200_000 * scale,
      run: sseStream,
    },
  ];
  const rows: Row[] = [];
  const [portico, peer] = [await start("stream-server.ts"), await start("peers/streams.ts")];
  try {
    for (const { what, target, count, run } of kinds) {
      const ours: number[] = [];
      const theirs: number[] = [];
      if (!smoke) await run(portico, count / 4);
      if (!smoke) await run(peer, count / 4);
      for (let round = 0; round < rounds; round += 1) {
        ours.push(await run(portico, count));
        theirs.push(await run(peer, count));
      }
      rows.push({
        ...{ what, target, ours: median(ours), theirs: median(theirs) },
        ratios: ours.map((one, at) => one / (theirs[at] ?? Number.NaN)),
      });
    }
    rows.push(await slowReader(portico));
    rows.push(...(await idleSockets(portico, smoke ? 100 : 10_000)));
  } finally {
    await portico.stop();
    await peer.stop();
  }
  return rows;
}
