/**
 * Nothing is seen across tenants: every method x every field that can name a resource, asked by one tenant's administrator for what is
 * another's. The answer is that of a resource that is not there, letter for letter.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  ScalarType,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import { Metadata } from "@grpc/grpc-js";
import { WebSocket } from "ws";
import { EventService } from "#gen/portico/events/v1/events_pb.ts";
import { hasUnaryRequest, type Method } from "#rpc/method.ts";
import { connect } from "../support/grpc.ts";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { ask, bpmnXml } from "../support/portico.ts";
import { startPostgres, type TestPostgres } from "../support/postgres.ts";

const password = "correct horse battery staple";
/** What is no name of anything, and what is counted or kept by its value: a second try is not the first again. */
const skipped =
  /password|^(request_id|etag|page_token|refresh_token|redirect_uris|certificates|display_name|email|uid|order_by)$/;
let server: IdentityServer;
let attacker: Record<string, string>;
let victim: Record<string, string>;
/** Ids of the victim's, by what they are of. */
const foreign: string[] = [];

async function administrator(tenant: string): Promise<Record<string, string>> {
  const body = { email: `root@${tenant}.example`, password, tenant };
  const { json } = await ask(server.base, "POST", "/api/v1/auth:signIn", { body });
  return { authorization: `Bearer ${json.accessToken}` };
}

async function prepare(databaseUrl: string | undefined): Promise<void> {
  server = await startIdentity(databaseUrl === undefined ? {} : { databaseUrl });
  foreign.length = 0;
  const home = { "x-api-key": server.adminKey };
  for (const tenantId of ["attacker", "victim"]) {
    const body = { tenantId, adminEmail: `root@${tenantId}.example`, adminPassword: password };
    const created = await ask(server.base, "POST", "/api/v1/tenants", { headers: home, body });
    assert.equal(created.status, 201, created.text);
  }
  attacker = await administrator("attacker");
  victim = await administrator("victim");
  foreign.push((await make("bpmn?documentId=secret-model", { xml: bpmnXml() }, victim)).id);
  foreign.push((await make("users?userId=secret-user", { email: "u@victim.example" }, victim)).id);
  foreign.push((await make("roles?roleId=secret-role", { scopes: ["bpmn:read"] }, victim)).id);
  foreign.push((await make("apiKeys", { displayName: "secret" }, victim)).apiKey.id);
  const client = { displayName: "secret", kind: "PUBLIC", scopes: [] };
  foreign.push((await make("oauthClients", client, victim)).oauthClient.id);
  foreign.push("victim");
}

async function make(path: string, body: unknown, headers: Record<string, string>) {
  const answer = await ask(server.base, "POST", `/api/v1/${path}`, { headers, body });
  assert.equal(answer.status, 201, answer.text);
  return answer.json;
}

/** Paths of the fields of a request that hold text, and so may name a resource; three levels deep, lists too. */
function namingFields(desc: DescMessage, depth = 0): DescField[][] {
  return desc.fields.flatMap((field) => {
    const text =
      field.fieldKind === "scalar" || (field.fieldKind === "list" && field.listKind === "scalar")
        ? field.scalar === ScalarType.STRING
        : false;
    if (text) return skipped.test(field.name) ? [] : [[field]];
    const inner =
      field.fieldKind === "message" || (field.fieldKind === "list" && field.listKind === "message")
        ? field.message
        : undefined;
    if (inner === undefined || depth > 1 || inner.typeName.startsWith("google.")) return [];
    return namingFields(inner, depth + 1).map((path) => [field, ...path]);
  });
}

const prefixes: Readonly<Record<string, string>> = {
  ...{ owner: "users/", principal: "users/", service_account: "users/", roles: "roles/" },
  ...{ base: "bpmn/", target: "bpmn/", topics: "bpmn/" },
};

function requestWith(path: readonly DescField[], id: string): Record<string, unknown> {
  const [field, ...rest] = path;
  assert.ok(field !== undefined);
  const value = rest.length > 0 ? requestWith(rest, id) : (prefixes[field.name] ?? "") + id;
  return { [field.jsonName]: field.fieldKind === "list" ? [value] : value };
}

const made =
  /"(requestId|uid|etag|createTime|updateTime|expireTime|id|name|secret|hint|accessToken)":"[^"]*"/g;

/** Which word of those that it lists an answer proposes: that depends on the letters of the id, which are different in the two. */
const guess = /; did you mean (\w+)\?( \([^)]*\b\1\b[^)]*\))/g;

/** Status and body without what differs by nature: the id asked for and the id of the request. */
async function outcome(method: Method, path: readonly DescField[], id: string): Promise<string> {
  const { status, text } = await ask(server.base, "POST", method.path, {
    headers: attacker,
    body: requestWith(path, id),
  });
  // Creating succeeds with either id, in the attacker's own tenant, and answers what was made just then.
  return `${status} ${text.replaceAll(id, "<id>").replace(made, "").replace(guess, "$2")}`;
}

/** Another character of the same kind. */
function otherOf(first: string): string {
  const [one, other] = /\d/.test(first) ? ["9", "8"] : ["q", "r"];
  return first === one ? other : one;
}

interface Request {
  readonly topics: readonly string[];
  readonly types?: readonly string[];
  readonly after?: string;
}

/** What came of a stream so far, as text. */
class Following {
  #text = "";
  #end = "";
  readonly #open = Promise.withResolvers<void>();
  readonly close: () => void;

  constructor(close: () => void) {
    this.close = close;
  }

  /** The server has taken the call. */
  get open(): Promise<void> {
    return this.#open.promise;
  }

  readonly opened = (): void => this.#open.resolve();

  readonly hear = (text: string): void => {
    this.opened();
    this.#text += text;
  };

  readonly ended = (why: string): void => {
    this.#end = why;
    this.#open.reject(new Error(`the stream ended: ${why} ${this.#text}`));
  };

  /** All that came up to the event about this subject. */
  async until(subject: string): Promise<string> {
    const late = Date.now() + 5000;
    while (!this.#text.includes(`"${subject}"`)) {
      assert.ok(this.#end === "" && Date.now() < late, `${this.#end} without ${subject}: ${this.#text}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return this.#text;
  }
}

const queryOf = ({ topics, types = [], after = "" }: Request): string =>
  [
    ...topics.map((topic) => `topics=${topic}`),
    ...types.map((type) => `types=${type}`),
    `after=${after}`,
  ].join("&");

function followSocket(target: string, first?: object): Following {
  const socket = new WebSocket(server.base.replace("http", "ws") + target, { headers: attacker });
  const following = new Following(() => socket.terminate());
  socket.once("open", () => {
    if (first !== undefined) socket.send(JSON.stringify(first));
  });
  socket.on("message", (data) => following.hear(String(data)));
  socket.on("error", (error) => following.ended(error.message));
  socket.on("close", (code) => following.ended(String(code)));
  return following;
}

/** The protocols that stream; each of them over its own way of asking. */
const followers: Readonly<Record<string, (request: Request) => Following>> = {
  SSE: (request) => {
    const stop = new AbortController();
    const following = new Following(() => stop.abort());
    const read = async (): Promise<void> => {
      const answer = await fetch(`${server.base}/api/v1/events:subscribe?${queryOf(request)}`, {
        headers: { ...attacker, accept: "text/event-stream" },
        signal: stop.signal,
      });
      if (answer.status === 200) following.opened();
      for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? [])
        following.hear(String(chunk));
      following.ended("over");
    };
    read().catch((error: unknown) => following.ended(String(error)));
    return following;
  },
  WebSocket: (request) => {
    const call = { method: "portico.events.v1.EventService/Subscribe" };
    return followSocket("/ws", { id: "1", call, message: request, end: true });
  },
  gRPC: (request) => {
    const client = connect(server.grpcPort);
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(attacker)) metadata.set(name, value);
    const { input, output } = EventService.method.subscribe;
    const stream = client.makeServerStreamRequest(
      "/portico.events.v1.EventService/Subscribe",
      () =>
        Buffer.from(
          toBinary(
            input,
            create(input, { ...request, topics: [...request.topics], types: [...(request.types ?? [])] }),
          ),
        ),
      (bytes) => toJsonString(output, fromBinary(output, bytes)),
      undefined,
      metadata,
    );
    const following = new Following(() => client.close());
    stream.on("metadata", following.opened);
    stream.on("data", following.hear);
    stream.on("error", (error) => following.ended(String(error)));
    return following;
  },
};

let postgres: TestPostgres;
before(async () => {
  postgres = await startPostgres();
});
after(() => postgres.stop());

for (const engine of ["SQLite", "PostgreSQL"] as const)
  describe(`across tenants, ${engine}`, () => {
    before(async () => await prepare(engine === "SQLite" ? undefined : await postgres.createDatabase()));
    after(() => server.close());

    test("lists hold the tenant's own alone, whatever their filter says", async () => {
      const lists = server.methods.filter(({ name }) => /\/(List|BatchGet)/.test(name));
      let filtered = 0;
      for (const method of lists)
        for (const filter of ["", "a OR e OR s", "NOT zzz", 'secret OR "secret"'])
          if (filter === "" || method.input.desc.fields.some(({ name }) => name === "filter")) {
            const body = filter === "" ? {} : { filter };
            const { status, text } = await ask(server.base, "POST", method.path, { headers: attacker, body });
            if (filter !== "") assert.equal(status, 200, text);
            filtered += filter === "" ? 0 : 1;
            for (const secret of [
              ...foreign.filter((id) => id !== "victim"),
              "/tenants/victim",
              "victim.example",
            ])
              assert.ok(!text.includes(secret), `${method.name} ${filter} tells of ${secret}`);
          }
      assert.ok(filtered >= 12, `${filtered}`);
    });

    test("every method, every field that can name a resource: as if it were not there", async (t) => {
      // Nobody's calls name nobody's resources, and guesses at passwords are counted. A subscription has no end, and the caller's own
      // audit tells of the ids that it asks for here.
      const methods = server.methods.filter(
        (method) =>
          hasUnaryRequest(method.kind) &&
          !/\/(Subscribe|ListAuditEntries)$/.test(method.name) &&
          server.ruleOf(method)?.public !== true,
      );
      let asked = 0;
      for (const method of methods)
        for (const path of namingFields(method.input.desc))
          for (const id of foreign) {
            // An id of the same form that nobody has.
            const missing = id.replace(/^./, otherOf);
            const where = `${method.name} ${path.map((field) => field.name).join(".")} ${id}`;
            const [theirs, none] = [await outcome(method, path, id), await outcome(method, path, missing)];
            assert.equal(theirs, none, where);
            asked += 1;
          }
      t.diagnostic(`${asked} questions`);
      assert.ok(asked > 500, `${asked}`);
    });

    for (const [protocol, follow] of Object.entries(followers))
      test(`who follows events over ${protocol} hears nothing of another tenant`, async () => {
        const tag = `${protocol}-${engine}`.toLowerCase();
        const before = await ask(server.base, "GET", "/api/v1/events?pageSize=1000", { headers: victim });
        const theirs = before.json.events as { readonly cursor: string; readonly type: string }[];
        const types = [...new Set(theirs.map(({ type }) => type))];
        assert.ok(types.length > 1);
        const requests: readonly Request[] = [
          { topics: ["bpmn/*", "users/*"] },
          { topics: ["bpmn/*", "users/*"], after: "0" },
          { topics: ["bpmn/*", "users/*"], after: "0", types },
          { topics: ["bpmn/secret-model", "users/secret-user", `bpmn/own-${tag}`], after: "0" },
          { topics: ["bpmn/secret-model", "users/me", "users/admin", `bpmn/own-${tag}`] },
        ];
        const streams = requests.map(follow);
        try {
          // All of them listen, and the victim changes what they ask for.
          await Promise.all(streams.map(({ open }) => open));
          await make(`bpmn?documentId=their-${tag}`, { xml: bpmnXml() }, victim);
          await make(`users?userId=their-${tag}`, { email: `their-${tag}@victim.example` }, victim);
          const change = { headers: victim, body: { displayName: `Secret ${tag}` } };
          assert.equal((await ask(server.base, "PATCH", "/api/v1/bpmn/secret-model", change)).status, 200);
          // The attacker's own is behind all that in time: theirs would have come before.
          await make(`bpmn?documentId=own-${tag}`, { xml: bpmnXml() }, attacker);
          for (const stream of streams)
            assert.doesNotMatch(await stream.until(`bpmn/own-${tag}`), /victim|secret|their-/i);
        } finally {
          for (const stream of streams) stream.close();
        }
      });

    test("a cursor, a topic and a type of another tenant are those that nobody has", async () => {
      const { json } = await ask(server.base, "GET", "/api/v1/events?pageSize=1000", { headers: victim });
      const refusal = async (query: string) => {
        const answer = await ask(server.base, "GET", `/api/v1/events:subscribe?${query}`, {
          headers: { ...attacker, accept: "text/event-stream" },
        });
        return `${answer.status} ${answer.text.replace(/"requestId":"[^"]*"/, "")}`;
      };
      // Numbers are counted per tenant: the victim's last one is beyond the attacker's.
      for (let count = 0; count < 40; count += 1)
        await make("users", { email: `more-${count}@victim.example` }, victim);
      const last = (
        await ask(server.base, "GET", `/api/v1/events?after=${json.events.at(-1).cursor}&pageSize=1000`, {
          headers: victim,
        })
      ).json.events.at(-1).cursor as string;
      const none = await refusal("topics=bpmn/*&after=9999999999999999");
      assert.match(none, /^400 .*CURSOR_INVALID/);
      assert.equal(await refusal(`topics=bpmn/*&after=${last}`), none);
      for (const topic of [
        "*/*",
        "**",
        "tenants/victim",
        "/tenants/victim/bpmn/*",
        "bpmn/secret-model/*",
        "bpmn/*/../*",
        "events/*",
      ])
        assert.match(await refusal(`topics=${encodeURIComponent(topic)}`), /^400 .*TOPIC_INVALID/, topic);
    });

    test("no header chooses a tenant or a user", async () => {
      const headers = {
        ...attacker,
        "x-tenant-id": "victim",
        "x-portico-tenant": "victim",
        "x-user-id": "admin",
        "x-forwarded-for": "10.0.0.1",
        forwarded: "for=10.0.0.1",
      };
      const me = await ask(server.base, "GET", "/api/v1/tenants/mine", { headers });
      assert.equal(me.json.id, "attacker");
      assert.equal((await ask(server.base, "GET", "/api/v1/bpmn/secret-model", { headers })).status, 404);
    });

    test("tenants are managed from the home tenant alone; a suspended one stops at once", async () => {
      const home = { "x-api-key": server.adminKey };
      const body = { tenantId: "third", adminEmail: "a@b.example", adminPassword: password };
      const refused = await ask(server.base, "POST", "/api/v1/tenants", { headers: attacker, body });
      assert.equal(refused.status, 403);
      victim = await administrator("victim");
      assert.equal(
        (await ask(server.base, "POST", "/api/v1/tenants/victim:suspend", { headers: home, body: {} }))
          .status,
        200,
      );
      const again = await ask(server.base, "POST", "/api/v1/auth:signIn", {
        body: { email: "root@victim.example", password, tenant: "victim" },
      });
      assert.equal(again.status, 401);
      assert.equal((await ask(server.base, "GET", "/api/v1/me", { headers: victim })).status, 401);
      assert.equal(
        (await ask(server.base, "POST", "/api/v1/tenants/default:suspend", { headers: home, body: {} }))
          .status,
        403,
      );
      assert.equal(
        (await ask(server.base, "POST", "/api/v1/tenants/victim:reactivate", { headers: home, body: {} }))
          .status,
        200,
      );
      await administrator("victim");
    });
  });
