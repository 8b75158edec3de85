/**
 * Nothing is seen across tenants: every method x every field that can name a resource, asked by one tenant's administrator for what is
 * another's. The answer is that of a resource that is not there, letter for letter.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { hasUnaryRequest, type Method } from "#rpc/method.ts";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { ask, bpmnXml } from "../support/portico.ts";

const password = "correct horse battery staple";
/** What is no name of anything, and what is counted or kept by its value: a second try is not the first again. */
const skipped =
  /password|^(request_id|etag|page_token|refresh_token|redirect_uris|certificates|display_name|email|uid)$/;
let server: IdentityServer;
let attacker: Record<string, string>;
/** Ids of the victim's, by what they are of. */
const foreign: string[] = [];

async function administrator(tenant: string): Promise<Record<string, string>> {
  const body = { email: `root@${tenant}.example`, password, tenant };
  const { json } = await ask(server.base, "POST", "/api/v1/auth:signIn", { body });
  return { authorization: `Bearer ${json.accessToken}` };
}

before(async () => {
  server = await startIdentity();
  const home = { "x-api-key": server.adminKey };
  for (const tenantId of ["attacker", "victim"]) {
    const body = { tenantId, adminEmail: `root@${tenantId}.example`, adminPassword: password };
    const created = await ask(server.base, "POST", "/api/v1/tenants", { headers: home, body });
    assert.equal(created.status, 201, created.text);
  }
  attacker = await administrator("attacker");
  const headers = await administrator("victim");
  const make = async (path: string, body: unknown) => {
    const answer = await ask(server.base, "POST", `/api/v1/${path}`, { headers, body });
    assert.equal(answer.status, 201, answer.text);
    return answer.json;
  };
  foreign.push((await make("bpmn?documentId=secret-model", { xml: bpmnXml() })).id);
  foreign.push((await make("users?userId=secret-user", { email: "u@victim.example" })).id);
  foreign.push((await make("roles?roleId=secret-role", { scopes: ["bpmn:read"] })).id);
  foreign.push((await make("apiKeys", { displayName: "secret" })).apiKey.id);
  const client = { displayName: "secret", kind: "PUBLIC", scopes: [] };
  foreign.push((await make("oauthClients", client)).oauthClient.id);
  foreign.push("victim");
});
after(() => server.close());

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

/** Status and body without what differs by nature: the id asked for and the id of the request. */
async function outcome(method: Method, path: readonly DescField[], id: string): Promise<string> {
  const { status, text } = await ask(server.base, "POST", method.path, {
    headers: attacker,
    body: requestWith(path, id),
  });
  // Creating succeeds with either id, in the attacker's own tenant, and answers what was made just then.
  return `${status} ${text.replaceAll(id, "<id>").replace(made, "")}`;
}

describe("across tenants", () => {
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
          const missing = id.replace(/^./, (first) => (/\d/.test(first) ? "9" : first === "q" ? "r" : "q"));
          const where = `${method.name} ${path.map((field) => field.name).join(".")} ${id}`;
          const [theirs, none] = [await outcome(method, path, id), await outcome(method, path, missing)];
          assert.equal(theirs, none, where);
          asked += 1;
        }
    t.diagnostic(`${asked} questions`);
    assert.ok(asked > 500, `${asked}`);
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
    const victim = await administrator("victim");
    assert.equal(
      (await ask(server.base, "POST", "/api/v1/tenants/victim:suspend", { headers: home, body: {} })).status,
      200,
    );
    const again = await ask(server.base, "POST", "/api/v1/auth:signIn", {
      body: { email: "root@victim.example", password, tenant: "victim" },
    });
    assert.equal(again.status, 401);
    assert.equal((await ask(server.base, "GET", "/api/v1/me", { headers: victim })).status, 401);
    assert.equal(
      (await ask(server.base, "POST", "/api/v1/tenants/default:suspend", { headers: home, body: {} })).status,
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
