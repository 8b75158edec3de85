/** The client that Portico brings, against a real server. */
import assert from "node:assert/strict";
import { createServer, type Server, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { CallError, type Client, connect } from "#client/client.ts";
import { type EchoServer, startEcho } from "../support/echo.ts";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { ask, bpmnXml } from "../support/portico.ts";

const me = "portico.users.v1.UserService/GetUser";
const subscribe = "portico.events.v1.EventService/Subscribe";
const rejects = async (call: Promise<unknown>, code: string, reason?: string): Promise<CallError> => {
  const error: unknown = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof CallError, `${error}`);
  assert.deepEqual(
    [error.code, ...(reason === undefined ? [] : [error.reason])],
    [code, ...(reason === undefined ? [] : [reason])],
  );
  return error;
};

/** A line to the server that can be cut. */
class Line {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  port = 0;
  opened = 0;

  constructor(target: () => number) {
    this.#server = createServer((socket) => {
      this.opened += 1;
      const onward = new (socket.constructor as new () => Socket)().connect(target(), "127.0.0.1");
      for (const one of [socket, onward]) {
        this.#sockets.add(one);
        one.on("error", () => {});
        one.on("close", () => {
          this.#sockets.delete(one);
          socket.destroy();
          onward.destroy();
        });
      }
      socket.pipe(onward).pipe(socket);
    });
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    this.port = (this.#server.address() as { port: number }).port;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}

describe("the client", () => {
  let echo: EchoServer;
  let client: Client;
  before(async () => {
    echo = await startEcho();
    client = connect(`http://127.0.0.1:${echo.httpPort}`, { client: "test/1" });
  });
  after(async () => {
    client.close();
    await echo.close();
  });
  const plan = (what: object) => ({ metadata: { "echo-plan": JSON.stringify(what) } });

  test("asks and is answered, many at once on one socket", async () => {
    assert.equal(client.state, "idle");
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        client.unary<{ text: string; int64Value: string }>("test.v1.Echo/Unary", {
          ...{ text: `t${n}`, int64Value: "9007199254740993" },
        }),
      ),
    );
    assert.deepEqual(
      answers.map(({ text }) => text),
      Array.from({ length: 50 }, (_, n) => `t${n}`),
    );
    assert.equal(answers[0]?.int64Value, "9007199254740993");
    assert.equal(client.state, "open");
  });

  test("says how a call failed", async () => {
    const error = await rejects(
      client.unary(
        "test.v1.Echo/Unary",
        { text: "a" },
        plan({ code: "not_found", details: [{ "@type": "RetryInfo" }] }),
      ),
      "not_found",
    );
    assert.ok(error.details.length > 0);
    await rejects(client.unary("test.v1.Echo/Unary", { nothing: 1 }), "invalid_argument", "FIELD_UNKNOWN");
    await rejects(client.unary("test.v1.Echo/Nothing", {}), "unimplemented", "METHOD_UNKNOWN");
    await rejects(
      client.unary("test.v1.Echo/Unary", {}, { ...plan({ wait: true }), timeoutMs: 30 }),
      "deadline_exceeded",
    );
  });

  test("takes 64-bit integers as they are, and refuses at once what cannot be JSON", {
    timeout: 5000,
  }, async () => {
    const answer = await client.unary<{ int64Value: string }>("test.v1.Echo/Unary", {
      int64Value: -(2n ** 63n),
    });
    assert.equal(answer.int64Value, "-9223372036854775808");
    const ring: { text?: unknown } = {};
    ring.text = ring;
    await rejects(client.unary("test.v1.Echo/Unary", ring), "invalid_argument", "MESSAGE_MALFORMED");
    const call = client.call("test.v1.Echo/ClientStream");
    await rejects(call.send(ring), "invalid_argument", "MESSAGE_MALFORMED");
    await rejects(call.only(), "invalid_argument", "MESSAGE_MALFORMED");
  });

  test("streams both ways", async () => {
    const call = client.call<{ text: string }, { text: string }>("test.v1.Echo/BidiStream");
    const answers = call[Symbol.asyncIterator]();
    for (const text of ["a", "b", "c"]) {
      await call.send({ text });
      assert.equal((await answers.next()).value?.text, text);
    }
    await call.end();
    assert.equal((await answers.next()).done, true);
    const sum = client.call<{ text: string }, { text: string }>("test.v1.Echo/ClientStream");
    for (let n = 0; n < 100; n += 1) await sum.send({ text: "x" });
    await sum.end();
    assert.equal((await sum.only()).text, "x".repeat(100));
  });

  test("holds no more than its window, and waits where the server takes no more", async () => {
    const id = "client-window";
    const slow = client.serverStream<{ text: string }>(
      "test.v1.Echo/ServerStream",
      { text: "a" },
      { window: 8, metadata: { ...plan({ count: 1000 }).metadata, "x-request-id": id } },
    );
    const answers = slow[Symbol.asyncIterator]();
    await answers.next();
    await new Promise((resolve) => setTimeout(resolve, 60));
    const probe = await echo.probe(id);
    assert.ok(probe.produced <= 14, `${probe.produced} were made`);
    await answers.return(undefined);
    assert.equal((await probe.canceled).code, "canceled");
    const stuck = client.call("test.v1.Echo/BidiStream", plan({ wait: true }));
    let sent = 0;
    const sending = (async () => {
      for (; sent < 100; sent += 1) await stuck.send({ text: "x" });
    })();
    while (sent < 16) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.equal(sent, 16);
    stuck.cancel();
    await rejects(sending, "cancelled");
  });

  test("an AbortSignal ends a call, before and while it runs", async () => {
    await rejects(
      client.unary("test.v1.Echo/Unary", {}, { signal: AbortSignal.abort() }),
      "cancelled",
      "CALL_CANCELLED",
    );
    const running = client.unary(
      "test.v1.Echo/Unary",
      {},
      { ...plan({ wait: true }), signal: AbortSignal.timeout(20) },
    );
    await rejects(running, "cancelled", "CALL_CANCELLED");
  });

  test("a lost connection fails the calls on it, and the next call makes a new one", async () => {
    const line = new Line(() => echo.httpPort);
    await line.listen();
    const cut = connect(`http://127.0.0.1:${line.port}`);
    await cut.unary("test.v1.Echo/Unary", {});
    const running = cut.unary("test.v1.Echo/Unary", {}, plan({ wait: true, id: "cut" }));
    await echo.probe("cut");
    line.cut();
    await rejects(running, "unavailable", "CONNECTION_LOST");
    await cut.unary("test.v1.Echo/Unary", {});
    assert.equal(line.opened, 2);
    cut.close();
    await rejects(cut.unary("test.v1.Echo/Unary", {}), "cancelled", "CLIENT_CLOSED");
    line.close();
  });

  test("where nobody listens, a call fails when its time for a connection is over", async () => {
    const nobody = connect("http://127.0.0.1:1", { connectMs: 80 });
    await rejects(nobody.unary("test.v1.Echo/Unary", {}), "unavailable", "CONNECTION_LOST");
    nobody.close();
  });

  test("an address that is none is refused at once", () => {
    assert.throws(() => connect("nowhere"), TypeError);
  });
});

describe("the client, where it is asked who it is", () => {
  let server: IdentityServer;
  const write = (id: string) =>
    ask(server.base, "POST", `/api/v1/bpmn?documentId=${id}`, {
      headers: { "x-api-key": server.adminKey },
      body: { xml: bpmnXml() },
    });
  before(async () => {
    server = await startIdentity({ webSocketLimits: { checkMs: 50, drainMs: 300 } });
  });
  after(() => server.close());

  test("shows its token, and fails where it is no good", async () => {
    const good = connect(server.base, { token: server.adminKey });
    assert.equal((await good.unary<{ id: string }>(me, { id: "me" })).id.length > 0, true);
    good.close();
    const bad = connect(server.base, { token: "ptk_test_nobody" });
    await rejects(bad.unary(me, {}), "unauthenticated", "CREDENTIAL_INVALID");
    bad.close();
  });

  test("asks for a newer token once, where the first has ended", async () => {
    let asked = 0;
    const late = connect(server.base, {
      token: () => {
        asked += 1;
        return asked === 1
          ? server.token({ exp: Math.floor(Date.now() / 1000) - 100 })
          : server.token({ sub: "admin" });
      },
    });
    await late.unary(me, {});
    assert.equal(asked, 2);
    late.close();
    asked = -100;
    const never = connect(server.base, { token: () => `ptk_test_${++asked}` });
    await rejects(never.unary(me, {}), "unauthenticated");
    assert.equal(asked, -98);
    never.close();
  });

  test("renews a token that ends soon, without a break", async () => {
    let asked = 0;
    const client = connect(server.base, {
      token: () => {
        asked += 1;
        const seconds = asked === 1 ? 3 : 600;
        return server.token({ sub: "admin", exp: Math.floor(Date.now() / 1000) + seconds });
      },
    });
    const stream = client.follow<{ subject: string }>(subscribe, { topics: ["bpmn/*"] });
    const first = stream.next();
    for (let n = 0; n < 100 && asked < 2; n += 1) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(asked, 2);
    await write("renewed");
    assert.equal((await first).value?.subject, "bpmn/renewed");
    client.close();
  });

  test("follows events over lost connections, and misses none", async () => {
    const line = new Line(() => Number(new URL(server.base).port));
    await line.listen();
    const client = connect(`http://127.0.0.1:${line.port}`, { token: server.adminKey });
    const seen: string[] = [];
    const following = (async () => {
      const events = client.follow<{ subject: string }>(subscribe, { topics: ["bpmn/*"], after: "0" });
      for await (const { subject } of events) {
        if (subject.startsWith("bpmn/f-")) seen.push(subject);
        if (seen.length === 12) return;
      }
    })();
    for (let n = 0; n < 12; n += 1) {
      const made = await write(`f-${n}`);
      assert.ok(made.status < 300, made.text);
      if (n % 4 === 3) line.cut();
    }
    await following;
    assert.deepEqual(
      seen,
      Array.from({ length: 12 }, (_, n) => `bpmn/f-${n}`),
    );
    assert.ok(line.opened > 1);
    client.close();
    line.close();
  });

  test("goes elsewhere when the server drains, and its running calls end well", async () => {
    const old = await startIdentity({ webSocketLimits: { drainMs: 1500 } });
    const next = await startIdentity();
    let target = old;
    const line = new Line(() => Number(new URL(target.base).port));
    await line.listen();
    let key = old.adminKey;
    const client = connect(`http://127.0.0.1:${line.port}`, { token: () => key });
    await client.unary(me, {});
    const following = client.serverStream(subscribe, { topics: ["bpmn/*"] });
    const ended = rejects(following.only(), "unavailable");
    target = next;
    key = next.adminKey;
    const drained = old.drain();
    for (let n = 0; n < 100 && client.state === "open"; n += 1)
      await new Promise((resolve) => setTimeout(resolve, 10));
    // The old connection still has its call; new calls go on a new one.
    await client.unary(me, {});
    assert.equal(line.opened, 2);
    await ended;
    await drained;
    client.close();
    line.close();
    await old.close();
    await next.close();
  });
});
