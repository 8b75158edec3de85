/** Heads that are put together here are node's own, byte for byte, whatever is in them. */
import assert from "node:assert/strict";
import { createServer, type OutgoingHttpHeaders, type Server, ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { Http1Response } from "./http1-response.ts";
import { secure } from "./rest/security-headers.ts";

interface Case {
  readonly name: string;
  readonly status?: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body?: string;
  readonly request?: string;
  readonly before?: (response: ServerResponse) => void;
}

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const length = { "content-length": 4 };
const cases: readonly Case[] = [
  { name: "what every answer has", headers: { ...secure("application/json", "req-1"), ...length } },
  {
    name: "numbers and lists",
    headers: { "x-a": 5, "x-b": ["one", "two"], "set-cookie": ["a=1", "b=2"], ...length },
  },
  { name: "a list of none", headers: { "x-a": [], ...length } },
  { name: "letters of latin1", headers: { "x-a": "größe\tund", ...length } },
  { name: "an empty value", headers: { "x-a": "", ...length } },
  { name: "a cookie's list", headers: { cookie: ["a=1", "b=2"], ...length } },
  { name: "capital letters", headers: { "X-Name": "a", ...length } },
  { name: "its own date", headers: { date: "Thu, 01 Jan 1970 00:00:00 GMT", ...length } },
  { name: "its own connection", headers: { connection: "close", ...length } },
  { name: "its own keep-alive", headers: { "keep-alive": "timeout=1", ...length } },
  { name: "a file's name", headers: { "content-disposition": 'attachment; filename="ö"', ...length } },
  { name: "a length in text", headers: { "content-length": "4" } },
  { name: "no length", headers: { "content-type": "text/plain" } },
  { name: "chunks", headers: { "transfer-encoding": "chunked" } },
  { name: "trailers", headers: { trailer: "x-a", "transfer-encoding": "chunked" } },
  { name: "nothing inside", status: 204, headers: { "x-a": "b" }, body: "" },
  { name: "not modified", status: 304, headers: { etag: '"1"' }, body: "" },
  { name: "not modified, with a length", status: 304, headers: { etag: '"1"', ...length }, body: "" },
  { name: "an error", status: 503, headers: { "retry-after": "1", ...length } },
  { name: "a status that has no name", status: 299, headers: length },
  { name: "HEAD", headers: length, request: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" },
  { name: "HTTP/1.0", headers: length, request: "GET / HTTP/1.0\r\n\r\n" },
  {
    name: "HTTP/1.0 that goes on",
    headers: length,
    request: "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
  },
  {
    name: "a client that closes",
    headers: length,
    request: "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
  },
  {
    name: "a server that closes",
    headers: length,
    before: (response) => {
      response.shouldKeepAlive = false;
    },
  },
  {
    name: "no date",
    headers: length,
    before: (response) => {
      response.sendDate = false;
    },
  },
  {
    name: "headers set one by one",
    headers: length,
    before: (response) => {
      response.setHeader("x-before", "1");
    },
  },
  {
    name: "no connection header",
    headers: length,
    before: (response) => {
      response.removeHeader("connection");
    },
  },
];

/** What a connection carries until the server ends it or is quiet; and again, because lines are kept. */
async function bytesOf(server: Server, request: string): Promise<string> {
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  socket.setTimeout(150, () => socket.end());
  socket.write(request, "latin1");
  const all = await text(socket.setEncoding("latin1"));
  return all.replace(/^Date: .+ GMT\r$/m, "Date: now\r");
}

function serverOf(made: typeof ServerResponse, answer: Case, maxRequests: number): Promise<Server> {
  const server = createServer({ ServerResponse: made, keepAliveTimeout: 7000 }, (_request, response) => {
    answer.before?.(response);
    response.writeHead(answer.status ?? 200, answer.headers);
    response.end(answer.body ?? "body");
  });
  server.maxRequestsPerSocket = maxRequests;
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

for (const maxRequests of [0, 1, 50])
  for (const one of cases)
    test(`${one.name}; ${maxRequests} requests a connection`, async () => {
      const nodes = await serverOf(ServerResponse, one, maxRequests);
      const ours = await serverOf(Http1Response as unknown as typeof ServerResponse, one, maxRequests);
      try {
        const [expected, first, again] = await Promise.all(
          [nodes, ours, ours].map((server) => bytesOf(server, one.request ?? get)),
        );
        assert.match(expected ?? "", /^HTTP\/1\.1 /);
        assert.equal(first, expected);
        assert.equal(again, expected);
      } finally {
        nodes.close();
        ours.close();
      }
    });

const refused: readonly {
  readonly name: string;
  readonly headers: OutgoingHttpHeaders;
  readonly code: string;
}[] = [
  { name: "a line break in a value", headers: { "x-a": "b\r\nx-evil: 1" }, code: "ERR_INVALID_CHAR" },
  { name: "a line break in a kept value", headers: { vary: "b\r\nx-evil: 1" }, code: "ERR_INVALID_CHAR" },
  { name: "a line break in a list", headers: { "x-a": ["b", "c\nd"] }, code: "ERR_INVALID_CHAR" },
  { name: "letters beyond latin1", headers: { "x-a": "Ω" }, code: "ERR_INVALID_CHAR" },
  { name: "a name that is none", headers: { "x a": "b" }, code: "ERR_INVALID_HTTP_TOKEN" },
  { name: "a name of a line break", headers: { "x\r\na": "b" }, code: "ERR_INVALID_HTTP_TOKEN" },
  { name: "an empty name", headers: { "": "b" }, code: "ERR_INVALID_HTTP_TOKEN" },
  { name: "no value", headers: { "x-a": undefined }, code: "ERR_HTTP_INVALID_HEADER_VALUE" },
];
for (const { name, headers, code } of refused)
  test(`${name} is refused as node does, the first time and again`, async () => {
    for (let round = 0; round < 2; round += 1) {
      const thrown: unknown[] = [];
      const server = createServer(
        { ServerResponse: Http1Response as unknown as typeof ServerResponse },
        (_request, response) => {
          try {
            response.writeHead(200, { ...headers, ...length });
          } catch (error) {
            thrown.push(error);
          }
          response.destroy();
        },
      );
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      await bytesOf(server, get).catch(() => undefined);
      server.close();
      assert.equal((thrown[0] as { code?: string } | undefined)?.code, code);
    }
  });

test("node asks for a head where ours is made", async () => {
  let asked = 0;
  class Counted extends Http1Response {
    override _storeHeader(firstLine: string, headers: unknown): void {
      asked += 1;
      super._storeHeader(firstLine, headers);
    }
  }
  const [plain] = cases;
  assert.ok(plain !== undefined);
  const server = await serverOf(Counted as unknown as typeof ServerResponse, plain, 0);
  await bytesOf(server, get);
  server.close();
  assert.equal(asked, 1);
});
