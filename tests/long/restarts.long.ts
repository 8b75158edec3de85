/**
 * Twenty new versions on one port, one after the other, each beside the one before, under load of every kind: nobody notices. A stream that is refused
 * before anything was done of it, and a connection that lay in the queue of a listener that closed, are asked again, as every client does.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectClient } from "#client/client.ts";
import { BPMNService } from "#gen/portico/bpmn/v1/bpmn_pb.ts";
import { connect, unary } from "../support/grpc.ts";
import { ask, bpmnXml } from "../support/portico.ts";
import { startPostgres, type TestPostgres } from "../support/postgres.ts";
import { type Running, serve } from "../support/process.ts";

const restarts = Number(process.env.TEST_RESTARTS ?? 20);
const readers = 200;
/** Unary calls of each kind at once. */
const loops = 3;
/** How long a reader may be without its stream, in milliseconds. */
const awayMs = 5000;

const folder = mkdtempSync(path.join(tmpdir(), "portico-restarts-"));
let postgres: TestPostgres;
let flags: readonly string[];
let env: Readonly<Record<string, string>>;
const started: Running[] = [];

before(async () => {
  postgres = await startPostgres();
  env = { PORTICO_DATABASE_URL: await postgres.createDatabase() };
  flags = [
    ...["--log-level", "warn", "--reuse-port", "on"],
    ...["--rate-limit", "off", "--tenant-rate-limit", "off"],
  ];
});
after(async () => {
  for (const { child } of started) child.kill("SIGKILL");
  await postgres.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function start(ports: readonly string[]): Promise<Running> {
  const running = await serve(folder, [...flags, ...ports], { env });
  started.push(running);
  return running;
}

class Tally {
  answered = 0;
  /** Turned away before anything was done: asked again. */
  again = 0;
  readonly failed: string[] = [];
}

/** Errors of connections on which nothing was answered. */
const movedCodes = new Set(["ECONNRESET", "ECONNREFUSED", "EPIPE"]);

/** Asks until it is told to stop, again where it was turned away. */
async function keepAsking(
  tally: Tally,
  isOver: () => boolean,
  once: () => Promise<"answered" | "again" | string>,
) {
  while (!isOver()) {
    const outcome = await once();
    if (outcome === "answered") tally.answered += 1;
    else if (outcome === "again") tally.again += 1;
    else tally.failed.push(outcome);
  }
}

function http1Loop(base: string): () => Promise<string> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  return () =>
    new Promise((resolve) => {
      http
        .get(`${base}/api/v1/bpmn/kept`, { agent }, (response) => {
          response
            .resume()
            .once("end", () =>
              resolve(response.statusCode === 200 ? "answered" : `HTTP ${response.statusCode}`),
            )
            .once("error", (error) => resolve(`in the answer: ${error.message}`));
        })
        .once("error", (error: NodeJS.ErrnoException) =>
          resolve(movedCodes.has(error.code ?? "") ? "again" : error.message),
        );
    });
}

/** What is created in the last moments of a process has to be answered with where it is. */
function writeLoop(base: string, name: number): () => Promise<string> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  let count = 0;
  return () =>
    new Promise((resolve) => {
      count += 1;
      const target = `${base}/api/v1/bpmn?documentId=w-${process.pid}-${name}-${count}`;
      const headers = { "content-type": "application/json", "idempotency-key": `w-${name}-${count}` };
      const request = http.request(target, { method: "POST", agent, headers }, (response) => {
        response
          .resume()
          .once("end", () =>
            resolve(
              response.statusCode === 201 && response.headers.location !== undefined
                ? "answered"
                : `HTTP ${response.statusCode}`,
            ),
          )
          .once("error", (error) => resolve(`in the answer: ${error.message}`));
      });
      request.once("error", (error: NodeJS.ErrnoException) =>
        resolve(movedCodes.has(error.code ?? "") ? "again" : error.message),
      );
      request.end(JSON.stringify({ xml: bpmnXml() }));
    });
}

function http2Loop(base: string): () => Promise<string> {
  let session: http2.ClientHttp2Session | undefined;
  return () => {
    if (session === undefined || session.destroyed) {
      const made = http2.connect(base);
      session = made;
      // RFC 9113 section 6.8: after GOAWAY new requests go on a new connection, and what is on the old one ends there.
      made
        .on("goaway", () => {
          if (session === made) session = undefined;
          setTimeout(() => made.close(), 1000).unref();
        })
        .on("error", () => made.destroy());
    }
    const used = session;
    return new Promise((resolve) => {
      const stream = used.request({ ":path": "/api/v1/bpmn/kept" });
      let status = 0;
      stream
        .on("response", (headers) => {
          status = Number(headers[":status"]);
        })
        .resume()
        .on("error", () => undefined)
        .on("close", () => {
          if (status === 200 && stream.rstCode === 0) resolve("answered");
          else if (status === 0) resolve("again");
          else resolve(`HTTP ${status}, reset ${stream.rstCode}`);
        });
    });
  };
}

function grpcLoop(port: number): () => Promise<string> {
  const client = connect(port);
  return () =>
    unary(client, BPMNService.method.getBPMN, { id: "kept" }).then(
      () => "answered",
      (error: { code: number; message: string }) => (error.code === 14 ? "again" : error.message),
    );
}

/** What a reader has seen, and since when it has had no stream. */
class Reader {
  readonly seen = new Set<string>();
  twice = 0;
  away: number | undefined;
  longestAwayMs = 0;
  told = 0;

  take(subject: string): void {
    if (this.seen.has(subject)) this.twice += 1;
    this.seen.add(subject);
  }
  gone(): void {
    this.away ??= performance.now();
  }
  back(): void {
    if (this.away === undefined) return;
    this.longestAwayMs = Math.max(this.longestAwayMs, performance.now() - this.away);
    this.away = undefined;
  }
}

/** As a browser's EventSource: comes again with what it saw last. */
function readEvents(base: string, reader: Reader, isOver: () => boolean): void {
  let last = "";
  const open = (): void => {
    if (isOver()) return;
    const again = (): void => {
      reader.gone();
      setTimeout(open, 100 + Math.random() * 400).unref();
    };
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (last !== "") headers["last-event-id"] = last;
    http
      .get(`${base}/api/v1/events:subscribe?topics=bpmn/*`, { agent: false, headers }, (response) => {
        if (response.statusCode !== 200) {
          response.resume();
          again();
          return;
        }
        reader.back();
        let text = "";
        response
          .setEncoding("utf8")
          .on("data", (chunk: string) => {
            text += chunk;
            const blocks = text.split("\n\n");
            text = blocks.pop() ?? "";
            for (const block of blocks) {
              last = /^id: ?(.+)$/m.exec(block)?.[1] ?? last;
              if (/^event: ?error$/m.test(block)) reader.told += 1;
              const data = /^data: ?(\{.*"subject":.*\})$/m.exec(block)?.[1];
              if (data !== undefined) reader.take((JSON.parse(data) as { subject: string }).subject);
            }
          })
          .once("close", again)
          .once("error", () => undefined);
      })
      .once("error", again);
  };
  open();
}

describe("new versions on one port", () => {
  test(`${restarts} of them, and nobody notices`, { timeout: restarts * 20_000 + 60_000 }, async (t) => {
    let current = await start([]);
    const { base, grpcPort } = current;
    const ports = ["--http-port", String(new URL(base).port), "--grpc-port", String(grpcPort)];
    const kept = await ask(base, "POST", "/api/v1/bpmn?documentId=kept", { body: { xml: bpmnXml() } });
    assert.ok(kept.status < 300);

    let over = false;
    const isOver = (): boolean => over;
    const tallies = { "HTTP/1": new Tally(), "HTTP/2": new Tally(), gRPC: new Tally(), writes: new Tally() };
    const asking = Array.from({ length: loops }, () => [
      keepAsking(tallies["HTTP/1"], isOver, paced(http1Loop(base))),
      keepAsking(tallies["HTTP/2"], isOver, paced(http2Loop(base))),
      keepAsking(tallies.gRPC, isOver, paced(grpcLoop(grpcPort))),
    ]).flat();
    asking.push(keepAsking(tallies.writes, isOver, paced(writeLoop(base, 0), 40)));

    const events = Array.from({ length: readers }, () => new Reader());
    for (const reader of events) readEvents(base, reader, isOver);
    const sockets = Array.from({ length: readers }, () => new Reader());
    const clients = sockets.map((reader) => {
      const client = connectClient(base);
      void (async () => {
        const method = "portico.events.v1.EventService/Subscribe";
        for await (const event of client.follow<{ subject: string }>(method, { topics: ["bpmn/*"] }))
          reader.take(event.subject);
      })().catch(() => reader.gone());
      return client;
    });
    await sleep(2000);

    for (let round = 0; round < restarts; round += 1) {
      const old = current;
      current = await start(ports);
      old.child.kill("SIGTERM");
      const toldAtMs = performance.now();
      assert.equal(await old.ended, 0);
      const made = await ask(base, "POST", `/api/v1/bpmn?documentId=round-${round}`, {
        body: { xml: bpmnXml() },
      });
      assert.ok(made.status < 300, made.text);
      const subject = `bpmn/round-${round}`;
      const missing = (): number =>
        [...events, ...sockets].filter(({ seen }) => ![...seen].some((one) => one.includes(subject))).length;
      while (missing() > 0 && performance.now() - toldAtMs < 2 * awayMs + 10_000) await sleep(50);
      assert.equal(missing(), 0, `after restart ${round + 1} so many readers did not come back`);
      // No version is replaced in its first seconds.
      await sleep(1500);
    }
    over = true;
    await Promise.all(asking);
    for (const client of clients) client.close();

    const all = Object.entries(tallies);
    t.diagnostic(
      all
        .map(
          ([name, { answered, again, failed }]) =>
            `${name}: ${answered} answered, ${again} asked again, ${failed.length} failed`,
        )
        .join("; "),
    );
    const longest = Math.max(...events.map(({ longestAwayMs }) => longestAwayMs));
    t.diagnostic(`the longest that a reader of events was away: ${longest.toFixed(0)} ms`);
    for (const [name, { failed }] of all) assert.deepEqual(failed.slice(0, 5), [], name);
    const answered = all.reduce((sum, [, tally]) => sum + tally.answered, 0);
    const again = all.reduce((sum, [, tally]) => sum + tally.again, 0);
    assert.ok(answered > restarts * 500, `there was load: ${answered}`);
    assert.ok(again <= answered / 1000, `${again} of ${answered} were asked again`);
    assert.ok(longest <= awayMs, `${longest} ms`);
    assert.ok(
      events.every(({ told }) => told >= restarts - 1),
      "every reader was told to go each time",
    );
    assert.equal(
      [...events, ...sockets].reduce((sum, { twice }) => sum + twice, 0),
      0,
      "no event came twice",
    );
  });
});

/** A few hundred a second each: the machine also runs what is measured. */
function paced(once: () => Promise<string>, pauseMs = 2): () => Promise<string> {
  return async () => {
    const outcome = await once();
    await sleep(pauseMs);
    return outcome;
  };
}
