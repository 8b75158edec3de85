/** Metrics and health are for operators: no page of another origin reads them, whatever CORS says and wherever a name leads. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { after, before, describe, test } from "node:test";
import { exchangeBytes, parseAnswer } from "../support/http-case.ts";
import { ask, reasonOf, startPortico, type TestPortico } from "../support/portico.ts";

const foreign = "https://evil.example";
const operators = ["/metrics", "/livez", "/readyz", "/health"];

let open: TestPortico;
let listing: TestPortico;
let strict: TestPortico;
before(async () => {
  open = await startPortico({ corsOrigins: "*" });
  listing = await startPortico({ corsOrigins: foreign, authentication: "on" });
  strict = await startPortico({ authentication: "on", publicUrl: "https://api.example.org" });
});
after(async () => {
  for (const portico of [open, listing, strict]) await portico.stop();
});

interface Seen {
  readonly status: number;
  readonly text: string;
}

/** With whatever Host is wanted. */
async function get(to: TestPortico, host: string, headers: Record<string, string> = {}): Promise<Seen> {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const sent = `GET /metrics HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${lines.join("")}\r\n`;
  const { status, body } = parseAnswer((await exchangeBytes(to.httpPort, Buffer.from(sent))).bytes, "GET");
  return { status, text: body.toString() };
}

async function overHttp2(to: TestPortico, host: string, headers: Record<string, string> = {}): Promise<Seen> {
  const session = connectHttp2(to.base);
  const stream = session.request({ ":path": "/metrics", ":authority": host, ...headers });
  const [answer] = await once(stream, "response");
  let text = "";
  for await (const chunk of stream.setEncoding("utf8")) text += chunk;
  session.close();
  return { status: Number(answer[":status"]), text };
}

describe("pages for operators", () => {
  test("no origin may read them, listed or not; documents may be read", async () => {
    for (const to of [open, listing]) {
      for (const path of operators) {
        const read = await ask(to.base, "GET", path, { headers: { origin: foreign } });
        assert.equal(read.headers.get("access-control-allow-origin"), null, path);
        const asked = { origin: foreign, "access-control-request-method": "GET" };
        const preflight = await ask(to.base, "OPTIONS", path, { headers: asked });
        assert.deepEqual([preflight.status, reasonOf(preflight)], [403, "CORS_ORIGIN_FOREIGN"], path);
        assert.equal(preflight.headers.get("access-control-allow-origin"), null, path);
      }
      for (const path of ["/openapi.json", "/asyncapi.json", "/docs", "/schemas", "/.well-known/jwks.json"]) {
        const read = await ask(to.base, "GET", path, { headers: { origin: foreign } });
        assert.notEqual(read.headers.get("access-control-allow-origin"), null, path);
      }
    }
  });

  test("health says what it says to everybody; who checks it may come from anywhere", async () => {
    for (const path of ["/livez", "/readyz", "/health"])
      assert.equal((await ask(open.base, "GET", path, { headers: { origin: foreign } })).status, 200, path);
  });
});

describe("/metrics of this machine", () => {
  test("is not for pages of other origins, with a credential or without", async () => {
    const pages: readonly Record<string, string>[] = [
      { origin: foreign },
      { origin: "null" },
      { origin: "http://localhost:3000" },
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site" },
    ];
    for (const to of [open, listing, strict])
      for (const headers of pages)
        for (const one of [get, overHttp2]) {
          const refused = await one(to, `127.0.0.1:${to.httpPort}`, headers);
          assert.equal(refused.status, 403, JSON.stringify(headers));
          assert.match(refused.text, /pages of other origins/);
          const shown = await one(to, `127.0.0.1:${to.httpPort}`, {
            ...headers,
            "x-api-key": strict.key ?? "",
          });
          assert.equal(shown.status, 403, JSON.stringify(headers));
        }
  });

  test("is for our own pages, for who writes the address, and for programs", async () => {
    for (const to of [open, strict]) {
      const host = `localhost:${to.httpPort}`;
      for (const headers of [
        {},
        { "sec-fetch-site": "none" },
        { "sec-fetch-site": "same-origin" },
        { origin: `http://${host}` },
      ])
        assert.equal((await get(to, host, headers)).status, 200, JSON.stringify(headers));
    }
  });

  test("is asked for by a name or an address of this machine, or the public one", async () => {
    for (const host of [
      "localhost",
      "LOCALHOST:8000",
      "localhost.",
      "app.localhost:1",
      "127.0.0.1",
      "127.8.9.1:8000",
      "[::1]:8000",
      "api.example.org",
    ])
      for (const one of [get, overHttp2]) assert.equal((await one(strict, host)).status, 200, host);
  });

  test("is not there under another name: names can be made to lead here", async () => {
    for (const to of [open, strict])
      for (const host of [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "127.evil.example",
        "localhost.evil.example",
        "evillocalhost",
        "0.0.0.0:8000",
        "10.0.0.1",
        "[::]",
        "a@localhost",
      ]) {
        for (const one of [get, overHttp2]) {
          if (host.includes("@") && one === overHttp2) continue;
          const refused = await one(to, host);
          assert.equal(refused.status, 403, host);
          assert.match(refused.text, /asked for as .*localhost.*telemetry:read/);
        }
      }
  });

  test("is under any name for callers who may: Prometheus asks by the name of a service", async () => {
    const made = await ask(strict.base, "POST", "/api/v1/apiKeys", {
      headers: { "x-api-key": strict.key },
      body: { displayName: "prometheus", scopes: ["telemetry:read"] },
    });
    const authorization = `Bearer ${String(made.json.secret)}`;
    for (const host of ["portico:8000", "10.0.0.7:8000", "portico.default.svc.cluster.local"])
      for (const one of [get, overHttp2]) {
        assert.equal((await one(strict, host, { authorization })).status, 200, host);
        assert.equal((await one(strict, host, { authorization: "Bearer none" })).status, 403, host);
      }
  });
});
