/**
 * WebSockets as programs and pages meet them: who may open one, what may be said on it, and how it ends. Long because all of it is said with one
 * small client and one pair of servers, which take longer to start than the tests to run.
 */
import assert from "node:assert/strict";
import { request } from "node:http";
import { connect as connectTcp } from "node:net";
import { after, before, describe, test } from "node:test";
import { type ClientOptions, WebSocket } from "ws";
import { type Clock, systemClock } from "#std/clock.ts";
import { type EchoServer, startEcho } from "../support/echo.ts";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { ask, bpmnXml } from "../support/portico.ts";
import { frame, Raw, text } from "../support/websocket-bytes.ts";

interface ServerFrame {
  readonly id?: string;
  readonly ready?: { readonly heartbeatSeconds: number; readonly maxCalls: number };
  readonly message?: Record<string, unknown>;
  readonly credit?: number;
  readonly end?: {
    readonly status: {
      readonly code: number;
      readonly message: string;
      readonly details?: readonly { readonly reason?: string }[];
    };
  };
  readonly notice?: { readonly kind: string };
}

/** One socket, and what came on it. */
class Talk {
  readonly socket: WebSocket;
  readonly frames: ServerFrame[] = [];
  closed: { readonly code: number; readonly reason: string } | undefined;
  refused: { readonly status: number; readonly body: string } | undefined;
  readonly #wakers: (() => void)[] = [];

  constructor(url: string, options: ClientOptions & { readonly protocols?: string[] } = {}) {
    const { protocols = ["portico.v1+json"], ...rest } = options;
    this.socket = new WebSocket(url.replace("http", "ws"), protocols, rest);
    this.socket.on("message", (data: Buffer) => {
      this.frames.push(JSON.parse(data.toString()));
      this.#wake();
    });
    this.socket.on("close", (code, reason) => {
      this.closed = { code, reason: reason.toString() };
      this.#wake();
    });
    this.socket.on("error", () => this.#wake());
    this.socket.on("unexpected-response", (_, response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        body += chunk;
      });
      response.on("end", () => {
        this.refused = { status: response.statusCode ?? 0, body };
        this.#wake();
      });
    });
  }

  async opened(): Promise<this> {
    await this.until(() => this.socket.readyState === WebSocket.OPEN || this.refused !== undefined);
    assert.equal(this.refused, undefined);
    return this;
  }

  send(frame: object | string): void {
    this.socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  async until<T>(look: () => T | undefined | false, ms = 3000): Promise<T> {
    const late = Date.now() + ms;
    for (;;) {
      const found = look();
      if (found !== undefined && found !== false) return found;
      const left = late - Date.now();
      if (left <= 0) throw new Error(`it did not come; there is ${JSON.stringify(this.frames).slice(-500)}`);
      await new Promise<void>((resolve) => {
        this.#wakers.push(resolve);
        setTimeout(resolve, Math.min(left, 20));
      });
    }
  }

  end(id: string, ms?: number): Promise<NonNullable<ServerFrame["end"]>["status"]> {
    return this.until(
      () => this.frames.find((frame) => frame.id === id && frame.end !== undefined)?.end?.status,
      ms,
    );
  }

  messages(id: string): Record<string, unknown>[] {
    return this.frames.flatMap((frame) =>
      frame.id === id && frame.message !== undefined ? [frame.message] : [],
    );
  }

  close(): void {
    this.socket.terminate();
  }

  #wake(): void {
    for (const waker of this.#wakers.splice(0)) waker();
  }
}

const getMe = { method: "portico.users.v1.UserService/GetUser" };

describe("a WebSocket to a Portico that asks who calls", () => {
  let server: IdentityServer;
  let aheadMs = 0;
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + aheadMs };
  let key: string;
  const talks: Talk[] = [];
  const talk = (path = "/ws", options: ConstructorParameters<typeof Talk>[1] = {}): Talk => {
    const made = new Talk(`${server.base}${path}`, options);
    talks.push(made);
    return made;
  };

  before(async () => {
    server = await startIdentity({ clock, webSocketLimits: { initMs: 150, checkMs: 50, drainMs: 400 } });
    key = await server.userWithKey("vera", ["viewer"]);
  });
  after(async () => {
    for (const one of talks) one.close();
    await server.close();
  });

  test("takes the credential from the first frame", async () => {
    const one = await talk().opened();
    one.send({ init: { token: key, client: "test/1" } });
    const ready = await one.until(() => one.frames[0]?.ready);
    assert.deepEqual([ready.heartbeatSeconds, ready.maxCalls], [15, 100]);
    one.send({ id: "1", call: getMe, message: { id: "me" } });
    assert.equal((await one.end("1")).code, 0);
    assert.equal(one.messages("1")[0]?.id, "vera");
  });

  for (const name of ["authorization", "x-api-key"])
    test(`takes the credential from ${name}`, async () => {
      const value = name === "authorization" ? `Bearer ${key}` : key;
      const one = await talk("/ws", { headers: { [name]: value } }).opened();
      one.send({ id: "1", call: getMe, message: {} });
      assert.equal((await one.end("1")).code, 0);
    });

  test("takes a ticket once, and for as many calls as follow", async () => {
    const made = await ask(server.base, "POST", "/api/v1/auth:ticket", {
      headers: { "x-api-key": key },
      body: {},
    });
    const one = await talk(`/ws?ticket=${made.json.ticket}`).opened();
    for (const id of ["1", "2", "3"]) {
      one.send({ id, call: getMe, message: {} });
      assert.equal((await one.end(id)).code, 0);
    }
    const two = talk(`/ws?ticket=${made.json.ticket}`);
    assert.equal((await two.until(() => two.closed)).code, 4401);
    assert.equal(one.closed, undefined);
  });

  test("never takes a token from the URL", async () => {
    for (const query of [`token=${key}`, `x=1&access_token=${key}`]) {
      const one = talk(`/ws?${query}`);
      const { status, body } = await one.until(() => one.refused);
      assert.equal(status, 400);
      assert.match(body, /CREDENTIAL_IN_URL/);
      assert.ok(!body.includes(key));
    }
  });

  test("begins nothing before it knows whose credential the handshake had, or the frame before", async () => {
    const call = { id: "1", call: { method: "portico.bpmn.v1.BPMNService/ListBPMN" }, message: {} };
    const bad = await server.token({ exp: "soon" });
    const init = frame(text, JSON.stringify({ init: { token: bad } }));
    const early = frame(text, JSON.stringify(call));
    const port = Number(new URL(server.base).port);
    for (const raw of [
      new Raw(port, "/ws", early, [`Authorization: Bearer ${bad}`]),
      new Raw(port, "/ws", Buffer.concat([init, early, early])),
    ]) {
      await raw.until(() => raw.frames.some(({ opcode }) => opcode === 8));
      const said = raw.frames.map(({ opcode, payload }) =>
        opcode === 8 ? payload.readUInt16BE(0) : payload.toString(),
      );
      assert.deepEqual(
        said.filter((one) => !String(one).startsWith('{"ready"')),
        [4401],
      );
      raw.socket.destroy();
    }
  });

  test("closes with 4401 where the token is no good, and where it ends", async () => {
    const one = await talk().opened();
    one.send({ init: { token: "ptk_test_none" } });
    assert.equal((await one.until(() => one.closed)).code, 4401);
    const ends = Math.floor(clock.now() / 1000) + 3;
    const two = await talk().opened();
    two.send({ init: { token: await server.token({ sub: "admin", exp: ends }) } });
    await two.until(() => two.frames.find(({ ready }) => ready !== undefined));
    // Less than a minute is left: the client is told, and a newer token in the same way keeps the socket.
    await two.until(() => two.frames.find(({ notice }) => notice?.kind === "token_expiring"));
    two.send({ init: { token: await server.token({ sub: "admin" }) } });
    await two.until(() => two.frames.filter(({ ready }) => ready !== undefined).length === 2);
    const three = await talk().opened();
    three.send({ init: { token: await server.token({ sub: "admin", exp: ends }) } });
    await three.until(() => three.frames.find(({ ready }) => ready !== undefined));
    aheadMs += 5000;
    assert.equal((await three.until(() => three.closed)).code, 4401);
    assert.equal(two.closed, undefined);
  });

  test("a user who is suspended loses the socket", async () => {
    const one = await talk("/ws", {
      headers: { "x-api-key": await server.userWithKey("sam", ["viewer"]) },
    }).opened();
    one.send({
      id: "s",
      call: { method: "portico.events.v1.EventService/Subscribe" },
      message: { topics: ["bpmn/*"] },
    });
    const suspended = await ask(server.base, "POST", "/api/v1/users/sam:suspend", {
      headers: { "x-api-key": server.adminKey },
      body: {},
    });
    assert.equal(suspended.status, 200, suspended.text);
    assert.equal((await one.until(() => one.closed, 6000)).code, 4401);
  });

  test("without any credential, calls are refused one by one, and silence closes with 4408", async () => {
    const one = await talk().opened();
    one.send({ id: "1", call: getMe, message: {} });
    const status = await one.end("1");
    assert.equal(status.code, 16);
    const two = await talk().opened();
    assert.equal((await two.until(() => two.closed)).code, 4408);
    assert.equal(one.closed, undefined);
  });

  test("a call may have a credential of its own", async () => {
    const one = await talk("/ws", { headers: { "x-api-key": key } }).opened();
    one.send({
      id: "1",
      call: { ...getMe, metadata: { "X-API-Key": server.adminKey } },
      message: { id: "me" },
    });
    assert.equal((await one.end("1")).code, 0);
    assert.notEqual(one.messages("1")[0]?.id, "vera");
  });

  test("a page of a foreign origin opens none", async () => {
    for (const path of ["/ws", "/api/v1/events:subscribe?topics=bpmn/*"]) {
      const one = talk(path, { headers: { origin: "https://evil.example", "x-api-key": key } });
      const { status, body } = await one.until(() => one.refused);
      assert.equal(status, 403);
      assert.match(body, /CORS_ORIGIN_FOREIGN/);
    }
    await talk("/ws", { headers: { origin: server.base } }).opened();
  });

  test("speaks no other subprotocol", async () => {
    const one = talk("/ws", { protocols: ["graphql-ws", "portico.v2+json"] });
    // Its own client library ends first, because no protocol was chosen; both say that nothing can be said here.
    await one.until(() => one.closed);
    assert.equal(one.socket.protocol, "");
    const none = await talk("/ws", { protocols: [], headers: { "x-api-key": key } }).opened();
    none.send({ id: "1", call: getMe, message: {} });
    assert.equal((await none.end("1")).code, 0);
  });

  test("what happens is told on a socket at the method's path, by a ticket too", async () => {
    const made = await ask(server.base, "POST", "/api/v1/auth:ticket", {
      headers: { "x-api-key": key },
      body: {},
    });
    const one = await talk(`/api/v1/events:subscribe?topics=bpmn/*&after=0&ticket=${made.json.ticket}`, {
      protocols: [],
    }).opened();
    const created = await ask(server.base, "POST", "/api/v1/bpmn?documentId=told", {
      headers: { "x-api-key": server.adminKey },
      body: { xml: bpmnXml() },
    });
    assert.ok(created.status < 300, created.text);
    const event = await one.until(() => one.frames[0] as Record<string, unknown> | undefined);
    assert.deepEqual([event.type, event.subject], ["portico.bpmn.created.v1", "bpmn/told"]);
  });

  test("a method's own socket says why it is refused", async () => {
    const one = talk("/api/v1/events:subscribe?topics=bpmn/*", { protocols: [] });
    const { error } = await one.until(() => one.frames[0] as { error?: { code: number } } | undefined);
    assert.equal(error?.code, 16);
    const { code, reason } = await one.until(() => one.closed);
    assert.equal(code, 4016);
    assert.match(reason, /^CREDENTIAL_MISSING: /);
    const two = talk("/api/v1/nothing", { protocols: [] });
    const { status, body } = await two.until(() => two.refused);
    assert.equal(status, 404);
    assert.match(body, /ROUTE_NOT_FOUND/);
  });

  test("before the server ends, clients are told to go, and calls that run are left to end", async () => {
    const draining = await startIdentity({ webSocketLimits: { drainMs: 400 } });
    const one = await new Talk(`${draining.base}/ws`, {
      headers: { "x-api-key": draining.adminKey },
    }).opened();
    const drained = draining.drain();
    await one.until(() => one.frames.find(({ notice }) => notice?.kind === "draining"));
    one.send({ id: "late", call: getMe, message: {} });
    assert.equal((await one.end("late")).code, 0);
    assert.equal((await one.until(() => one.closed)).code, 1012);
    await drained;
    await draining.close();
  });
});

describe("a client that does not read", () => {
  const maxWaitingBytes = 256 * 1024;
  let echo: EchoServer;
  /** The one that asks often whether its clients are there. */
  let pinging: EchoServer;
  before(async () => {
    echo = await startEcho({ webSocketLimits: { maxWaitingBytes } });
    pinging = await startEcho({ webSocketLimits: { maxWaitingBytes, heartbeatMs: 1000 } });
  });
  after(async () => {
    await echo.close();
    await pinging.close();
  });
  const open = (at = echo) => new Talk(`http://127.0.0.1:${at.httpPort}/ws`).opened();
  const planned = (method: string, plan: object) => ({
    method: `test.v1.Echo/${method}`,
    metadata: { "echo-plan": JSON.stringify(plan) },
  });
  /** What both kernels hold for a connection at most, and more. */
  const flood = 48 * 1024 * 1024;

  test("and asks for more is closed with 1013, and nothing more is done for it", async () => {
    const one = await open();
    one.socket.pause();
    const each = 512 * 1024;
    const text = "x".repeat(each);
    for (let sent = 0; sent < flood; sent += each) {
      one.send({ id: `c${sent}`, call: planned("Unary", {}), message: { text } });
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    one.send({ id: "late", call: planned("Unary", { id: "too-late" }), message: { text: "a" } });
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(echo.ran("too-late"), false);
    one.socket.resume();
    const closed = await one.until(() => one.closed, 10_000);
    assert.deepEqual(
      [closed.code, closed.reason],
      [1013, "answers wait and are not read; read, or ask for less at once"],
    );
    assert.ok(one.frames.length < flood / each);
  });

  test("lets its streams wait together, and gets all of them when it reads again", async () => {
    const one = await open();
    const [streams, count, size] = [50, 20, 64 * 1024];
    one.socket.pause();
    for (let n = 0; n < streams; n += 1)
      one.send({
        id: `s${n}`,
        call: planned("ServerStream", { count, size, id: `lazy-${n}` }),
        message: { text: "a" },
      });
    const probes = await Promise.all(
      Array.from({ length: streams }, (_unused, n) => echo.probe(`lazy-${n}`)),
    );
    await new Promise((resolve) => setTimeout(resolve, 500));
    const produced = probes.reduce((sum, probe) => sum + probe.produced, 0);
    assert.ok(produced < streams * count, "somebody waits");
    one.socket.resume();
    for (let n = 0; n < streams; n += 1) {
      // 64 MB of JSON through one thread, both ends of it.
      assert.equal((await one.end(`s${n}`, 30_000)).code, 0);
      assert.equal(one.messages(`s${n}`).length, count);
    }
    one.close();
  });

  test("not even pings is closed with 1013 where something waits for it", async () => {
    const one = await open(pinging);
    one.send({
      id: "s",
      call: planned("ServerStream", { count: 100_000, size: 64 * 1024, id: "endless" }),
      message: { text: "a" },
    });
    await one.until(() => one.frames.length > 0);
    one.socket.pause();
    const probe = await pinging.probe("endless");
    await probe.canceled;
    one.socket.resume();
    const closed = await one.until(() => one.closed, 10_000);
    // It had a second to come to the reason.
    assert.ok([1013, 1006].includes(closed.code));
  });
});

describe("what is said on a WebSocket", () => {
  let echo: EchoServer;
  let socket: Talk;
  const unary = { method: "test.v1.Echo/Unary" };
  const bidi = { method: "test.v1.Echo/BidiStream" };
  before(async () => {
    echo = await startEcho({
      webSocketLimits: { maxSockets: 8, heartbeatMs: 100, maxFrameBytes: 64 * 1024 },
    });
  });
  after(() => echo.close());
  const open = (path = "/ws", protocols = ["portico.v1+json"]): Promise<Talk> => {
    socket?.close();
    socket = new Talk(`http://127.0.0.1:${echo.httpPort}${path}`, { protocols });
    return socket.opened();
  };

  test("64-bit integers survive, as text and as numbers", async () => {
    const one = await open();
    one.send('{"id":"1","call":{"method":"test.v1.Echo/Unary"},"message":{"int64Value":9007199254740993}}');
    one.send({ id: "2", call: unary, message: { int64Value: "-9223372036854775808" } });
    await Promise.all([one.end("1"), one.end("2")]);
    assert.equal(one.messages("1")[0]?.int64Value, "9007199254740993");
    assert.equal(one.messages("2")[0]?.int64Value, "-9223372036854775808");
  });

  const bad: readonly [string, string, number, RegExp][] = [
    ["no JSON", "{", 4400, /JSON/],
    ["no object", "[1]", 4400, /object/],
    ["an unknown field", '{"id":"1","cal":{}}', 4400, /cal/],
    ["a number too large to be one", `{"id":"1","credit":${"9".repeat(30)}}`, 4400, /credit/],
    ["no id", '{"call":{"method":"test.v1.Echo/Unary"}}', 4400, /id/],
    ["init beside a call", `{"init":{},"id":"1","call":{"method":"test.v1.Echo/Unary"}}`, 4400, /own/],
    ["an id of other signs", '{"id":"a b","call":{"method":"test.v1.Echo/Unary"}}', 4400, /id/],
    ["an id that is running", '{"id":"run","call":{"method":"test.v1.Echo/BidiStream"}}', 4409, /run/],
    ["a frame that is too long", `{"id":"1","message":"${"x".repeat(65 * 1024)}"}`, 1009, /./],
  ];
  for (const [what, text, code, reason] of bad)
    test(`${what} closes the socket with ${code}`, async () => {
      const one = await open();
      one.send({ id: "run", call: bidi });
      one.send(text);
      const closed = await one.until(() => one.closed);
      assert.equal(closed.code, code);
      if (code !== 1009) assert.match(closed.reason, reason);
    });

  test("a binary frame is none of portico.v1+json", async () => {
    const one = await open();
    one.socket.send(Buffer.from([8, 1]));
    assert.equal((await one.until(() => one.closed)).code, 4400);
  });

  test("frames that come together with the handshake are read", async () => {
    const said = async (path: string, first: string): Promise<Record<string, unknown>> => {
      const raw = new Raw(echo.httpPort, path, frame(text, first));
      await raw.until(() => raw.frames.some(({ payload }) => payload.includes("early")));
      raw.socket.destroy();
      return JSON.parse(
        raw.frames.find(({ payload }) => payload.includes("early"))?.payload.toString() ?? "",
      );
    };
    const call = { id: "1", call: unary, message: { text: "early" } };
    assert.equal(((await said("/ws", JSON.stringify(call))).message as { text: string }).text, "early");
    assert.equal((await said("/test.v1.Echo/Unary", '{"text": "early"}')).text, "early");
  });

  test("an error is of its call alone", async () => {
    const one = await open();
    one.send({ id: "1", call: { method: "test.v1.Echo/None" }, message: {} });
    one.send({ id: "2", call: unary, message: { nothing: 1 } });
    one.send({ id: "3", call: unary, end: true });
    one.send({ id: "4", call: unary, message: { text: "good" } });
    const reasons: (string | undefined)[] = [];
    for (const id of ["1", "2", "3"]) reasons.push((await one.end(id)).details?.[0]?.reason);
    assert.deepEqual(reasons, ["METHOD_UNKNOWN", "FIELD_UNKNOWN", "MESSAGE_COUNT_INVALID"]);
    assert.equal((await one.end("4")).code, 0);
  });

  test("the hundred and first call at once is refused, and the others go on", async () => {
    const one = await open();
    for (let n = 0; n < 101; n += 1) one.send({ id: `c${n}`, call: bidi });
    assert.equal((await one.end("c100")).details?.[0]?.reason, "SOCKET_CALLS_LIMITED");
    one.send({ id: "c0", message: { text: "still" }, end: true });
    assert.equal((await one.end("c0")).code, 0);
    assert.equal(one.messages("c0")[0]?.text, "still");
  });

  test("who sends more than the call takes ends it", async () => {
    const one = await open();
    one.send({ id: "1", call: { ...bidi, metadata: { "echo-plan": JSON.stringify({ wait: true }) } } });
    for (let n = 0; n < 40; n += 1) one.send({ id: "1", message: { text: "m" } });
    assert.equal((await one.end("1")).details?.[0]?.reason, "CREDIT_EXCEEDED");
  });

  test("credit of a call and of the connection hold the answers back", async () => {
    const one = await open();
    const plan = { "echo-plan": JSON.stringify({ count: 20 }) };
    one.send({ init: { credit: 5 } });
    const stream = { method: "test.v1.Echo/ServerStream", metadata: plan };
    one.send({ id: "1", call: { ...stream, credit: 3 }, message: { text: "a" } });
    one.send({ id: "2", call: stream, message: { text: "b" } });
    const count = (): number => one.messages("1").length + one.messages("2").length;
    /** So many messages come, and none behind them. */
    const come = async (expected: number): Promise<void> => {
      await one.until(() => count() >= expected);
      await new Promise((resolve) => setTimeout(resolve, 60));
      assert.equal(count(), expected);
    };
    await come(5);
    assert.ok(one.messages("1").length <= 3);
    one.send({ credit: 40 });
    await come(23);
    assert.deepEqual([one.messages("1").length, one.messages("2").length], [3, 20]);
    one.send({ id: "1", credit: 20 });
    assert.equal((await one.end("1")).code, 0);
    assert.equal(one.messages("1").length, 20);
  });

  test("metadata goes in and comes out, and a timeout is a deadline", async () => {
    const one = await open();
    one.send({
      id: "1",
      call: { ...unary, timeoutMs: 40, metadata: { "echo-plan": JSON.stringify({ wait: true }) } },
      message: { text: "a" },
    });
    assert.equal((await one.end("1")).code, 4);
  });

  test("a client that answers no ping is gone", async () => {
    const one = await open();
    (
      one.socket as unknown as { _receiver: { removeAllListeners(name: string): void } }
    )._receiver.removeAllListeners("ping");
    assert.equal((await one.until(() => one.closed)).code, 1006);
  });

  test("more sockets than there is room for are refused", async () => {
    socket?.close();
    const many = await Promise.all(
      Array.from({ length: 8 }, () => new Talk(`http://127.0.0.1:${echo.httpPort}/ws`).opened()),
    );
    const one = new Talk(`http://127.0.0.1:${echo.httpPort}/ws`);
    const { status, body } = await one.until(() => one.refused);
    assert.equal(status, 503);
    assert.match(body, /SOCKETS_LIMITED/);
    for (const each of many) each.close();
  });

  test("a handshake that is none is refused, and Upgrade: h2c is an ordinary request", async () => {
    const answer = await new Promise<string>((resolve) => {
      const raw = connectTcp(echo.httpPort, "127.0.0.1", () =>
        raw.write(
          "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
        ),
      );
      let text = "";
      raw.on("data", (data) => {
        text += data.toString();
      });
      raw.on("close", () => resolve(text));
    });
    assert.match(answer, /^HTTP\/1.1 400 /);
    assert.match(answer, /UPGRADE_INVALID/);
    const status = await new Promise((resolve, reject) =>
      request(
        `http://127.0.0.1:${echo.httpPort}/livez`,
        {
          headers: {
            connection: "Upgrade, HTTP2-Settings",
            upgrade: "h2c",
            "http2-settings": "AAMAAABkAAQAAP__",
          },
        },
        (response) => resolve(response.resume().statusCode),
      )
        .on("error", reject)
        .end(),
    );
    assert.equal(status, 200);
  });
});
