/**
 * Many requests that make no call, and cost more than most calls do: of GraphQL and MCP, at once, from one caller. What is more than it may, or than can be
 * carried, is sent away in the protocol's own words, counted, and holds up nobody else.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { type Running, serve } from "../support/process.ts";
import { Metrics } from "../support/prometheus-text.ts";

const connections = 64;

const keys = (count: number): string =>
  `{${Array.from({ length: count }, (_unused, at) => `"${at.toString(36)}":0`).join()}}`;
const ofType = "{kind name ofType{kind name ofType{kind name ofType{name}}}}";
const introspection = `{__schema{types{name kind description fields(includeDeprecated:true){name description args{name type${ofType}} type${ofType}} inputFields{name type${ofType}} enumValues{name}}}}`;
const rpc = (method: string, params: object = {}): string =>
  JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
const initialize = rpc("initialize", {
  ...{ protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "t", version: "1" } },
});

interface Flood {
  readonly target: string;
  readonly body: string;
  readonly count?: number;
  /** Whether so many at once are more than can be carried; otherwise they are only more than one may send. */
  readonly costly: boolean;
  /** Of what is let in. */
  readonly status: number;
  /** In the body of what is sent away. */
  readonly told: (reason: string) => RegExp;
}

const graphql = {
  target: "/graphql",
  costly: true,
  told: (reason: string) => new RegExp(`^\\{"errors":\\[\\{"message":.*"reason":"${reason}"`),
};
const mcp = {
  target: "/mcp",
  status: 200,
  costly: true,
  told: (reason: string) =>
    new RegExp(`^\\{"jsonrpc":"2\\.0","id":null,"error":\\{"code":-32000,.*"reason":"${reason}"`),
};
const floods: Readonly<Record<string, Flood>> = {
  "GraphQL with a mebibyte of extensions": {
    ...{ ...graphql, status: 400, count: 150 },
    body: `{"query":"{__typename}","extensions":${keys(108_000)}}`,
  },
  "GraphQL that asks for the schema": {
    ...{ ...graphql, status: 200 },
    body: JSON.stringify({ query: introspection }),
  },
  "MCP that lists tools": { ...mcp, body: rpc("tools/list") },
  "MCP that begins sessions": { ...mcp, body: initialize, costly: false },
};

interface Answers {
  readonly count: Map<number, number>;
  /** Of those that were sent away. */
  readonly refused: { readonly status: number; readonly text: string; readonly retryAfter: string }[];
}

class Server {
  readonly dataDir = mkdtempSync(path.join(tmpdir(), "portico-flood-"));
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  readonly #other = new http.Agent({ keepAlive: true });
  #running: Running | undefined;
  key = "";

  async start(...flags: readonly string[]): Promise<void> {
    const more = ["--authentication", "on", "--database-url", "memory:", "--log-level", "silent", ...flags];
    this.#running = await serve(this.dataDir, [...more, "--proxy-trusted", "127.0.0.0/8"]);
    this.key = readFileSync(path.join(this.dataDir, "dev-key"), "utf8").trim();
  }

  async stop(): Promise<void> {
    this.#agent.destroy();
    this.#other.destroy();
    this.#running?.child.kill("SIGTERM");
    await this.#running?.ended;
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  ask(
    method: string,
    target: string,
    { body, agent = this.#other, from }: { body?: string; agent?: http.Agent; from: string },
  ): Promise<{ status: number; text: string; headers: http.IncomingHttpHeaders }> {
    const headers: Record<string, string | number> = {
      ...{ "content-type": "application/json", accept: "application/json, text/event-stream" },
      ...{ "mcp-protocol-version": "2025-11-25", "x-forwarded-for": from },
      ...(target === "/graphql" ? {} : { "x-api-key": this.key }),
      ...(body === undefined ? {} : { "content-length": Buffer.byteLength(body) }),
    };
    return new Promise((resolve, reject) => {
      const request = http.request(new URL(target, this.#running?.base), { agent, method, headers });
      request.on("error", reject).on("response", (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (piece: string) => {
          text += piece;
        });
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, text, headers: response.headers }),
        );
      });
      request.end(body);
    });
  }

  async flood({ target, body }: Flood, { count, from }: { count: number; from: string }): Promise<Answers> {
    const answers: Answers = { count: new Map(), refused: [] };
    let left = count;
    const sender = async (): Promise<void> => {
      for (; left > 0; ) {
        left -= 1;
        const { status, text, headers } = await this.ask("POST", target, { body, agent: this.#agent, from });
        answers.count.set(status, (answers.count.get(status) ?? 0) + 1);
        if (status === 429 || status === 503)
          answers.refused.push({ status, text, retryAfter: String(headers["retry-after"]) });
      }
    };
    await Promise.all(Array.from({ length: connections }, sender));
    return answers;
  }

  async metric(name: string): Promise<number> {
    const { text } = await this.ask("GET", "/metrics", { from: "127.0.0.1" });
    return new Metrics(text).value(name) ?? 0;
  }

  /** Processor time so far, in milliseconds. */
  cpuMs(): number {
    const stat = readFileSync(`/proc/${this.#running?.child.pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }
}

function isToldWell({ told }: Flood, { refused }: Answers): void {
  for (const { status, text, retryAfter } of refused) {
    assert.match(retryAfter, /^[1-9]\d*$/);
    assert.match(text, told(status === 429 ? "RATE_LIMITED" : "OVERLOADED"));
  }
}

describe("a flood of one caller that has used up its limit", () => {
  const server = new Server();
  before(() => server.start("--rate-limit", "5/s:10"));
  after(() => server.stop());
  let hosts = 0;

  for (const [what, flood] of Object.entries(floods))
    test(what, async () => {
      hosts += 1;
      const from = `192.0.2.${hosts}`;
      const before = await server.metric("portico_limited_total");
      const answers = await server.flood(flood, { count: 140, from });
      const limited = answers.count.get(429) ?? 0;
      assert.ok(limited > 50, JSON.stringify([...answers.count]));
      const others = [...answers.count.keys()].filter((status) => ![flood.status, 429, 503].includes(status));
      assert.deepEqual(others, []);
      isToldWell(flood, answers);
      assert.equal(await server.metric("portico_limited_total"), before + limited);
    });
});

describe("a flood of callers without a limit", () => {
  const server = new Server();
  before(() => server.start("--rate-limit", "off", "--tenant-rate-limit", "off"));
  after(() => server.stop());

  for (const [what, flood] of Object.entries(floods).filter(([, { costly }]) => costly))
    test(`${what}: what is too much is sent away, and everybody else is served`, async () => {
      // What a request costs is known after some.
      for (let count = 0; count < 40; count += 1)
        await server.ask("POST", flood.target, { body: flood.body, from: "192.0.2.1" });
      const before = await server.metric("portico_shed_total");
      let over = false;
      const others: number[] = [];
      const other = async (): Promise<void> => {
        while (!over) others.push((await server.ask("GET", "/api/v1/me", { from: "192.0.2.2" })).status);
      };
      const flooded = server.flood(flood, { count: flood.count ?? 500, from: "192.0.2.1" });
      const served = other();
      const answers = await flooded.finally(() => {
        over = true;
      });
      await served;
      assert.deepEqual(new Set(others), new Set([200]));
      const shed = answers.count.get(503) ?? 0;
      assert.deepEqual(
        [...answers.count.keys()].filter((status) => ![flood.status, 503].includes(status)),
        [],
      );
      assert.ok((answers.count.get(flood.status) ?? 0) > 5 && shed > 20, JSON.stringify([...answers.count]));
      isToldWell(flood, answers);
      assert.equal(await server.metric("portico_shed_total"), before + shed);
    });

  test("a mebibyte of extensions is refused before it is made anything of", async () => {
    const flood = floods["GraphQL with a mebibyte of extensions"];
    assert.ok(flood !== undefined);
    const ask = () => server.ask("POST", flood.target, { body: flood.body, from: "192.0.2.1" });
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const started = server.cpuMs();
    for (let count = 0; count < 20; count += 1) {
      const { status, text } = await ask();
      assert.equal(status, 400);
      assert.match(text, /"reason":"QUERY_TOO_LARGE"/);
      assert.match(text, /more than 1000 keys and list elements beside its variables/);
    }
    const each = (server.cpuMs() - started) / 20;
    assert.ok(each < 30, `${each} ms of processor time each, what it takes to read a mebibyte too`);
  });
});
