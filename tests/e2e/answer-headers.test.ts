/**
 * The headers that every HTTP answer has, whoever gives it: each route of the contract in each protocol, each page, and each kind of refusal, on both
 * ports, over HTTP/1 and HTTP/2, in clear text and over TLS.
 *
 * gRPC's own answers are none of these: no page can ask for one without a preflight, and no browser shows one.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { graphqlPaths, mcpPaths, pagePaths } from "#gateway/ingress/ingress.ts";
import { dial, type Where } from "../support/dial.ts";
import { startPortico, type TestPortico } from "../support/portico.ts";
import { writeTlsFiles } from "../support/tls-files.ts";

interface Asked {
  readonly method: string;
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

interface Head {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

const folder = mkdtempSync(path.join(tmpdir(), "portico-headers-"));
const catalog = loadCatalog({
  descriptorSet: readFileSync(new URL("../../src/gen/contract.binpb", import.meta.url)),
});
const json = { "content-type": "application/json" };
const foreign = "https://evil.example";
const listed = "https://app.example.org";

/** Every method with a binding, at it, and in every protocol that browsers speak. */
function contract(): Asked[] {
  const asked: Asked[] = [];
  for (const { httpMethod: method, template } of catalog.routes) {
    const target = template
      .replaceAll(/\{\w+(?:\.\w+)*(?:=([^}]*))?\}/g, (_all, inside = "*") => inside)
      .replaceAll(/\*+/g, "a");
    const body = method === "GET" || method === "DELETE" ? {} : { headers: json, body: "{}" };
    asked.push({ method, target, ...body }, { method: "OPTIONS", target });
  }
  for (const target of catalog.methods.keys())
    for (const type of [
      "application/json",
      "application/proto",
      "application/connect+json",
      "application/grpc-web+proto",
    ]) {
      const headers = { "content-type": type, "connect-protocol-version": "1" };
      asked.push({
        method: "POST",
        target,
        headers,
        body: type.endsWith("json") && type !== "application/connect+json" ? "{}" : "",
      });
    }
  return asked;
}

const schema = [...catalog.methods.values()][0]?.input.desc.typeName ?? "";
const pages: readonly Asked[] = [
  ...[...pagePaths, ...graphqlPaths, ...mcpPaths, `/schemas/${schema}`].flatMap((target) =>
    ["GET", "HEAD", "POST", "DELETE", "OPTIONS"].map((method) => ({ method, target })),
  ),
  ...["authorize", "token", "userinfo", "register", "revoke", "introspect", "login", "nothing"].flatMap(
    (name) => ["GET", "POST", "OPTIONS"].map((method) => ({ method, target: `/oauth2/${name}` })),
  ),
  { method: "GET", target: "/.well-known/openid-configuration" },
  { method: "GET", target: "/.well-known/oauth-authorization-server" },
  { method: "POST", target: "/oauth2/token", headers: json, body: " ".repeat(70_000) },
  {
    method: "POST",
    target: "/oauth2/token",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: "grant_type=password",
  },
  { method: "GET", target: "/openapi.json?service=none" },
  { method: "GET", target: "/metrics", headers: { origin: foreign } },
  { method: "POST", target: "/graphql", headers: json, body: '{"query":"{ listBPMN { nextPageToken } }"}' },
  { method: "POST", target: "/graphql", headers: json, body: '{"query":"{ nothing }"}' },
  {
    method: "POST",
    target: "/mcp",
    headers: { ...json, accept: "application/json, text/event-stream" },
    body: '{"jsonrpc":"2.0","id":1,"method":"ping"}',
  },
  { method: "POST", target: "/mcp", headers: { ...json, origin: foreign }, body: "{}" },
];

const preflight = (target: string, origin: string): Asked => ({
  method: "OPTIONS",
  target,
  headers: { origin, "access-control-request-method": "POST" },
});

const refused: readonly Asked[] = [
  { method: "GET", target: "/nothing" },
  { method: "GET", target: "/api/v1/bpmn/%zz" },
  { method: "GET", target: "/api/../v1" },
  { method: "GET", target: "/api/v1/bpmn?x=1" },
  { method: "GET", target: `/${"a".repeat(9000)}` },
  { method: "TRACE", target: "/api/v1/bpmn" },
  { method: "PUT", target: "/api/v1/bpmn" },
  { method: "GET", target: "/api/v1/bpmn", headers: { accept: "image/png" } },
  { method: "POST", target: "/api/v1/bpmn", headers: { "content-type": "image/png" }, body: "a" },
  { method: "POST", target: "/api/v1/bpmn", headers: json, body: "{" },
  { method: "POST", target: "/api/v1/bpmn", headers: json, body: " ".repeat(1024 * 1024 + 1) },
  { method: "GET", target: "/api/v1/bpmn/none" },
  {
    method: "GET",
    target: "/api/v1/bpmn",
    headers: Object.fromEntries(Array.from({ length: 101 }, (_u, at) => [`x-${at}`, "a"])),
  },
  preflight("/api/v1/bpmn", foreign),
  preflight("/api/v1/bpmn", listed),
  preflight("/metrics", listed),
  {
    method: "POST",
    target: "/portico.bpmn.v1.BPMNService/GetBPMN",
    headers: { "content-type": "text/plain", "connect-protocol-version": "1" },
  },
  {
    method: "PUT",
    target: "/portico.bpmn.v1.BPMNService/GetBPMN",
    headers: { "content-type": "application/proto" },
  },
  {
    method: "GET",
    target: "/portico.bpmn.v1.BPMNService/GetBPMN",
    headers: { "content-type": "application/grpc-web+proto" },
  },
  {
    method: "POST",
    target: "/portico.bpmn.v1.BPMNService/GetBPMN",
    headers: { "content-type": "application/grpc-web+xml" },
  },
  {
    method: "GET",
    target: "/portico.bpmn.v1.BPMNService/GetBPMN",
    headers: { "content-type": "application/grpc" },
  },
];

/** Over HTTP/1 alone: what no client of HTTP/2 can write, and gRPC where it cannot be spoken. */
const raw: readonly (readonly [string, string])[] = [
  [
    "gRPC over HTTP/1",
    "POST /portico.bpmn.v1.BPMNService/GetBPMN HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n",
  ],
  ["two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"],
  ["no host", "GET / HTTP/1.1\r\n\r\n"],
  ["another host's URL", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["HTTP/1.0 with chunks", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["a line that is none", "NONSENSE / HTTP/1.1\r\n\r\n"],
  ["large headers", `GET / HTTP/1.1\r\nHost: a\r\nX: ${"a".repeat(17_000)}\r\n\r\n`],
  ["headers without their end", "GET / HTTP/1.1\r\nHost: a\r\n"],
  [
    "a WebSocket without its headers",
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
  ],
  [
    "a WebSocket of a foreign page",
    `GET /ws HTTP/1.1\r\nHost: a\r\nOrigin: ${foreign}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
  ],
];

for (const over of ["clear text", "TLS"] as const)
  describe(`headers of answers in ${over}`, () => {
    let portico: TestPortico;
    let ca = "";
    const speaks = (which: "h2" | "http/1.1", port = portico.httpPort): Where =>
      over === "TLS" ? { port, ca, speaks: which } : port;
    before(async () => {
      const files = await writeTlsFiles(folder);
      ca = files.ca;
      const [, tlsCert = "", , tlsKey = ""] = files.flags;
      portico = await startPortico({
        ...(over === "TLS" ? { tlsCert, tlsKey } : {}),
        ...{
          authentication: "on",
          rateLimit: "off",
          tenantRateLimit: "off",
          corsOrigins: listed,
          headersTimeoutMs: "500",
        },
      });
    });
    after(() => portico.stop());

    for (const [name, all] of [
      ["the contract", contract()],
      ["pages", pages],
      ["refusals", refused],
    ] as const)
      test(`of ${name}`, async () => {
        using http2 = openHttp2(speaks("h2"));
        for (const asked of all) {
          const known = { ...asked, headers: { ...asked.headers, "x-api-key": portico.key } };
          const said = `${asked.method} ${asked.target}`;
          check(`HTTP/1 ${said}`, await overHttp1(speaks("http/1.1"), bytesOf(known)), over);
          for (const one of [asked, known]) check(`HTTP/2 ${said}`, await http2.ask(one), over);
        }
      });

    test("of requests that cannot be read, or are for others", async () => {
      for (const [name, bytes] of raw) check(name, await overHttp1(speaks("http/1.1"), bytes), over);
    });

    test("of what is no gRPC on its port", async () => {
      using http2 = openHttp2(speaks("h2", portico.grpcPort));
      for (const asked of [...pages, ...refused])
        check(`gRPC's port: ${asked.method} ${asked.target}`, await http2.ask(asked), over);
      if (over === "TLS") {
        // Without ALPN, HTTP/1 gets as far as this.
        const head = await overHttp1(
          { port: portico.grpcPort, ca, speaks: undefined },
          "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        );
        check("HTTP/1 on gRPC's port", head, over);
      }
    });
  });
after(() => rmSync(folder, { recursive: true, force: true }));

function bytesOf({ method, target, headers = {}, body = "" }: Asked): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const length = body === "" ? "" : `Content-Length: ${Buffer.byteLength(body)}\r\n`;
  return `${method} ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${lines.join("")}${length}\r\n${body}`;
}

/** The head alone: streams go on. */
function overHttp1(where: Where, bytes: string): Promise<Head> {
  return new Promise((resolve, reject) => {
    let got = "";
    const socket = dial(where, () => socket.write(bytes));
    const over = (): void => {
      clearTimeout(timer);
      socket.destroy();
      const [first = "", ...lines] = got.slice(0, Math.max(0, got.indexOf("\r\n\r\n"))).split("\r\n");
      const headers = lines.map((line) => /^([^:]+):\s*(.*)$/.exec(line)?.slice(1) ?? []);
      const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1]);
      if (Number.isNaN(status))
        reject(new Error(`no answer to ${bytes.slice(0, 100)}: ${got.slice(0, 100)}`));
      else
        resolve({
          status,
          headers: Object.fromEntries(headers.map(([name = "", value]) => [name.toLowerCase(), value])),
        });
    };
    const timer = setTimeout(over, 5000);
    socket.setEncoding("latin1").on("data", (chunk: string) => {
      got += chunk;
      if (got.includes("\r\n\r\n")) over();
    });
    socket.on("error", () => {});
    socket.on("close", over);
  });
}

function openHttp2(where: Where): Disposable & { ask(asked: Asked): Promise<Head> } {
  const session = connectHttp2("http://localhost", { createConnection: () => dial(where) });
  return {
    ask: ({ method, target, headers = {}, body }) =>
      new Promise((resolve, reject) => {
        const stream = session.request({ ":method": method, ":path": target, ":scheme": "http", ...headers });
        stream.setTimeout(5000, () => reject(new Error(`no answer to ${method} ${target.slice(0, 100)}`)));
        stream.on("response", (head: IncomingHttpHeaders) => {
          resolve({ status: Number(head[":status"]), headers: head as Head["headers"] });
          // Streams go on. Not at once: many resets are an attack.
          setTimeout(() => stream.close(8), 200);
          stream.resume();
        });
        stream.on("error", reject);
        stream.end(body);
      }),
    [Symbol.dispose]: () => session.destroy(),
  };
}

function check(what: string, { status, headers }: Head, over: "clear text" | "TLS"): void {
  if (headers["content-type"]?.startsWith("application/grpc") === true && headers["content-type"][16] !== "-")
    return;
  // What its own forms send has to say where it comes from.
  const isForm = what.includes("/oauth2/") && headers["referrer-policy"] === "same-origin";
  const said = `${what}: ${status} ${JSON.stringify(headers)}`;
  assert.deepEqual(
    {
      nosniff: headers["x-content-type-options"],
      referrer: isForm ? "no-referrer" : headers["referrer-policy"],
      frames: headers["x-frame-options"],
      resources: headers["cross-origin-resource-policy"],
      transport: headers["strict-transport-security"],
      server: headers.server ?? headers["x-powered-by"],
    },
    {
      nosniff: "nosniff",
      referrer: "no-referrer",
      frames: "DENY",
      resources: "same-origin",
      transport: over === "TLS" ? "max-age=63072000; includeSubDomains" : undefined,
      server: undefined,
    },
    said,
  );
  assert.match(headers["content-security-policy"] ?? "", /default-src 'none'.*frame-ancestors 'none'/, said);
  // Documents with an etag may be kept, and are asked for again.
  assert.match(headers["cache-control"] ?? "", /^no-store(, no-transform)?$|^no-cache$/, said);
  assert.match(headers["x-request-id"] ?? "", /^\S+$/, said);
  const type = headers["content-type"];
  // HTML's living standard, section 9.2.5: events are always UTF-8.
  if (type?.startsWith("text/") === true && type !== "text/event-stream")
    assert.match(type, /; charset=utf-8$/, said);
  if (type === undefined)
    assert.ok(status === 204 || status === 304 || headers["content-length"] === "0", said);
  if (status === 429 || status === 503) assert.match(headers["retry-after"] ?? "", /^\d+$/, said);
}
