/** Request targets that are whole URLs (RFC 9112 section 3.2.2): taken where they name whom `Host` names, row 6 of the table of bad input elsewhere. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import type { Where } from "../support/dial.ts";
import { exchangeBytes, type HttpAnswer, parseAnswer } from "../support/http-case.ts";
import { startPortico, type TestPortico } from "../support/portico.ts";
import { writeTlsFiles } from "../support/tls-files.ts";

const folder = mkdtempSync(path.join(tmpdir(), "portico-absolute-"));
after(() => rmSync(folder, { recursive: true, force: true }));

interface Asked {
  readonly method?: string;
  readonly host?: string;
  readonly headers?: readonly string[];
  readonly body?: string;
}

for (const scheme of ["http", "https"] as const)
  describe(`a target of ${scheme}`, () => {
    let portico: TestPortico;
    let where: Where;
    before(async () => {
      const { flags, ca } = await writeTlsFiles(folder);
      const [, tlsCert = "", , tlsKey = ""] = flags;
      portico = await startPortico(scheme === "https" ? { tlsCert, tlsKey } : {});
      const port = portico.httpPort;
      where = scheme === "https" ? { port, ca, speaks: "http/1.1" } : port;
    });
    after(() => portico.stop());

    async function ask(
      target: string,
      { method = "GET", host = "a", headers = [], body }: Asked = {},
    ): Promise<HttpAnswer> {
      const lines = [`${method} ${target} HTTP/1.1`, `Host: ${host}`, "Connection: close", ...headers];
      if (body !== undefined) lines.push("Content-Type: application/json", `Content-Length: ${body.length}`);
      const { bytes } = await exchangeBytes(where, Buffer.from(`${lines.join("\r\n")}\r\n\r\n${body ?? ""}`));
      return parseAnswer(bytes, method);
    }
    const jsonOf = async (asked: Promise<HttpAnswer>) => {
      const { status, body } = await asked;
      return { status, json: JSON.parse(body.toString()) };
    };

    test("is REST's, Connect's, GraphQL's, a page's, by its path", async () => {
      const rest = await jsonOf(ask(`${scheme}://a/api/v1/bpmn?pageSize=1`));
      assert.deepEqual([rest.status, rest.json.documents], [200, []]);
      const strict = await jsonOf(ask(`${scheme}://a/api/v1/bpmn?pageSiz=1`));
      assert.deepEqual(
        [strict.status, strict.json.details[0].reason],
        [400, "FIELD_UNKNOWN"],
        "the query counts",
      );
      const connect = await jsonOf(
        ask(`${scheme}://a/portico.bpmn.v1.BPMNService/ListBPMN`, {
          method: "POST",
          headers: ["Connect-Protocol-Version: 1"],
          body: "{}",
        }),
      );
      assert.equal(connect.status, 200);
      const get = `${scheme}://a/portico.bpmn.v1.BPMNService/ListBPMN?connect=v1&encoding=json&message=%7B%7D`;
      assert.equal((await ask(get)).status, 200);
      const graphql = await jsonOf(
        ask(`${scheme}://a/graphql`, { method: "POST", body: '{"query":"{ listBPMN { nextPageToken } }"}' }),
      );
      assert.deepEqual([graphql.status, graphql.json.errors], [200, undefined]);
      assert.equal((await ask(`${scheme}://a/livez`)).status, 200);
      assert.equal((await ask(`${scheme}://a`)).status, 200, "no path is the root");
      assert.equal((await ask(`${scheme}://a?x=1`)).status, 200);
      assert.equal((await ask(`${scheme}://a/nothing`)).status, 404);
      const options = await ask(`${scheme}://a/api/v1/bpmn`, { method: "OPTIONS" });
      assert.match(options.headers.get("allow") ?? "", /GET/);
    });

    test("is whom Host names in any letter case, and with the port that needs no saying", async () => {
      const usual = scheme === "http" ? 80 : 443;
      for (const [target, host] of [
        [`${scheme.toUpperCase()}://EXAMPLE.org/livez`, "example.ORG"],
        [`${scheme}://a:${usual}/livez`, "a"],
        [`${scheme}://a/livez`, `a:${usual}`],
        [`${scheme}://a:8000/livez`, "a:8000"],
        [`${scheme}://[::1]:8000/livez`, "[::1]:8000"],
      ] as const)
        assert.equal((await ask(target, { host })).status, 200, target);
    });

    test("opens a WebSocket", async () => {
      const headers = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
      ];
      const lines = [`GET ${scheme}://a/ws HTTP/1.1`, "Host: a", ...headers, "", ""];
      // A frame that is not masked ends it.
      const { bytes } = await exchangeBytes(
        where,
        Buffer.concat([Buffer.from(lines.join("\r\n")), Buffer.from([0x81, 0])]),
      );
      assert.match(bytes.toString("latin1"), /^HTTP\/1\.1 101 /);
    });

    test("is refused where it names anybody else", async () => {
      const other = scheme === "http" ? "https" : "http";
      for (const [target, host] of [
        [`${scheme}://b/livez`, "a"],
        [`${scheme}://a:1/livez`, "a"],
        [`${scheme}://a/livez`, "a:1"],
        [`${scheme}://u@a/livez`, "a"],
        [`${scheme}://u:p@a/livez`, "a"],
        [`${scheme}://a.b/livez`, "a"],
        [`${scheme}:///livez`, "a"],
        [`${other}://a/livez`, "a"],
        ["ftp://a/livez", "a"],
      ] as const) {
        const refused = await jsonOf(ask(target, { host }));
        assert.deepEqual([refused.status, refused.json.details?.[0]?.reason], [421, "HOST_FOREIGN"], target);
      }
      const connect = ask(`${scheme}://b/portico.bpmn.v1.BPMNService/ListBPMN`, {
        method: "POST",
        headers: ["Connect-Protocol-Version: 1"],
        body: "{}",
      });
      assert.equal((await connect).status, 421);
      assert.equal((await ask(`${scheme}://b/graphql`, { method: "POST", body: "{}" })).status, 421);
    });

    test("has the limits of a path", async () => {
      assert.equal((await ask(`${scheme}://a/${"a".repeat(8190)}`)).status, 404);
      assert.equal((await ask(`${scheme}://a/${"a".repeat(8192)}`)).status, 414);
      assert.equal((await ask(`${scheme}://a/api/../livez`)).status, 400);
      assert.equal((await ask(`${scheme}://a//livez`)).status, 404);
    });
  });
