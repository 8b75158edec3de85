/** GraphQL over HTTP and WebSocket beside the queries themselves: statuses, limits, headers, leaving, slow readers. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import type { Interceptor } from "#rpc/interceptor.ts";
import { type EchoServer, startEcho } from "../support/echo.ts";
import type { Plan } from "../support/echo-service.ts";
import { ask } from "../support/portico.ts";
import { undisturbedMs } from "../support/thread-time.ts";

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: data of many shapes
  readonly json: any;
}

let echo: EchoServer;
const post = async (body: unknown, headers: Record<string, string> = {}): Promise<Answer> => {
  const answer = await fetch(`http://127.0.0.1:${echo.httpPort}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, text, json: JSON.parse(text) };
};
const get = (query: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`http://127.0.0.1:${echo.httpPort}/graphql?query=${encodeURIComponent(query)}`, { headers });
const planned = (plan: Plan): Record<string, string> => ({ "echo-plan": JSON.stringify(plan) });
const query = 'mutation { unary(text: "a") { text } }';
const stream = 'subscription { serverStream(text: "a") { text } }';

before(async () => {
  echo = await startEcho({ heartbeatMs: 30 });
  // The schema is made with the first request.
  await post({ query });
});
after(() => echo.close());

describe("GraphQL refuses what is too much, at once", () => {
  const nested = (depth: number): string => `{ ${"a { ".repeat(depth)}a${" }".repeat(depth)} }`;
  const aliases = (count: number): string =>
    `mutation { ${Array.from({ length: count }, (_, n) => `a${n}: unary { text }`).join(" ")} }`;
  const child = (depth: number): string =>
    `mutation { unary { ${"child { ".repeat(depth)}text${" }".repeat(depth)} } }`;
  const deepJson = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
  const bodies: readonly (readonly [string, string])[] = [
    ["depth 11", JSON.stringify({ query: child(9) })],
    ["depth 5,000", JSON.stringify({ query: nested(5000) })],
    ["31 aliases", JSON.stringify({ query: aliases(31) })],
    ["10,000 aliases", JSON.stringify({ query: aliases(10_000) })],
    ["2,001 tokens", JSON.stringify({ query: `mutation { unary { ${"text ".repeat(1995)} } }` })],
    ["a batch of 11", JSON.stringify(Array.from({ length: 11 }, () => ({ query })))],
    ["an empty batch", "[]"],
    ["a field, 1,900 times", JSON.stringify({ query: `mutation { unary { ${"text ".repeat(1900)} } }` })],
    [
      "a batch that costs too much",
      JSON.stringify(
        Array.from({ length: 10 }, () => ({ query: `mutation { ${"unary { text } ".repeat(60)} }` })),
      ),
    ],
    [
      "a fragment in itself",
      JSON.stringify({ query: "mutation { unary { ...a } } fragment a on Everything { child { ...a } }" }),
    ],
    ["variables that nest", `{"query": "${"{ a }"}", "variables": {"a": ${deepJson}}}`],
  ];
  for (const [what, body] of bodies)
    for (const accept of ["application/graphql-response+json", "application/json"])
      test(`${what}, for ${accept}: 400 within 20 ms`, async () => {
        let fastest = Number.POSITIVE_INFINITY;
        for (let attempt = 0; attempt < 5; attempt += 1) {
          const began = undisturbedMs();
          const answer = await fetch(`http://127.0.0.1:${echo.httpPort}/graphql`, {
            ...{ method: "POST", body },
            headers: { "content-type": "application/json", accept },
          });
          const text = await answer.text();
          fastest = Math.min(fastest, undisturbedMs() - began);
          assert.equal(answer.status, 400, text);
          assert.match(text, /QUERY_TOO_LARGE|QUERY_INVALID|MESSAGE_MALFORMED/);
          assert.equal(text.includes('"data"'), false);
        }
        assert.ok(fastest <= 20, `${fastest} ms`);
      });

  test("what is allowed is: depth 10, 30 aliases, a batch of 10, in order", async () => {
    assert.deepEqual((await post({ query: child(8) })).json.data, { unary: { child: null } });
    assert.equal(Object.keys((await post({ query: aliases(30) })).json.data).length, 30);
    const batch = Array.from({ length: 10 }, (_, n) => ({
      query: `mutation { unary(text: "${n}") { text } }`,
    }));
    const { status, json } = await post(batch);
    assert.equal(status, 200);
    assert.deepEqual(
      json.map((one: { data: { unary: { text: string } } }) => one.data.unary.text),
      [..."0123456789"],
    );
  });
});

describe("GraphQL over HTTP", () => {
  test("a mutation by GET is 405, whatever the client takes", async () => {
    for (const accept of ["application/json", "application/graphql-response+json", "text/event-stream"]) {
      const answer = await get(query, { accept });
      assert.equal(answer.status, 405);
      assert.equal(answer.headers.get("allow"), "POST");
      assert.match(await answer.text(), /MUTATION_BY_GET/);
    }
    const put = await fetch(`http://127.0.0.1:${echo.httpPort}/graphql`, { method: "PUT", body: "{}" });
    assert.equal(put.status, 405);
    assert.equal(put.headers.get("allow"), "GET, POST");
  });

  const statuses: readonly (readonly [NonNullable<Plan["code"]>, number])[] = [
    ["unauthenticated", 401],
    ["permission_denied", 403],
    ["resource_exhausted", 429],
    ["unavailable", 503],
    ["not_found", 200],
    ["invalid_argument", 200],
    ["internal", 200],
  ];
  for (const [code, status] of statuses)
    test(`an operation of which nothing came because of ${code} has status ${status}`, async () => {
      const { json, ...answer } = await post(
        { query },
        planned({ code, details: [{ "@type": "RetryInfo", retryDelay: "1s" }] }),
      );
      assert.equal(answer.status, status);
      assert.equal("data" in json, status === 200);
      const [error] = json.errors;
      assert.equal(error.extensions.code, code.toUpperCase());
      assert.deepEqual(error.path, ["unary"]);
      assert.match(JSON.stringify(error.extensions.details), /RetryInfo.*/);
      if (status === 401) assert.equal(answer.headers.get("www-authenticate"), "Bearer");
    });

  test("the limiter's headers and the request's id are passed on, cookies and the like are not", async () => {
    const { headers, json } = await post(
      { query },
      {
        ...planned({
          headers: { ratelimit: '"a";r=1', "retry-after": "3", "set-cookie": "a=b", etag: '"1"' },
        }),
        "x-request-id": "mine-1",
      },
    );
    assert.deepEqual(json.data, { unary: { text: "a" } });
    assert.equal(headers.get("ratelimit"), '"a";r=1');
    assert.equal(headers.get("retry-after"), "3");
    assert.equal(headers.get("x-request-id"), "mine-1");
    assert.equal(headers.get("set-cookie"), null);
    assert.equal(headers.get("etag"), null);
    assert.equal(headers.get("x-content-type-options"), "nosniff");
  });

  test("the client's own time is kept", async () => {
    const { status, json } = await post({ query }, { ...planned({ wait: true }), "portico-timeout": "50m" });
    assert.equal(status, 504);
    assert.equal(json.errors[0].extensions.reason, "DEADLINE_EXCEEDED");
  });

  test("two members of a oneof are refused, one is taken", async () => {
    const both = await post({ query: 'mutation { unary(left: "a", right: 1) { text } }' });
    assert.equal(both.json.errors[0].extensions.code, "INVALID_ARGUMENT");
    const one = await post({ query: "mutation { unary(right: 1) { left right } }" });
    assert.deepEqual(one.json.data, { unary: { left: null, right: 1 } });
  });

  test("what was thrown inside is told to nobody", async () => {
    const { text } = await post({ query }, planned({ throws: "secret-table does not exist" }));
    assert.match(text, /"INTERNAL"/);
    assert.equal(text.includes("secret-table"), false);
  });

  test("a subscription without a stream is refused with the way to have one, with */* it is events", async () => {
    const refused = await post({ query: stream }, { accept: "application/json" });
    assert.equal(refused.status, 406);
    assert.match(refused.text, /text\/event-stream/);
    const events = await fetch(`http://127.0.0.1:${echo.httpPort}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query: stream }),
    });
    assert.equal(
      await events.text(),
      'event: next\ndata: {"data":{"serverStream":{"text":"a"}}}\n\nevent: complete\ndata:\n\n',
    );
  });

  test("introspection may be off: 400, and nothing is suggested", async () => {
    const closed = await startEcho({ graphqlIntrospection: false });
    try {
      const ask = async (text: string) => {
        const answer = await fetch(`http://127.0.0.1:${closed.httpPort}/graphql`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ query: text }),
        });
        return { status: answer.status, text: await answer.text() };
      };
      for (const text of [
        "{ __schema { types { name } } }",
        '{ a: __type(name: "Query") { name } }',
        "{ ...a } fragment a on Query { __schema { types { name } } }",
      ]) {
        const { status, text: answer } = await ask(text);
        assert.equal(status, 400);
        assert.match(answer, /INTROSPECTION_OFF/);
      }
      assert.equal((await ask("{ __typename }")).status, 200);
      assert.equal((await ask("mutation { unari { text } }")).text.includes("Did you mean"), false);
      const page = await fetch(`http://127.0.0.1:${closed.httpPort}/graphql/page/start.js`);
      assert.equal(page.status, 404);
    } finally {
      await closed.close();
    }
  });
});

describe("who leaves GraphQL, and who does not read", () => {
  test("who leaves a running query, or a stream of events, is noticed within 50 ms", async () => {
    for (const [text, accept] of [
      [query, "application/json"],
      [stream, "text/event-stream"],
    ] as const) {
      const leave = new AbortController();
      const id = `leaving-${accept.length}`;
      const answer = fetch(`http://127.0.0.1:${echo.httpPort}/graphql`, {
        ...{ method: "POST", signal: leave.signal, body: JSON.stringify({ query: text }) },
        headers: {
          "content-type": "application/json",
          accept,
          "x-request-id": id,
          ...planned({ wait: true }),
        },
      }).then((response) => response.text());
      const probe = await echo.probe(id);
      leave.abort();
      const began = undisturbedMs();
      await assert.rejects(answer);
      assert.equal((await probe.canceled).code, "canceled");
      assert.ok(undisturbedMs() - began < 50);
    }
  });

  test("a silent stream says now and then that it lives", async () => {
    const leave = new AbortController();
    const answer = await fetch(`http://127.0.0.1:${echo.httpPort}/graphql`, {
      ...{ method: "POST", signal: leave.signal, body: JSON.stringify({ query: stream }) },
      headers: {
        "content-type": "application/json",
        accept: "text/event-stream",
        ...planned({ after: 1, wait: true }),
      },
    });
    let text = "";
    for await (const chunk of answer.body ?? []) {
      text += Buffer.from(chunk as Uint8Array).toString();
      if (text.split("\n:\n").length > 2) break;
    }
    leave.abort();
  });

  /** 4 GiB, if anybody took them. */
  const endless: Plan = { count: 65_536, size: 65_536 };

  test("a reader of events that stops costs no more than the buffers", async () => {
    const socket = connect(echo.httpPort, "127.0.0.1");
    const body = JSON.stringify({ query: stream });
    socket.write(
      `POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\naccept: text/event-stream\r\nx-request-id: slow-events\r\necho-plan: ${JSON.stringify(endless)}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await stopsProducing("slow-events");
    socket.destroy();
    await (await echo.probe("slow-events")).over;
  });

  const openSocket = async (headers: Record<string, string>): Promise<WebSocket> => {
    const socket = new WebSocket(`ws://127.0.0.1:${echo.httpPort}/graphql`, "graphql-transport-ws", {
      headers,
    });
    await new Promise((resolve) => socket.once("open", resolve));
    socket.send('{"type":"connection_init"}');
    await new Promise((resolve) => socket.once("message", resolve));
    return socket;
  };
  const subscribe = (socket: WebSocket, id: string, text: string): void =>
    socket.send(JSON.stringify({ id, type: "subscribe", payload: { query: text } }));

  test("a reader of a socket that stops costs no more than the buffers", async () => {
    const socket = await openSocket(planned({ ...endless, id: "stopped-socket" }));
    socket.pause();
    subscribe(socket, "a", stream);
    const probe = await echo.probe("stopped-socket");
    await settles(() => probe.produced);
    socket.terminate();
    await probe.over;
    assert.ok(probe.produced < 400);
  });

  test("a query that a socket's client has enough of is cancelled, and the socket goes on", async () => {
    const socket = await openSocket(planned({ wait: true, id: "enough" }));
    subscribe(socket, "a", query);
    const probe = await echo.probe("enough");
    const began = undisturbedMs();
    socket.send('{"id":"a","type":"complete"}');
    assert.equal((await probe.canceled).code, "canceled");
    assert.ok(undisturbedMs() - began < 50);
    socket.send('{"type":"ping"}');
    assert.match(String(await new Promise((resolve) => socket.once("message", resolve))), /pong/);
    socket.close();
  });

  test("a message that nests without end closes its socket, and nothing else", async () => {
    const socket = await openSocket({});
    socket.send(
      `{"id":"a","type":"subscribe","payload":{"query":"{ a }","variables":{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}}}`,
    );
    assert.equal(await new Promise((resolve) => socket.once("close", resolve)), 4400);
    assert.equal((await post({ query })).status, 200);
  });

  test("a socket takes a hundred operations, and more when some are over", async () => {
    const socket = await openSocket(planned({ wait: true }));
    const told: { id: string; type: string; payload?: unknown }[] = [];
    socket.on("message", (text) => told.push(JSON.parse(String(text))));
    for (let n = 0; n <= 100; n += 1) subscribe(socket, `n${n}`, stream);
    await settles(() => told.length);
    assert.deepEqual(
      told.map(({ id, type }) => [id, type]),
      [["n100", "error"]],
    );
    assert.match(JSON.stringify(told[0]?.payload), /SOCKET_CALLS_LIMITED/);
    socket.send('{"id":"n0","type":"complete"}');
    subscribe(socket, "again", stream);
    await settles(() => told.length);
    assert.equal(told.length, 1, JSON.stringify(told));
    socket.terminate();
  });

  async function stopsProducing(id: string): Promise<void> {
    const probe = await echo.probe(id);
    await settles(() => probe.produced);
    // 64 KiB each: the kernel's buffers of both sides, and one of ours.
    assert.ok(probe.produced < 400, `${probe.produced} messages were made for a reader who does not read`);
  }

  /** Until the number is the same for 200 ms. */
  async function settles(number: () => number): Promise<void> {
    let before = -1;
    while (before !== number()) {
      before = number();
      await sleep(200);
    }
    assert.ok(before < 400, `${before}`);
  }
});

describe("GraphQL over HTTP, of several calls", () => {
  /** What the calls to come say, in their order. */
  const said: (readonly [ratelimit: string, policy: string, wait: string])[] = [];
  let limited: EchoServer;
  before(async () => {
    const tell: Interceptor = (next) => (call) => {
      const [ratelimit, policy, wait] = said.shift() ?? [];
      if (ratelimit !== undefined) call.responseHeaders.set("ratelimit", ratelimit);
      if (policy !== undefined) call.responseHeaders.set("ratelimit-policy", policy);
      if (wait !== undefined) call.responseHeaders.set("retry-after", wait);
      return next(call);
    };
    limited = await startEcho({ interceptors: [tell] });
  });
  after(() => limited.close());

  const alone = 'mutation { unary(text: "a") { text } }';
  const aliased = 'mutation { a: unary(text: "a") { text } b: unary(text: "b") { text } c: unary { text } }';
  for (const [what, body] of [
    ["one operation", { query: aliased }],
    ["a batch", [{ query: alone }, { query: alone }, { query: alone }]],
  ] as const)
    test(`${what} tells the least that is left, with its policy, and the longest wait`, async () => {
      said.push(
        ['"a";r=5;t=1', '"a";q=10', "3"],
        ['"b";r=2;t=9', '"b";q=3', "9"],
        ['"a";r=4;t=2', '"a";q=10', "4"],
      );
      const { headers, status } = await ask(`http://127.0.0.1:${limited.httpPort}`, "POST", "/graphql", {
        body,
      });
      assert.equal(status, 200);
      assert.deepEqual(
        ["ratelimit", "ratelimit-policy", "retry-after"].map((name) => headers.get(name)),
        ['"b";r=2;t=9', '"b";q=3', "9"],
      );
    });
});
