/** The options that say how much a client may take: the same defaults wherever they are read, and an effect of each that can be seen at once. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { defaultLimits, limitNames } from "#config/limits.ts";
import { defaultLimits as graphqlDefaults } from "#gateway/ingress/graphql/limits.ts";
import { defaultLimits as listenerDefaults } from "#gateway/ingress/limits.ts";
import { defaultRestLimits } from "#gateway/ingress/rest/read.ts";
import { defaultWebSocketLimits } from "#gateway/ingress/websocket/websocket.ts";
import { callGrpc, frame } from "../faults/bad-input.ts";
import { exchangeBytes, sendHttp1 } from "../support/http-case.ts";
import { ask, reasonOf, startPortico, type TestPortico } from "../support/portico.ts";
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
      sockets.initMs,
    ],
    [
      defaultLimits.maxSockets,
      defaultLimits.maxFrameBytes,
      defaultLimits.maxFragments,
      defaultLimits.maxSocketControls,
      defaultLimits.socketInitMs,
    ],
  );
  assert.equal(sockets.heartbeatMs, defaultLimits.heartbeatMs);
});

const list = "/api/v1/bpmn";
const create = (portico: TestPortico, body: string) =>
  ask(portico.base, "POST", list, { body, headers: { "content-type": "application/json" } });
const graphql = async (portico: TestPortico, query: string) =>
  (await ask(portico.base, "POST", "/graphql", { body: { query } })).text;

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
  ["http2MaxStreams", "3", remoteStreams, 3],
  ["http2FirstRequestTimeoutMs", "100", goneAfter, true],
  ["http2IdleTimeoutMs", "100", (p) => goneAfter(p, "httpPort", "/livez"), true],
  ["grpcIdleTimeoutMs", "100", (p) => goneAfter(p, "grpcPort", "/a.B/C"), true],
  ["maxMessageBytes", "1024", (p) => grpcCode(p, Buffer.alloc(1025)), 8],
  ["maxJsonBytes", "1024", async (p) => (await create(p, `{"id":"${"a".repeat(1024)}"}`)).status, 413],
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
      reasonOf(
        await create(p, `{"xml":"","labels":{${Array.from({ length: 101 }, (_u, at) => `"k${at}":""`)}}}`),
      ),
    "TOO_MANY_ELEMENTS",
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
    async (p) => (await create(p, '{"a":[[[[[[]]]]]]}')).json.message,
    /deeper than 5 levels/,
  ],
  ["maxFrameBytes", "1024", (p) => socketCode(p, socketFrame(text, " ".repeat(1025))), 1009],
  ["maxFragments", "2", (p) => socketCode(p, pieces(3)), 1008],
  ["socketInitMs", "100", (p) => socketCode(p, Buffer.alloc(0)), 4408],
  [
    "graphqlMaxDepth",
    "2",
    (p) => graphql(p, "{ listBPMN { documents { metadata { exporter } } } }"),
    /nested fields/,
  ],
  ["graphqlMaxAliases", "0", (p) => graphql(p, "{ a: listBPMN { nextPageToken } }"), /aliases/],
  ["graphqlMaxTokens", "20", (p) => graphql(p, `{ ${"__typename ".repeat(20)} }`), /token/i],
  ["graphqlMaxCost", "1", (p) => graphql(p, 'mutation { deleteBPMN(id: "a") }'), /cost/],
];

/** Shown by tests/faults/attacks.test.ts, which shortens or provokes them, and by websocket.test.ts. */
const elsewhere = [
  ...["stalledTimeoutMs", "http2HeaderBlockTimeoutMs", "http2MaxControlFrames", "http2MaxIdleBytes"],
  ...["http2MaxInvalidFrames", "http2ResetBurst", "http2ResetsPerSecond", "http2MaxSessionMemory"],
  ...["http2PingAfterMs", "maxSockets", "maxSocketControls", "heartbeatMs"],
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
    assert.deepEqual([...effects.map(([name]) => name), ...elsewhere].sort(), [...limitNames].sort());
  });
});

function remoteStreams({ httpPort }: TestPortico): Promise<number> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`http://127.0.0.1:${httpPort}`);
    session.on("error", reject);
    session.on("remoteSettings", ({ maxConcurrentStreams = 0 }) => {
      session.close();
      resolve(maxConcurrentStreams);
    });
  });
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

async function socketCode({ httpPort }: TestPortico, sent: Buffer): Promise<number | undefined> {
  const socket = await new Raw(httpPort, "/ws").opened();
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
  "content-security-policy": /default-src 'none'|frame-ancestors 'none'/,
  "cross-origin-resource-policy": /^same-origin$/,
  "referrer-policy": /^no-referrer$/,
  "x-content-type-options": /^nosniff$/,
  "x-frame-options": /^DENY$/,
};

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
