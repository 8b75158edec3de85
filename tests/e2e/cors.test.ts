/** Pages of other origins: refused, unless they are listed. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ask, bpmnXml, reasonOf, startPortico, type TestPortico } from "../support/portico.ts";

const listed = "https://app.example.org";
const foreign = "https://evil.example";

describe("CORS", () => {
  let strict: TestPortico;
  let open: TestPortico;
  before(async () => {
    strict = await startPortico();
    open = await startPortico({ corsOrigins: listed });
  });
  after(async () => {
    await strict.stop();
    await open.stop();
  });

  const preflight = (portico: TestPortico, origin: string) =>
    ask(portico.base, "OPTIONS", "/api/v1/bpmn", {
      headers: {
        ...{ origin, "access-control-request-method": "POST" },
        "access-control-request-headers": "content-type,x-api-key",
      },
    });

  test("row 63: the preflight of a foreign origin is 403, and no header allows it", async () => {
    for (const portico of [strict, open]) {
      const refused = await preflight(portico, foreign);
      assert.equal(refused.status, 403);
      assert.equal(reasonOf(refused), "CORS_ORIGIN_FOREIGN");
      assert.equal(refused.headers.get("access-control-allow-origin"), null);
      const called = await ask(portico.base, "GET", "/api/v1/bpmn", { headers: { origin: foreign } });
      assert.equal(called.headers.get("access-control-allow-origin"), null);
    }
  });

  test("a listed origin may call, and sees what it needs", async () => {
    const allowed = await preflight(open, listed);
    assert.equal(allowed.status, 204);
    assert.equal(allowed.headers.get("access-control-allow-origin"), listed);
    assert.equal(allowed.headers.get("access-control-allow-headers"), "content-type, x-api-key");
    assert.equal(allowed.headers.get("access-control-max-age"), "600");
    assert.equal(allowed.headers.get("access-control-allow-credentials"), null);
    for (const path of ["/api/v1/bpmn", "/api/v1/bpmn/none", "/openapi.json"]) {
      const called = await ask(open.base, "GET", path, { headers: { origin: listed } });
      assert.equal(called.headers.get("access-control-allow-origin"), listed, path);
      assert.match(called.headers.get("access-control-expose-headers") ?? "", /x-request-id/);
      assert.match(called.headers.get("vary") ?? "", /(^|, )origin$/);
    }
  });

  test("caches are told that answers differ by origin, also by those who name none or a foreign one", async () => {
    for (const headers of [{}, { origin: foreign }]) {
      const listing = await ask(open.base, "GET", "/api/v1/bpmn", { headers });
      assert.equal(listing.headers.get("vary"), "origin");
      assert.equal(listing.headers.get("access-control-allow-origin"), null);
      const missing = await ask(open.base, "GET", "/api/v1/bpmn/none", { headers });
      assert.equal(missing.headers.get("vary"), "accept, origin");
    }
    const closed = await ask(strict.base, "GET", "/api/v1/bpmn", { headers: { origin: listed } });
    assert.equal(closed.headers.get("vary"), null);
  });

  test("a page may read the headers that the contract makes of fields", async () => {
    const made = await ask(open.base, "POST", "/api/v1/bpmn?documentId=counted", {
      headers: { origin: listed },
      body: { xml: bpmnXml() },
    });
    assert.equal(made.status, 201, made.text);
    const counted = await ask(open.base, "GET", "/api/v1/bpmn?includeTotalSize=true", {
      headers: { origin: listed },
    });
    assert.equal(counted.headers.get("x-total-count"), "1");
    const exposed = (counted.headers.get("access-control-expose-headers") ?? "").split(", ");
    for (const name of [
      "link",
      "location",
      "ratelimit",
      "deprecation",
      "preference-applied",
      "x-total-count",
    ])
      assert.ok(exposed.includes(name), name);
    const listing = await ask(open.base, "GET", "/api/v1/bpmn", { headers: { origin: listed } });
    assert.ok(!(listing.headers.get("access-control-expose-headers") ?? "").includes("x-total-count"));
  });

  test("a page may read every header of ours that its answer has", async () => {
    const fetched = await Promise.all([
      ask(open.base, "GET", "/api/v1/bpmn", { headers: { origin: listed } }),
      ask(open.base, "GET", "/api/v1/bpmn/none", { headers: { origin: listed } }),
      ask(open.base, "PUT", "/api/v1/bpmn", { headers: { origin: listed } }),
      ask(open.base, "POST", "/portico.bpmn.v1.BPMNService/GetBPMN", {
        headers: { origin: listed, "content-type": "application/grpc-web+proto" },
      }),
      ask(open.base, "POST", "/portico.bpmn.v1.BPMNService/GetBPMN", {
        headers: { origin: listed, "connect-protocol-version": "1", "content-type": "text/plain" },
      }),
      ask(open.base, "POST", "/mcp", {
        headers: { origin: listed, accept: "application/json, text/event-stream" },
        body: {
          ...{ jsonrpc: "2.0", id: 1, method: "initialize" },
          params: {
            protocolVersion: "2025-11-25",
            capabilities: {},
            clientInfo: { name: "t", version: "1" },
          },
        },
      }),
    ]);
    // The Fetch standard's own list; what browsers keep to themselves or act on without the page; HTTP's of one connection, and proxies'.
    const readable = [
      "cache-control",
      "content-length",
      "content-type",
      "expires",
      "last-modified",
      "pragma",
    ];
    const browsers = [
      ...["vary", "date", "connection", "keep-alive", "transfer-encoding", "content-security-policy"],
      ...[
        "x-accel-buffering",
        "referrer-policy",
        "x-content-type-options",
        "x-frame-options",
        "cross-origin-resource-policy",
      ],
    ];
    for (const { headers } of fetched) {
      const exposed = (headers.get("access-control-expose-headers") ?? "").split(", ");
      for (const name of headers.keys())
        if (!name.startsWith("access-control-") && ![...readable, ...browsers].includes(name))
          assert.ok(exposed.includes(name), name);
      for (const name of ["traceparent", "server-timing", "x-request-id", "etag", "content-disposition"])
        assert.ok(exposed.includes(name), name);
    }
    assert.equal(new Set(fetched.map(({ headers }) => headers.get("mcp-session-id") !== null)).size, 2);
  });

  test("OPTIONS that is no preflight still lists the methods", async () => {
    const plain = await ask(strict.base, "OPTIONS", "/api/v1/bpmn");
    assert.equal(plain.status, 204);
    assert.match(plain.headers.get("allow") ?? "", /POST/);
  });
});
