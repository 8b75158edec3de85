/**
 * Nothing is seen across tenants: every method x every field that names a resource, asked by one tenant's administrator for what is
 * another's. The answer is that of a resource that is not there, letter for letter.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { hasUnaryReply, hasUnaryRequest, type Method } from "#rpc/method.ts";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { ask, bpmnXml } from "../support/portico.ts";

const password = "correct horse battery staple";
const names = new Set(["id", "ids", "owner", "principal", "document", "tenant", "session_ids", "roles"]);
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

/** Paths of the fields of a request that name resources, two levels deep. */
function namingFields(desc: DescMessage, depth = 0): DescField[][] {
  return desc.fields.flatMap((field) => {
    if (field.scalar === 9 && names.has(field.name) && field.fieldKind !== "map") return [[field]];
    if (field.fieldKind === "message" && depth < 1 && !field.message.typeName.startsWith("google."))
      return namingFields(field.message, depth + 1).map((path) => [field, ...path]);
    return [];
  });
}

function requestWith(path: readonly DescField[], id: string): Record<string, unknown> {
  const [field, ...rest] = path;
  assert.ok(field !== undefined);
  const prefix = { owner: "users/", principal: "users/", roles: "roles/" }[field.name] ?? "";
  const value =
    rest.length > 0 ? requestWith(rest, id) : field.fieldKind === "list" ? [prefix + id] : prefix + id;
  return { [field.jsonName]: value };
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
  test("every method, every field that names a resource: as if it were not there", async (t) => {
    const methods = server.methods.filter(({ kind }) => hasUnaryRequest(kind) && hasUnaryReply(kind));
    let asked = 0;
    for (const method of methods)
      for (const path of namingFields(method.input.desc))
        for (const id of foreign) {
          // An id of the same form that nobody has.
          const missing = id.replace(/^./, (letter) => (letter === "q" ? "r" : "q"));
          const where = `${method.name} ${path.map((field) => field.name).join(".")} ${id}`;
          const [theirs, none] = [await outcome(method, path, id), await outcome(method, path, missing)];
          assert.equal(theirs, none, where);
          asked += 1;
        }
    t.diagnostic(`${asked} questions`);
    assert.ok(asked > 100, `${asked}`);
  });

  test("lists hold the tenant's own alone", async () => {
    for (const method of server.methods.filter(({ name }) => /\/(List|BatchGet)/.test(name))) {
      const { text } = await ask(server.base, "POST", method.path, { headers: attacker, body: {} });
      // The attacker's own audit tells of what it asked for, and of nothing that the victim did.
      const secrets = method.name.includes("Audit") ? ["victim.example"] : foreign;
      for (const secret of secrets) assert.ok(!text.includes(secret), `${method.name} tells of ${secret}`);
    }
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
