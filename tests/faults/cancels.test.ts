/** Ten thousand clients that change their mind: every handler hears of it and ends, and no timer, socket or stream of theirs stays. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connectDriver } from "../support/connect-driver.ts";
import type { Driver, Kind } from "../support/drivers.ts";
import { type EchoServer, startEcho } from "../support/echo.ts";
import { graphqlDriver, graphqlSocketDriver } from "../support/graphql-driver.ts";
import { grpcJsDriver } from "../support/grpc-driver.ts";
import { mcpDriver } from "../support/mcp-driver.ts";
import { restDriver } from "../support/rest-driver.ts";
import { webSocketDriver } from "../support/websocket-driver.ts";

const inAll = 10_000;
/** At once on one connection, and in all: more resets than 200 on one look like an attack, and end it. */
const atOnce = 50;
const onOneConnection = 150;
/** What the process has open, by kind. */
function open(): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

interface Way {
  readonly name: string;
  readonly kinds: readonly Kind[];
  open(echo: EchoServer): Driver;
}

const everyKind: readonly Kind[] = ["unary", "server_stream", "client_stream", "bidi_stream"];
/** Of one request, where a protocol has no form for more. */
const oneRequest: readonly Kind[] = ["unary", "server_stream"];
const compression = "identity";

const versions = [
  { http: 2, over: "h2c" },
  { http: 1, over: "HTTP/1" },
] as const;

const ways: readonly Way[] = [
  {
    ...{ name: "gRPC", kinds: everyKind },
    open: (echo) => grpcJsDriver(echo, { port: echo.grpcPort, compression }),
  },
  {
    ...{ name: "WebSocket", kinds: everyKind },
    open: (echo) => webSocketDriver(echo, { port: echo.httpPort, json: true, shared: true }),
  },
  {
    ...{ name: "GraphQL on a WebSocket", kinds: oneRequest },
    open: (echo) => graphqlSocketDriver({ port: echo.httpPort }),
  },
  ...versions.flatMap(({ http, over }): Way[] => [
    {
      ...{ name: `REST over ${over}`, kinds: everyKind },
      open: ({ httpPort: port }) => restDriver({ port, compression, http, form: "events", proto: false }),
    },
    ...(["connect", "grpc-web"] as const).map((protocol) => ({
      ...{ name: `${protocol} over ${over}`, kinds: everyKind },
      open: (echo: EchoServer) =>
        connectDriver(echo, { port: echo.httpPort, compression, protocol, http, json: false }),
    })),
    {
      // A subscription is events; so may be the answer to a mutation.
      ...{ name: `GraphQL over ${over}`, kinds: oneRequest },
      open: ({ httpPort: port }) => graphqlDriver({ port, compression, http, events: true }),
    },
    {
      ...{ name: `MCP over ${over}`, kinds: oneRequest },
      open: ({ httpPort: port }) => mcpDriver({ port, compression, http, revision: "2025-11-25" }),
    },
  ]),
];
/** The same number of every way, in whole rounds: together no fewer than all. */
const each = Math.ceil(inAll / ways.length / atOnce) * atOnce;

test(`${inAll} cancels leave nothing behind`, { timeout: 60_000 }, async (t) => {
  const before = open();
  const echo = await startEcho();
  t.after(() => echo.close());
  const running = new Set<string>();
  let longestMs = 0;
  let canceled = 0;
  for (const { name, kinds, open: make } of ways) {
    let driver = make(echo);
    let count = 0;
    const one = async (): Promise<void> => {
      const kind = kinds[count % kinds.length] ?? "unary";
      count += 1;
      const id = `cancel-${name.replaceAll(/\W/g, "-")}-${count}`;
      // With a deadline far away: its timer has to go too.
      const call = driver.open({ kind, id, plan: { wait: true }, timeoutMs: 250_000 });
      call.send("a");
      // Over HTTP/1 a client that leaves is heard of where nothing of its request is left to be read.
      if (kind === "unary" || kind === "server_stream" || name.startsWith("REST") || name.endsWith("HTTP/1"))
        call.endSending();
      const probe = await echo.probe(id);
      running.add(id);
      void probe.over.then(() => running.delete(id));
      const since = performance.now();
      call.cancel();
      await probe.over;
      // By the client's leaving, and not by an end of its own.
      assert.equal((await probe.canceled).code, "canceled", name);
      canceled += 1;
      longestMs = Math.max(longestMs, performance.now() - since);
    };
    while (count < each) {
      await Promise.all(Array.from({ length: atOnce }, one));
      if (count % onOneConnection !== 0) continue;
      driver.close();
      driver = make(echo);
    }
    driver.close();
  }
  assert.deepEqual([...running], []);
  assert.ok(canceled >= inAll, `${canceled} were canceled`);
  t.diagnostic(
    `${canceled} in ${ways.length} ways; a handler was over at most ${longestMs.toFixed(0)} ms after its client left`,
  );
  await sleep(200);
  const timers = (counts: Readonly<Record<string, number>>): number => counts.Timeout ?? 0;
  const sockets = (counts: Readonly<Record<string, number>>): number => counts.TCPSocketWrap ?? 0;
  const now = open();
  // One for each of what is bounded by the server and not by its calls: its own checks, and this test's sleep.
  assert.ok(timers(now) - timers(before) < 10, `${timers(before)} timers before, ${timers(now)} after`);
  await echo.close();
  await sleep(200);
  const end = open();
  assert.ok(sockets(end) <= sockets(before), `${sockets(before)} sockets before, ${sockets(end)} after`);
  assert.ok(timers(end) <= timers(before) + 1, `${timers(before)} timers before, ${timers(end)} after`);
});
