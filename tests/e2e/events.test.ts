import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { ask } from "../support/portico.ts";
import { startPostgres, type TestPostgres } from "../support/postgres.ts";

const xml =
  '<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="t"><process id="p" name="Order"/></definitions>';

interface CloudEvent {
  readonly specversion: string;
  readonly type: string;
  readonly subject: string;
  readonly cursor: string;
  readonly data?: Record<string, unknown>;
  readonly principal: string;
}

interface Frame {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: CloudEvent & { code?: number; details?: { reason?: string }[] };
}

/** Server-sent events as a client reads them. */
class Follow {
  readonly frames: Frame[] = [];
  readonly #abort = new AbortController();
  #done: Promise<void> = Promise.resolve();
  status = 0;
  ended = false;

  async open(url: string, headers: Record<string, string>): Promise<this> {
    const answer = await fetch(url, {
      headers: { accept: "text/event-stream", ...headers },
      signal: this.#abort.signal,
    });
    this.status = answer.status;
    this.#done = this.#read(answer).catch(() => undefined);
    return this;
  }

  async #read(answer: Response): Promise<void> {
    let text = "";
    const decoder = new TextDecoder();
    for await (const chunk of answer.body ?? []) {
      text += decoder.decode(chunk as Uint8Array, { stream: true });
      for (let end = text.indexOf("\n\n"); end !== -1; end = text.indexOf("\n\n")) {
        const fields = Object.fromEntries(
          text
            .slice(0, end)
            .split("\n")
            .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
        );
        text = text.slice(end + 2);
        if (fields.data !== undefined)
          this.frames.push({ id: fields.id, event: fields.event, data: JSON.parse(fields.data) });
      }
    }
    this.ended = true;
  }

  async until(count: number, ms = 3000): Promise<Frame[]> {
    const late = Date.now() + ms;
    while (this.frames.length < count && Date.now() < late) await new Promise((r) => setTimeout(r, 5));
    assert.ok(this.frames.length >= count, `${this.frames.length} of ${count} events came`);
    return this.frames;
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#done;
  }

  async over(ms = 6000): Promise<void> {
    await Promise.race([
      this.#done,
      new Promise((_, reject) => setTimeout(() => reject(new Error("the stream goes on")), ms).unref()),
    ]);
  }
}

let postgres: TestPostgres;
before(async () => {
  postgres = await startPostgres();
});
after(() => postgres.stop());

for (const engine of ["memory", "postgres"] as const)
  describe(`events, ${engine}`, () => {
    let server: IdentityServer;
    let databaseUrl: string | undefined;
    const admin = () => ({ "x-api-key": server.adminKey });
    const follow = (query: string, headers: Record<string, string> = admin()) =>
      new Follow().open(`${server.base}/api/v1/events:subscribe?${query}`, headers);
    const make = async (id: string): Promise<void> => {
      const made = await ask(server.base, "POST", `/api/v1/bpmn?documentId=${id}`, {
        headers: admin(),
        body: { xml },
      });
      assert.equal(made.status, 201, made.text);
    };
    before(async () => {
      databaseUrl = engine === "memory" ? undefined : await postgres.createDatabase();
      server = await startIdentity(databaseUrl === undefined ? {} : { databaseUrl });
    });
    after(() => server.close());

    test("a document's life is told in order, with cursor and kind, and as CloudEvents", async () => {
      const stream = await follow("topics=bpmn/*");
      await make("life");
      const change = { headers: admin(), body: { displayName: "New" } };
      assert.equal((await ask(server.base, "PATCH", "/api/v1/bpmn/life", change)).status, 200);
      await ask(server.base, "DELETE", "/api/v1/bpmn/life", { headers: admin() });
      await ask(server.base, "POST", "/api/v1/bpmn/life:undelete", { headers: admin(), body: {} });
      const frames = await stream.until(4);
      assert.deepEqual(
        frames.map(({ event }) => event),
        ["created", "updated", "deleted", "undeleted"].map((what) => `portico.bpmn.${what}.v1`),
      );
      for (const { id, event, data } of frames) {
        assert.deepEqual([data.cursor, data.type, data.subject], [id, event, "bpmn/life"]);
        assert.deepEqual([data.specversion, data.principal], ["1.0", "users/admin"]);
      }
      assert.deepEqual(frames[1]?.data.data?.displayName, "New");
      assert.deepEqual(
        [...frames].sort((a, b) => ((a.id ?? "") < (b.id ?? "") ? -1 : 1)),
        frames,
      );
      await stream.close();
    });

    test("who comes again gets what it missed, each event once", async () => {
      const stream = await follow("topics=bpmn/*");
      await make("resume-1");
      const [first] = await stream.until(1);
      await stream.close();
      await make("resume-2");
      await make("resume-3");
      const again = await follow("topics=bpmn/*", { ...admin(), "last-event-id": first?.id ?? "" });
      await make("resume-4");
      const frames = await again.until(3);
      assert.deepEqual(
        frames.map(({ data }) => data.subject),
        ["bpmn/resume-2", "bpmn/resume-3", "bpmn/resume-4"],
      );
      await again.close();
    });

    test("a change that fails is not told", async () => {
      const stream = await follow("topics=bpmn/*&topics=users/*");
      await make("once");
      const twice = await ask(server.base, "POST", "/api/v1/bpmn?documentId=once", {
        headers: admin(),
        body: { xml },
      });
      assert.equal(twice.status, 409);
      const dry = await ask(server.base, "POST", "/api/v1/bpmn?documentId=dry&validateOnly=true", {
        headers: admin(),
        body: { xml },
      });
      assert.equal(dry.status, 200);
      await make("after-all");
      const frames = await stream.until(2);
      assert.deepEqual(
        frames.map(({ data }) => data.subject),
        ["bpmn/once", "bpmn/after-all"],
      );
      await stream.close();
    });

    test("a topic needs the right to read what it is about", async () => {
      const viewer = await server.userWithKey(`viewer-${engine}`, ["viewer"]);
      const headers = { "x-api-key": viewer };
      assert.equal((await follow("topics=users/*", headers)).status, 403);
      assert.equal((await follow("topics=things/*", headers)).status, 400);
      assert.equal((await follow("topics=bpmn", headers)).status, 400);
      const own = await follow("topics=users/me", headers);
      const stream = await follow("topics=bpmn/*", headers);
      assert.equal(stream.status, 200);
      await server.userWithKey(`other-${engine}`, ["viewer"]);
      await ask(server.base, "PATCH", `/api/v1/users/viewer-${engine}`, {
        headers: admin(),
        body: { displayName: "V" },
      });
      const [frame] = await own.until(1);
      assert.equal(frame?.data.subject, `users/viewer-${engine}`);
      const listed = await ask(server.base, "GET", "/api/v1/events?pageSize=1000", { headers });
      const kinds = (listed.json.events as CloudEvent[]).map(({ subject }) => subject);
      assert.ok(kinds.includes("bpmn/life") && kinds.includes(`users/viewer-${engine}`));
      assert.ok(!kinds.includes(`users/other-${engine}`), "another's user");
      await own.close();
      await stream.close();
    });

    test("a stream ends within five seconds when its user is suspended", async () => {
      const key = await server.userWithKey(`gone-${engine}`, ["viewer"]);
      const stream = await follow("topics=bpmn/*", { "x-api-key": key });
      assert.equal(stream.status, 200);
      await ask(server.base, "POST", `/api/v1/users/gone-${engine}:suspend`, { headers: admin(), body: {} });
      await stream.over(5000);
      const last = stream.frames.at(-1);
      assert.deepEqual([last?.event, last?.data.details?.[0]?.reason], ["error", "CREDENTIAL_INVALID"]);
    });

    test("lists are paged, filtered, and go on after a cursor", async () => {
      const less = await ask(server.base, "GET", "/api/v1/events?pageSize=-1", { headers: admin() });
      assert.equal(less.status, 400);
      const first = await ask(server.base, "GET", "/api/v1/events?pageSize=2", { headers: admin() });
      const second = await ask(
        server.base,
        "GET",
        `/api/v1/events?pageSize=2&pageToken=${first.json.nextPageToken}`,
        { headers: admin() },
      );
      const cursors = [...first.json.events, ...second.json.events].map(({ cursor }: CloudEvent) => cursor);
      assert.equal(new Set(cursors).size, 4);
      assert.deepEqual([...cursors].sort(), cursors);
      const filter = encodeURIComponent('type = "portico.bpmn.deleted.v1"');
      const deleted = await ask(server.base, "GET", `/api/v1/events?filter=${filter}`, { headers: admin() });
      assert.deepEqual(
        deleted.json.events.map(({ subject }: CloudEvent) => subject),
        ["bpmn/life"],
      );
      const later = await ask(server.base, "GET", `/api/v1/events?after=${cursors[3]}`, { headers: admin() });
      assert.ok(later.json.events[0].cursor > String(cursors[3]));
      const wrong = await ask(server.base, "GET", "/api/v1/events?after=99999999", { headers: admin() });
      assert.deepEqual([wrong.status, wrong.json.details[0].reason], [400, "CURSOR_INVALID"]);
    });

    test("who lists may wait for what has not happened yet", async () => {
      const get = (query: string, headers: Record<string, string> = {}) =>
        ask(server.base, "GET", `/api/v1/events?${query}`, { headers: { ...admin(), ...headers } });
      const all = await get("pageSize=1000");
      const last = all.json.events.at(-1).cursor as string;
      const filter = encodeURIComponent('type = "portico.bpmn.created.v1"');
      let began = performance.now();
      const waiting = get(`after=${last}&filter=${filter}`, { prefer: "wait=10" });
      await new Promise((resolve) => setTimeout(resolve, 150));
      // Not what is waited for: the wait goes on.
      await ask(server.base, "PATCH", "/api/v1/bpmn/life", {
        headers: admin(),
        body: { displayName: "Newer" },
      });
      await make(`awaited-${engine}`);
      const woken = await waiting;
      assert.deepEqual(
        woken.json.events.map(({ subject }: CloudEvent) => subject),
        [`bpmn/awaited-${engine}`],
      );
      assert.equal(woken.headers.get("preference-applied"), "wait=10");
      const took = performance.now() - began;
      assert.ok(took > 140 && took < 5000, `${took} ms`);

      const head = woken.json.events[0].cursor as string;
      began = performance.now();
      const vain = await get(`after=${head}&wait=0.4s`, { prefer: "wait=30" });
      assert.deepEqual([vain.status, vain.json.events], [200, []]);
      assert.equal(vain.headers.get("preference-applied"), null, "the query says how long");
      const waited = performance.now() - began;
      assert.ok(waited > 380 && waited < 3000, `${waited} ms`);

      began = performance.now();
      assert.equal((await get(`after=${last}`, { prefer: "wait=10" })).json.events.length > 0, true);
      assert.ok(performance.now() - began < 3000, "what is there is not waited for");
    });

    test("a wait ends before its caller's deadline, and with its caller", async () => {
      const { json } = await ask(server.base, "GET", "/api/v1/events?pageSize=1000", { headers: admin() });
      const target = `${server.base}/api/v1/events?after=${json.events.at(-1).cursor}`;
      const began = performance.now();
      const short = await fetch(target, {
        headers: { ...admin(), prefer: "wait=30", "portico-timeout": "1500m" },
      });
      assert.deepEqual([short.status, ((await short.json()) as { events: unknown[] }).events], [200, []]);
      assert.ok(performance.now() - began < 1500);
      const stop = new AbortController();
      const left = fetch(target, { headers: { ...admin(), prefer: "wait=30" }, signal: stop.signal });
      setTimeout(() => stop.abort(), 100);
      await assert.rejects(left, { name: "AbortError" });
    });

    test("what is gone is announced to who follows, and refused to who lists", async () => {
      const { json } = await ask(server.base, "GET", "/api/v1/events?pageSize=3", { headers: admin() });
      const [, second, third] = json.events as CloudEvent[];
      // As the hourly purge does, only sooner.
      await server.storage
        .tables<{ events_log: { cursor: never; number: number } }>()
        .db.deleteFrom("events_log")
        .where("number", "<=", Number(third?.cursor))
        .execute();
      const stream = await follow(`topics=bpmn/*&after=${second?.cursor}`);
      const [gap, next] = await stream.until(2);
      assert.equal(gap?.event, "portico.events.gap.v1");
      assert.ok((next?.id ?? "") > (gap?.id ?? ""), "it goes on behind the gap");
      await stream.close();
      const listed = await ask(server.base, "GET", `/api/v1/events?after=${second?.cursor}`, {
        headers: admin(),
      });
      assert.deepEqual([listed.status, listed.json.details[0].reason], [410, "CURSOR_EXPIRED"]);
    });

    test("fifty writers at once make one order without holes", async () => {
      const stream = await follow("topics=bpmn/*");
      await Promise.all(Array.from({ length: 50 }, (_, index) => make(`at-once-${index}`)));
      const frames = await stream.until(50);
      const numbers = frames.map(({ id }) => Number(id));
      assert.deepEqual(
        numbers,
        numbers.map((_, index) => (numbers[0] ?? 0) + index),
      );
      assert.equal(new Set(frames.map(({ data }) => data.subject)).size, 50);
      await stream.close();
    });

    test("another process tells what this one writes", { skip: engine === "memory" }, async () => {
      const other = await startIdentity(databaseUrl === undefined ? {} : { databaseUrl });
      try {
        const stream = await new Follow().open(
          `${other.base}/api/v1/events:subscribe?topics=bpmn/elsewhere`,
          {
            "x-api-key": server.adminKey,
          },
        );
        await make("elsewhere");
        const [frame] = await stream.until(1, 2000);
        assert.equal(frame?.data.subject, "bpmn/elsewhere");
        await stream.close();
      } finally {
        await other.close();
      }
    });

    test("a drain sends who follows elsewhere, with its place kept", async () => {
      const stream = await follow("topics=bpmn/*");
      await make("drained");
      await stream.until(1);
      server.events.drain();
      await stream.over();
      const last = stream.frames.at(-1);
      assert.deepEqual(
        [last?.event, last?.id, last?.data.details?.[0]?.reason],
        ["error", undefined, "SERVER_DRAINING"],
      );
    });
  });
