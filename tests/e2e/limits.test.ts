/**
 * The options that say how much a client may take: the same defaults wherever they are read, and an effect of each that can be seen at once.
 * Long because it is one table with a row for each option, and a test that none lacks its row.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type ClientHttp2Session, connect as connectHttp2, constants } from "node:http2";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { defaultLimits, limitNames } from "#config/limits.ts";
import { defaultLimits as graphqlDefaults } from "#gateway/ingress/graphql/limits.ts";
import { defaultMaxBatch } from "#gateway/ingress/graphql/request.ts";
import { defaultLimits as listenerDefaults } from "#gateway/ingress/limits.ts";
import { defaultMaxEnvelope } from "#gateway/ingress/mcp/body.ts";
import { defaultRestLimits } from "#gateway/ingress/rest/read.ts";
import { defaultWebSocketLimits } from "#gateway/ingress/websocket/websocket.ts";
import { defaultPageSizes } from "#rpc/resource.ts";
import { defaultPostgresLimits } from "#storage/postgres.ts";
import { callGrpc, frame } from "../faults/bad-input.ts";
import { exchangeBytes, sendHttp1 } from "../support/http-case.ts";
import { ask, bpmnXml, reasonOf, startPortico, type TestPortico } from "../support/portico.ts";
import { close, more, Raw, frame as socketFrame, text } from "../support/websocket-bytes.ts";

test("the parts' own defaults are those of the options", () => {
  const options: Readonly<Record<string, number>> = defaultLimits;
  // The drain is not the clients' to stretch.
  for (const [name, value] of Object.entries({ ...listenerDefaults, ...defaultRestLimits }))
    if (!name.startsWith("drain")) assert.equal(options[name], value, name);
  const { maxDepth, maxAliases, maxTokens, maxCost } = graphqlDefaults;
  const { graphqlMaxDepth, graphqlMaxAliases, graphqlMaxTokens, graphqlMaxCost } = defaultLimits;
  assert.deepEqual(
    [maxDepth, maxAliases, maxTokens, maxCost],
    [graphqlMaxDepth, graphqlMaxAliases, graphqlMaxTokens, graphqlMaxCost],
  );
  const sockets = defaultWebSocketLimits;
  assert.deepEqual(
    [
      sockets.maxSockets,
      sockets.maxFrameBytes,
      sockets.maxFragments,
      sockets.maxControlFrames,
      sockets.controlWindowMs,
      sockets.initMs,
    ],
    [
      defaultLimits.maxSockets,
      defaultLimits.maxFrameBytes,
      defaultLimits.maxFragments,
      defaultLimits.maxSocketControls,
      defaultLimits.socketControlWindowMs,
      defaultLimits.socketInitMs,
    ],
  );
  assert.equal(sockets.heartbeatMs, defaultLimits.heartbeatMs);
  assert.deepEqual(
    [sockets.maxHeaders, sockets.maxHeaderBytes],
    [defaultLimits.maxHeaders, defaultLimits.maxHeaderBytes],
  );
  assert.equal(sockets.maxWaitingBytes, defaultLimits.maxWaitingBytes);
  assert.deepEqual(
    [sockets.maxDepth, sockets.maxJsonDepth, sockets.maxElements],
    [defaultLimits.maxDepth, defaultLimits.maxJsonDepth, defaultLimits.maxElements],
  );
  assert.deepEqual(
    [defaultMaxBatch, defaultMaxEnvelope],
    [defaultLimits.graphqlMaxBatch, defaultLimits.mcpMaxEnvelope],
  );
  assert.deepEqual(defaultPageSizes, { usual: defaultLimits.pageSize, most: defaultLimits.maxPageSize });
  assert.deepEqual(defaultPostgresLimits, {
    poolSize: defaultLimits.databasePoolSize,
    acquireMs: defaultLimits.databaseAcquireMs,
    statementMs: defaultLimits.databaseStatementMs,
    lockMs: defaultLimits.databaseLockMs,
    idleInTransactionMs: defaultLimits.databaseIdleMs,
  });
});

const list = "/api/v1/bpmn";
const create = (portico: TestPortico, body: string) =>
  ask(portico.base, "POST", list, { body, headers: { "content-type": "application/json" } });
const graphql = async (portico: TestPortico, query: string) =>
  (await ask(portico.base, "POST", "/graphql", { body: { query } })).text;

async function mcp(portico: TestPortico, params: string): Promise<string> {
  const body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":${params}}`;
  const headers = { accept: "application/json, text/event-stream", "content-type": "application/json" };
  return (await ask(portico.base, "POST", "/mcp", { body, headers })).text;
}

/** An object of so many keys. */
const keys = (count: number): string => `{${Array.from({ length: count }, (_unused, at) => `"${at}":""`)}}`;

/** What is said of a JSON object that comes by REST, Connect, GraphQL and MCP. */
async function everyJson(portico: TestPortico, json: string): Promise<readonly string[]> {
  const headers = { "content-type": "application/json" };
  const query = `{"query":"{ __typename }","variables":${json}}`;
  return [
    (await create(portico, `{"labels":${json}}`)).text,
    (
      await ask(portico.base, "POST", "/portico.bpmn.v1.BPMNService/CreateBPMN", {
        ...{
          body: `{"document":{"labels":${json}}}`,
          headers: { ...headers, "connect-protocol-version": "1" },
        },
      })
    ).text,
    (await ask(portico.base, "POST", "/graphql", { body: query, headers })).text,
    await mcp(portico, `{"name":"list_bpmn","arguments":${json}}`),
  ];
}

async function raw(portico: TestPortico, sent: string): Promise<string> {
  return (await exchangeBytes(portico.httpPort, Buffer.from(sent))).bytes.toString("latin1");
}

/** What a client sees of an option that is set to the value. */
const effects: readonly (readonly [string, string, (portico: TestPortico) => Promise<unknown>, unknown])[] = [
  [
    "maxHeaderBytes",
    "1024",
    (p) => raw(p, `GET /livez HTTP/1.1\r\nHost: a\r\nX: ${"a".repeat(1100)}\r\n\r\n`),
    /^HTTP\/1.1 431/,
  ],
  [
    "maxHeaders",
    "12",
    (p) => raw(p, `GET /livez HTTP/1.1\r\nHost: a\r\n${"X: a\r\n".repeat(12)}\r\n`),
    /^HTTP\/1.1 431/,
  ],
  ["maxUrlBytes", "256", async (p) => (await ask(p.base, "GET", `/${"a".repeat(256)}`)).status, 414],
  [
    "maxQueryParameters",
    "2",
    async (p) => (await ask(p.base, "GET", `${list}?pageSize=1&orderBy=id&filter=`)).json.message,
    /more than the 2 parameters/,
  ],
  ["headersTimeoutMs", "100", (p) => raw(p, "GET /livez HTTP/1.1\r\n"), /^HTTP\/1.1 408/],
  [
    "requestTimeoutMs",
    "150",
    (p) =>
      raw(
        p,
        `POST ${list} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n`,
      ),
    /^HTTP\/1.1 408/,
  ],
  ["keepAliveMs", "100", (p) => raw(p, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"), /^HTTP\/1.1 200/],
  [
    "maxRequestsPerConnection",
    "1",
    async (p) => (await fetch(`${p.base}/livez`)).headers.get("connection"),
    "close",
  ],
  ["http2MaxStreams", "3", (p) => remoteSetting(p, "maxConcurrentStreams"), 3],
  ["http2StreamWindowBytes", "20000", (p) => remoteSetting(p, "initialWindowSize"), 20_000],
  ["http2ConnectionWindowBytes", "200000", connectionWindow, 200_000],
  ["http2FirstRequestTimeoutMs", "100", goneAfter, true],
  ["http2IdleTimeoutMs", "100", (p) => goneAfter(p, "httpPort", "/livez"), true],
  ["grpcIdleTimeoutMs", "100", (p) => goneAfter(p, "grpcPort", "/a.B/C"), true],
  ["maxMessageBytes", "1024", (p) => grpcCode(p, Buffer.alloc(1025)), 8],
  ["maxJsonBytes", "1024", tooLarge, "413 413 413"],
  [
    "maxRawBytes",
    "1024",
    async (p) =>
      (
        await ask(p.base, "POST", "/api/v1/bpmn:upload", {
          body: "a".repeat(2000),
          headers: { "content-type": "application/xml" },
        })
      ).status,
    400,
  ],
  [
    "maxElements",
    "100",
    async (p) =>
      (await everyJson(p, keys(101))).map((text) => /more than 100 elements/.exec(text)?.[0]).join(),
    Array(4).fill("more than 100 elements").join(),
  ],
  [
    "maxDepth",
    "5",
    (p) => grpcCode(p, Buffer.concat(Array.from({ length: 7 }, () => Buffer.from([0x9b, 0x3f])))),
    3,
  ],
  [
    "maxJsonDepth",
    "5",
    async (p) =>
      (await everyJson(p, '{"a":[[[[[[]]]]]]}')).map((text) => /deeper than 5 levels/.exec(text)?.[0]).join(),
    Array(4).fill("deeper than 5 levels").join(),
  ],
  ["maxFrameBytes", "1024", (p) => socketCode(p, socketFrame(text, " ".repeat(1025))), 1009],
  ["maxFragments", "2", (p) => socketCode(p, pieces(3)), 1008],
  [
    "socketInitMs",
    "100",
    async (p) =>
      `${await socketCode(p, Buffer.alloc(0))} ${await socketCode(p, Buffer.alloc(0), "/graphql", "graphql-transport-ws")}`,
    "4408 4408",
  ],
  [
    "graphqlMaxDepth",
    "2",
    (p) => graphql(p, "{ listBPMN { documents { metadata { exporter } } } }"),
    /nested fields/,
  ],
  ["graphqlMaxAliases", "0", (p) => graphql(p, "{ a: listBPMN { nextPageToken } }"), /aliases/],
  ["graphqlMaxTokens", "20", (p) => graphql(p, `{ ${"__typename ".repeat(20)} }`), /token/i],
  [
    "graphqlMaxBatch",
    "2",
    async (p) =>
      (await ask(p.base, "POST", "/graphql", { body: Array(3).fill({ query: "{ __typename }" }) })).text,
    /a batch has 1 to 2 operations; this one has 3/,
  ],
  ["mcpMaxEnvelope", "100", (p) => mcp(p, `{"name":"get_bpmn","_meta":${keys(101)}}`), /TOO_MANY_ELEMENTS/],
  ["graphqlMaxCost", "1", (p) => graphql(p, 'mutation { deleteBPMN(id: "a") }'), /cost/],
];

/** Those that would be in the way of the others. */
const alone: readonly (readonly [string, string, (portico: TestPortico) => Promise<unknown>, unknown])[] = [
  ["deadlineMs", "400", (p) => waited(p, {}), "deadline_exceeded after 400 ms"],
  [
    "maxDeadlineMs",
    "600",
    (p) => waited(p, { "connect-timeout-ms": "60000" }),
    "deadline_exceeded after 600 ms",
  ],
  ["pageSize", "2", (p) => listed(p, ""), [2, 2, 2]],
  ["maxPageSize", "3", (p) => listed(p, "?pageSize=1000"), [3, 3, 3]],
  ["maxInflation", "10", async (p) => [await inflated(p, 9), await inflated(p, 11)], [200, 413]],
  ["inflationFreeBytes", "1024", async (p) => [await inflated(p, 150, 0), await inflated(p, 0)], [413, 200]],
  [
    "maxEventBytes",
    "1024",
    (p) => queried(p),
    /^event: next\ndata: .{0,400}"EVENT_TOO_LARGE".{0,100}\n\nevent: complete/,
  ],
  ["http2MaxRejectedStreams", "2", (p) => rejected(p), "closed after a few"],
  ["http2MaxAgeMs", "500", (p) => aged(p), "told to go, and closed"],
  ["http2AgeGraceMs", "700", (p) => outlived(p), true],
];

/** Shown by limits-of-connections.test.ts, limits-of-sign-in.test.ts, tests/faults/attacks.test.ts, which shortens or provokes them, by websocket.test.ts, and on PostgreSQL by tests/engines. */
const elsewhere = [
  ...["stalledTimeoutMs", "http2HeaderBlockTimeoutMs", "http2MaxControlFrames", "http2MaxIdleBytes"],
  ...["http2MaxInvalidFrames", "http2ResetBurst", "http2ResetsPerSecond", "http2MaxSessionMemory"],
  ...["http2PingAfterMs", "maxSockets", "maxSocketControls", "heartbeatMs", "maxWaitingBytes"],
  ...["timeoutCheckMs", "http2ControlWindowMs", "http2PingTimeoutMs", "http2AgeJitterPercent"],
  ...["socketControlWindowMs", "signInsPerAccount", "signInsPerAddress", "signInWindowMs"],
  ...["databasePoolSize", "databaseAcquireMs", "databaseStatementMs", "databaseLockMs", "databaseIdleMs"],
];

describe("an option has an effect", () => {
  let portico: TestPortico;
  before(async () => {
    const flags = Object.fromEntries(effects.map(([name, value]) => [name, value]));
    portico = await startPortico({ ...flags, unknownFields: "ignore" });
  });
  after(() => portico.stop());

  for (const [name, value, see, expected] of effects)
    test(`${name} ${value}`, async () => {
      const seen = await see(portico);
      if (expected instanceof RegExp) assert.match(String(seen), expected);
      else assert.equal(seen, expected);
    });

  test("a request that was answered before all of it had come gets no second answer", async () => {
    const answer = await raw(portico, `POST ${list} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n`);
    assert.deepEqual(answer.match(/HTTP\/1\.1 \d+/g), ["HTTP/1.1 415"]);
  });

  test("and every option is here or there", () => {
    const shown = [...effects, ...alone].map(([name]) => name);
    assert.deepEqual([...shown, ...elsewhere].sort(), [...limitNames].sort());
  });
});

describe("an option has an effect on its own", () => {
  for (const [name, value, see, expected] of alone)
    test(`${name} ${value}`, async () => {
      const age = name === "http2AgeGraceMs" ? { http2MaxAgeMs: "300" } : {};
      const least = name === "maxDeadlineMs" ? { deadlineMs: "500" } : {};
      const little =
        name === "http2MaxRejectedStreams" ? { http2MaxStreams: "10000", http2MaxSessionMemory: "1" } : {};
      const portico = await startPortico({ [name]: value, ...age, ...least, ...little });
      try {
        const seen = await see(portico);
        if (expected instanceof RegExp) assert.match(String(seen), expected);
        else assert.deepEqual(seen, expected);
      } finally {
        await portico.stop();
      }
    });

  test("a default deadline over the longest one is a mistake", async () => {
    await assert.rejects(
      startPortico({ maxDeadlineMs: "1000" }),
      /PORTICO_DEADLINE_MAXIMUM_MS is 1000 and PORTICO_DEADLINE_DEFAULT_MS is 15000: .*raise the one or lower the other/,
    );
  });

  test("a client that goes without a word holds nothing", async () => {
    const portico = await startPortico();
    try {
      const socket = connectTcp(portico.httpPort, "127.0.0.1");
      await new Promise((resolve) => socket.once("connect", resolve));
      const startedAtMs = performance.now();
      socket.end().resume();
      await new Promise((resolve) => socket.once("close", resolve));
      assert.ok(performance.now() - startedAtMs < 2000);
    } finally {
      await portico.stop();
    }
  });

  test("a connection over the cap is closed, and counted", async () => {
    const portico = await startPortico({ maxConnections: "2" });
    const held = [portico.grpcPort, portico.httpPort].map((port) => connectTcp(port, "127.0.0.1"));
    try {
      await Promise.all(held.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
      await sleep(50);
      for (const port of [portico.grpcPort, portico.httpPort])
        await new Promise<void>((resolve) => {
          connectTcp(port, "127.0.0.1")
            .on("error", () => {})
            .once("close", () => resolve())
            .resume();
        });
      held[0]?.destroy();
      await sleep(50);
      const { text: metrics } = await ask(portico.base, "GET", "/metrics");
      assert.match(metrics, /^portico_shed_total\{what="connection",why="number"\} 2$/m);
    } finally {
      for (const socket of held) socket.destroy();
      await portico.stop();
    }
  });

  test("a call over the cap is refused, and counted with what there was too much of", async () => {
    const portico = await startPortico({ maxConcurrentCalls: "1", adaptiveConcurrency: "off" });
    try {
      const upload = (name: string) =>
        ask(portico.base, "POST", `/api/v1/bpmn?documentId=${name}`, { body: { xml: bpmnXml() } });
      const answers = await Promise.all(Array.from({ length: 8 }, (_unused, at) => upload(`d${at}`)));
      const shed = answers.filter((answer) => reasonOf(answer) === "OVERLOADED").length;
      assert.ok(shed > 0, answers.map(({ status }) => status).join());
      const { text: metrics } = await ask(portico.base, "GET", "/metrics");
      assert.match(
        metrics,
        new RegExp(`^portico_shed_total\\{what="call",why="concurrency"\\} ${shed}$`, "m"),
      );
      assert.match(metrics, new RegExp(`^portico_errors_total\\{reason="OVERLOADED"\\} ${shed}$`, "m"));
    } finally {
      await portico.stop();
    }
  });
});

const connectCall = (p: TestPortico, method: string, body: unknown, headers: Record<string, string> = {}) =>
  ask(p.base, "POST", `/${method}`, {
    body,
    headers: { "content-type": "application/json", "connect-protocol-version": "1", ...headers },
  });

/** Waits for an event that does not come. */
async function waited(portico: TestPortico, headers: Record<string, string>): Promise<string> {
  const started = performance.now();
  const answer = await connectCall(
    portico,
    "portico.events.v1.EventService/ListEvents",
    { filter: 'type = "none"', wait: "30s" },
    headers,
  );
  assert.ok(performance.now() - started < 5000);
  const [, ms] = /its deadline of (\d+) ms/.exec(answer.text) ?? [];
  return `${answer.json.code} after ${ms} ms`;
}

/** How many entries lists have of which there are more: one a service. */
async function listed(portico: TestPortico, query: string): Promise<number[]> {
  for (let n = 0; n < 5; n += 1) {
    await ask(portico.base, "POST", `${list}?documentId=d${n}`, { body: { xml: bpmnXml() } });
    await ask(portico.base, "POST", `/api/v1/users?userId=u${n}`, {
      body: { displayName: "one", email: `u${n}@example.org` },
    });
  }
  const sizes: number[] = [];
  for (const [path, field] of [
    [list, "documents"],
    ["/api/v1/users", "users"],
    ["/api/v1/events", "events"],
  ] as const)
    sizes.push((await ask(portico.base, "GET", path + query)).json[field]?.length);
  return sizes;
}

/** A body that gzip makes so many times smaller. */
async function inflated(portico: TestPortico, times: number, words = 1500): Promise<number> {
  const noise = Array.from({ length: words }, () => Math.random().toString(36).slice(2)).join("");
  const text = (filled: number) => JSON.stringify({ id: "none", xml: noise + "a".repeat(filled) });
  let filled = 0;
  while (text(filled).length / gzipSync(text(filled)).length < times) filled += 2000;
  const answer = await ask(portico.base, "POST", "/api/v1/bpmn:validate", {
    body: gzipSync(JSON.stringify({ xml: JSON.parse(text(filled)).xml })),
    headers: { "content-type": "application/json", "content-encoding": "gzip" },
  });
  return answer.status;
}

async function queried(portico: TestPortico): Promise<string> {
  const query = "{ __schema { types { name description } } }";
  const headers = { accept: "text/event-stream" };
  return (await ask(portico.base, "POST", "/graphql", { body: { query }, headers })).text;
}

const get = (session: ClientHttp2Session, target: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const stream = session.request({ ":path": target });
    stream.on("response", (headers) => resolve(Number(headers[":status"])));
    stream.on("error", reject).resume();
  });

/** A connection that is never idle. */
async function aged(portico: TestPortico): Promise<string> {
  const session = connectHttp2(portico.base);
  session.on("error", () => {});
  const goaways: number[] = [];
  const startedAtMs = performance.now();
  const closed = new Promise((resolve) => session.once("close", resolve));
  session.on("goaway", (code, last) => goaways.push(code, last));
  while (goaways.length === 0) {
    // What crosses the news on its way is refused by node's own client; clients send it again.
    const status = await get(session, "/livez").catch(() => undefined);
    if (status === undefined) await sleep(50);
    else assert.equal(status, 200);
    assert.ok(status !== undefined || goaways.length > 0);
    assert.ok(performance.now() - startedAtMs < 3000, "nobody told it to go");
    await sleep(5);
  }
  // 10 % less and more than 500 ms, and one look.
  const ageMs = performance.now() - startedAtMs;
  assert.ok(ageMs > 430 && ageMs < 1500, `${ageMs} ms`);
  assert.deepEqual(goaways.slice(0, 2), [constants.NGHTTP2_NO_ERROR, 2 ** 31 - 1]);
  await closed;
  assert.ok(performance.now() - startedAtMs < 3000);
  return "told to go, and closed";
}

/** A stream goes on until the grace is over. */
async function outlived(portico: TestPortico): Promise<boolean> {
  const session = connectHttp2(portico.base);
  session.on("error", () => {});
  const startedAtMs = performance.now();
  const stream = session.request({
    ":path": "/api/v1/events:subscribe?topics=bpmn/*",
    accept: "text/event-stream",
  });
  stream.on("error", () => {}).resume();
  await new Promise((resolve) => stream.once("close", resolve));
  const livedMs = performance.now() - startedAtMs;
  assert.ok(livedMs > 300 * 0.9 + 700 && livedMs < 3000, `${livedMs} ms`);
  await new Promise((resolve) => (session.destroyed ? resolve(undefined) : session.once("close", resolve)));
  return true;
}

/** Of JSON over REST, GraphQL and MCP. */
async function tooLarge(portico: TestPortico): Promise<string> {
  const body = `{"id":"${"a".repeat(1024)}"}`;
  const headers = { "content-type": "application/json" };
  const statuses: number[] = [];
  for (const target of [list, "/graphql", "/mcp"])
    statuses.push((await ask(portico.base, "POST", target, { body, headers })).status);
  return statuses.join(" ");
}

function remoteSetting(
  { httpPort }: TestPortico,
  name: "maxConcurrentStreams" | "initialWindowSize",
): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`http://127.0.0.1:${httpPort}`);
    session.on("error", reject);
    session.on("remoteSettings", (settings) => {
      session.close();
      resolve(settings[name]);
    });
  });
}

/** What a client may send before anything of it is read. */
async function connectionWindow({ httpPort }: TestPortico): Promise<number | undefined> {
  const session = connectHttp2(`http://127.0.0.1:${httpPort}`);
  await new Promise((resolve, reject) => session.on("error", reject).once("remoteSettings", resolve));
  const usual = 65_535;
  for (let looks = 0; looks < 100 && session.state.remoteWindowSize === usual; looks += 1) await sleep(10);
  const { remoteWindowSize } = session.state;
  session.close();
  return remoteWindowSize;
}

/** Opens calls that never end until the connection's memory is full, and goes on. */
async function rejected({ httpPort }: TestPortico): Promise<string> {
  const session = connectHttp2(`http://127.0.0.1:${httpPort}`, { maxSessionMemory: 100 });
  const closed = new Promise((resolve) => session.on("error", () => {}).once("close", resolve));
  await new Promise((resolve) => session.once("remoteSettings", resolve));
  let refused = 0;
  for (let opened = 0; opened < 3000; opened += 1) {
    const stream = session.request({
      ...{ ":method": "POST", ":path": list, "content-type": "application/json" },
    });
    stream.on("error", () => {}).resume();
    stream.on("close", () => {
      if (stream.rstCode === constants.NGHTTP2_ENHANCE_YOUR_CALM) refused += 1;
    });
  }
  await closed;
  // The default is 20.
  return refused > 0 && refused < 10 ? "closed after a few" : `closed after ${refused}`;
}

/** Whether a connection goes within a second, after a request where there is one. */
function goneAfter(
  portico: TestPortico,
  port: "httpPort" | "grpcPort" = "httpPort",
  path?: string,
): Promise<boolean> {
  return new Promise((resolve) => {
    const session = connectHttp2(`http://127.0.0.1:${portico[port]}`);
    const late = setTimeout(() => {
      session.destroy();
      resolve(false);
    }, 3000);
    session.on("error", () => {});
    session.on("close", () => {
      clearTimeout(late);
      resolve(true);
    });
    if (path === undefined) return;
    const stream = session.request({ ":path": path, ":method": "GET" });
    stream.on("error", () => {}).resume();
  });
}

async function grpcCode({ grpcPort }: TestPortico, message: Buffer): Promise<number> {
  const path = "/portico.bpmn.v1.BPMNService/GetBPMN";
  return (await callGrpc(grpcPort, path, { body: frame(message), headers: {} })).code;
}

async function socketCode(
  { httpPort }: TestPortico,
  sent: Buffer,
  path = "/ws",
  protocol = "portico.v1+json",
): Promise<number | undefined> {
  const headers = [`Sec-WebSocket-Protocol: ${protocol}`];
  const socket = await new Raw(httpPort, path, undefined, headers).opened();
  socket.socket.write(sent);
  await socket.until(() => socket.ended);
  return socket.frames.findLast(({ opcode }) => opcode === close)?.payload.readUInt16BE(0);
}

function pieces(count: number): Buffer {
  return Buffer.concat(
    Array.from({ length: count }, (_unused, at) =>
      socketFrame(at === 0 ? text : more, " ", { fin: at === count - 1 }),
    ),
  );
}

/** Of every answer, whatever made it (trust's C.7). */
const everywhere: Readonly<Record<string, RegExp>> = {
  "cache-control": /no-store|no-cache/,
  "content-security-policy": /^default-src 'none'; (.+; )?frame-ancestors 'none'$/,
  "cross-origin-resource-policy": /^same-origin$/,
  "referrer-policy": /^no-referrer$/,
  "x-content-type-options": /^nosniff$/,
  "x-frame-options": /^DENY$/,
};
const apiPolicy = "default-src 'none'; frame-ancestors 'none'";

test("every answer over HTTP has the headers that keep browsers from doing harm with it, and none that tells what made it", async () => {
  const portico = await startPortico();
  const json = { "content-type": "application/json" };
  const post = (target: string, headers: object, body = "{}") => ({
    ...{ method: "POST", target, body: Buffer.from(body) },
    headers: Object.entries({ ...json, ...headers }) as [string, string][],
  });
  const get = (target: string, headers: object = {}) => ({
    ...{ method: "GET", target, body: undefined },
    headers: Object.entries(headers) as [string, string][],
  });
  const method = "/portico.bpmn.v1.BPMNService/ListBPMN";
  try {
    for (const request of [
      ...[get(list), get("/nothing"), get("/docs"), get("/openapi.json"), get("/livez"), get("/metrics")],
      ...[get(`/${"a".repeat(9000)}`), post(list, {}, "{"), get(list, { accept: "image/png" })],
      ...[post(method, {}), post(method, { "connect-protocol-version": "1" })],
      ...[
        post("/a.B/C", { "connect-protocol-version": "1" }),
        post("/graphql", {}, '{"query":"{ __typename }"}'),
      ],
      ...[post("/graphql", {}, "{"), post("/mcp", {}, "{"), get("/.well-known/jwks.json")],
      post(method, { "content-type": "application/grpc-web+proto" }, "\0\0\0\0\0"),
    ]) {
      const { headers } = await sendHttp1(portico.httpPort, request);
      const what = `${request.method} ${request.target.slice(0, 60)}`;
      for (const [name, value] of Object.entries(everywhere))
        assert.match(headers.get(name) ?? "", value, `${what}: ${name}`);
      if (!headers.get("content-type")?.startsWith("text/html"))
        assert.equal(headers.get("content-security-policy"), apiPolicy, what);
      // gRPC says it in answers that failed, and where it was asked with one.
      if (!headers.get("content-type")?.startsWith("application/grpc"))
        assert.match(headers.get("x-request-id") ?? "", /^[\w-]+$/, what);
      assert.equal(headers.get("server") ?? headers.get("x-powered-by"), undefined);
      if (headers.get("content-type")?.startsWith("text/"))
        assert.match(headers.get("content-type") ?? "", /charset=utf-8/);
    }
  } finally {
    await portico.stop();
  }
});

test("who does not know the contract is told it in development, and not in production unless the operator says so", async () => {
  const told = async (flags: Readonly<Record<string, string>>) => {
    const portico = await startPortico(flags);
    try {
      const introspection = { query: "{ __schema { queryType { name } } }" };
      const reflection = await callGrpc(
        portico.grpcPort,
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        {
          body: frame(Buffer.from([0x3a, 0])),
          headers: {},
        },
      );
      return [
        reflection.code,
        (await ask(portico.base, "GET", "/docs")).status,
        (await ask(portico.base, "GET", "/openapi.json")).status,
        "data" in (await ask(portico.base, "POST", "/graphql", { body: introspection })).json,
      ];
    } finally {
      await portico.stop();
    }
  };
  const folder = mkdtempSync(path.join(tmpdir(), "portico-production-"));
  const secretFile = path.join(folder, "secret");
  writeFileSync(secretFile, Buffer.alloc(32, 7));
  try {
    const production = { mode: "production", secretFile };
    assert.deepEqual(await told({}), [0, 200, 200, true]);
    assert.deepEqual(await told(production), [12, 404, 200, false]);
    const on = { reflection: "on", docs: "on", graphqlIntrospection: "on" };
    assert.deepEqual(await told({ ...production, ...on }), [0, 200, 200, true]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
