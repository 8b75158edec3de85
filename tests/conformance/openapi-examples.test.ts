/** Every example of the OpenAPI document is sent to the server that it describes, and is what the document says it is. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { OpenApiDocument, Operation } from "#gateway/describe/describe.ts";
import { reasonTables } from "../../scripts/reason-tables.ts";
import { ask, startPortico, type TestPortico } from "../support/portico.ts";

let portico: TestPortico;
let document: OpenApiDocument;
let credential: Record<string, string>;

before(async () => {
  portico = await startPortico({ authentication: "on" });
  credential = { "x-api-key": portico.key };
  document = (await ask(portico.base, "GET", "/openapi.json")).json;
});
after(() => portico.stop());

function operation(id: string): { verb: string; path: string; operation: Operation } {
  for (const [path, item] of Object.entries(document.paths))
    for (const [method, one] of Object.entries(item))
      if (one.operationId === id) return { verb: method.toUpperCase(), path, operation: one };
  throw new Error(`there is no operation ${id}`);
}

/** Sends the operation as its examples say: path parameters and the body. */
async function send(id: string): Promise<{ status: number; json: unknown; expected: Operation }> {
  const { verb, path, operation: one } = operation(id);
  const target = path.replace(/\{([^}]*)\}/g, (_, name: string) =>
    String(one.parameters.find((parameter) => parameter.name === name)?.example),
  );
  const query = one.parameters
    .filter((parameter) => parameter.in === "query" && parameter.required)
    .map((parameter) => `${parameter.name}=${encodeURIComponent(String(parameter.example))}`);
  const body = one.requestBody?.content["application/json"]?.example;
  const { status, json } = await ask(portico.base, verb, `${target}?${query.join("&")}`, {
    headers: credential,
    ...(body === undefined ? {} : { body }),
  });
  return { status, json, expected: one };
}

test("an example is the value, not how JSON writes it", () => {
  const wrong: string[] = [];
  const look = (value: unknown, path: string): void => {
    if (typeof value === "string" && /^("|\["|\{")/.test(value)) wrong.push(`${path}: ${value}`);
    else if (typeof value === "object" && value !== null)
      for (const [key, one] of Object.entries(value)) look(one, `${path}.${key}`);
  };
  const find = (value: unknown, path: string): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, one] of Object.entries(value))
      if (key === "example") look(one, path);
      else find(one, `${path}.${key}`);
  };
  find(document, "");
  assert.deepEqual(wrong, []);
});

describe("the examples, in the order of a life", () => {
  const sent = [
    ["BPMNService_ValidateBPMN", 200],
    ["BPMNService_BatchCreateBPMN", 200],
    ["BPMNService_GetBPMN", 200],
    ["BPMNService_UpdateBPMN", 200],
    ["BPMNService_ListBPMN", 200],
    ["BPMNService_ListBPMNRevisions", 200],
    ["BPMNService_GetBPMNRevision", 200],
    ["BPMNService_DiffBPMN", 200],
    ["BPMNService_DiffBPMN_2", 200],
    ["BPMNService_RollbackBPMN", 200],
    ["BPMNService_DownloadBPMN", 200],
    ["BPMNService_ExplainBPMN", 200],
    ["BPMNService_ReviewBPMN", 200],
    ["BPMNService_BatchGetBPMN", 200],
    ["BPMNService_DeleteBPMN", 200],
    ["BPMNService_UndeleteBPMN", 200],
    ["BPMNService_BatchDeleteBPMN", 204],
    ["BPMNService_CreateBPMN", 201],
    ["UserService_BatchCreateUsers", 200],
    ["UserService_BatchGetUsers", 200],
    ["UserService_UpdateUser", 200],
    ["UserService_SuspendUser", 200],
    ["UserService_ReactivateUser", 200],
    ["UserService_DeleteUser", 204],
    ["UserService_CreateUser", 201],
    ["UserService_GetUser", 200],
    ["UserService_GetUser_2", 200],
    ["UserService_ListUsers", 200],
    ["UserService_ListSessions", 200],
    ["UserService_RevokeSessions", 204],
    ["RoleService_CreateRole", 201],
    ["RoleService_GetRole", 200],
    ["RoleService_UpdateRole", 200],
    ["RoleService_ListRoles", 200],
    ["RoleService_DeleteRole", 204],
    ["ApiKeyService_CreateApiKey", 201],
    ["ApiKeyService_ListApiKeys", 200],
    ["TenantService_CreateTenant", 201],
    ["TenantService_GetTenant", 200],
    ["TenantService_ListTenants", 200],
    ["TenantService_UpdateTenant", 200],
    ["TenantService_SuspendTenant", 200],
    ["TenantService_ReactivateTenant", 200],
    ["AuditService_ListAuditEntries", 200],
    ["AuditService_VerifyAuditChain", 200],
    ["AuthService_ExchangeToken", 200],
    ["AuthService_CheckAccess", 200],
    ["LogService_GetLogSettings", 200],
    ["LogService_UpdateLogSettings", 200],
    // Well formed, and about what is not there: nobody has the example's key, password or token.
    ["ApiKeyService_GetApiKey", 404],
    ["ApiKeyService_UpdateApiKey", 404],
    ["ApiKeyService_RotateApiKey", 404],
    ["ApiKeyService_RevokeApiKey", 404],
    ["OAuthClientService_CreateOAuthClient", 201],
    ["OAuthClientService_ListOAuthClients", 200],
    ["OAuthClientService_GetOAuthClient", 404],
    ["OAuthClientService_UpdateOAuthClient", 404],
    ["OAuthClientService_DeleteOAuthClient", 404],
    ["AuthService_CreateTicket", 200],
    ["EventService_ListEvents", 200],
    ["LogService_UpdateLogSettings", 200],
    ["LogService_GetLogSettings", 200],
    ["AuthService_SignIn", 401],
    ["AuthService_RefreshToken", 401],
    ["AuthService_ChangePassword", 401],
    ["AuthService_SignOut", 400],
    ["LogService_GetLogSettings", 200],
    ["LogService_UpdateLogSettings", 200],
  ] as const;
  for (const [id, status] of sent)
    test(`${id} is answered with ${status}`, async () => {
      const answer = await send(id);
      assert.equal(answer.status, status, JSON.stringify(answer.json));
    });

  test("and there is no operation besides, but the upload of a file and the watch", () => {
    const ids = Object.values(document.paths).flatMap((item) =>
      Object.values(item).map(({ operationId }) => operationId),
    );
    const tried = new Set<string>(sent.map(([id]) => id));
    assert.deepEqual(
      ids.filter((id) => !tried.has(id)),
      // A stream without an end has a test of its own.
      ["BPMNService_UploadBPMN", "EventService_Subscribe"],
    );
  });
});

describe("answers and their examples", () => {
  test("have the fields that the server answers with", async () => {
    const { json, expected } = await send("BPMNService_CreateBPMN");
    const answer = expected.responses["201"];
    assert.ok(answer !== undefined && "content" in answer);
    const example = answer.content?.["application/json"]?.example as object;
    const known = new Set(Object.keys(example));
    for (const field of Object.keys(json as object)) assert.ok(known.has(field), field);
  });

  test("say which status, place, links and headers there are", () => {
    const responsesOf = (id: string) =>
      operation(id).operation.responses as Record<string, { headers?: object; content?: object }>;
    const create = responsesOf("BPMNService_CreateBPMN");
    assert.deepEqual(Object.keys(create).slice(0, 2), ["200", "201"]);
    for (const name of ["Location", "ETag", "RateLimit", "RateLimit-Policy", "Idempotent-Replayed"])
      assert.ok(Object.hasOwn(create["201"]?.headers ?? {}, name), name);
    assert.equal(responsesOf("UserService_DeleteUser")["204"]?.content, undefined);
    const list = responsesOf("BPMNService_ListBPMN")["200"]?.headers ?? {};
    assert.ok("Link" in list && "X-Total-Count" in list && !("Location" in list));
    assert.ok("Preference-Applied" in (responsesOf("EventService_ListEvents")["200"]?.headers ?? {}));
    const namesOf = (id: string) => operation(id).operation.parameters.map(({ name }) => name);
    assert.ok(namesOf("EventService_ListEvents").includes("Prefer"));
    assert.ok(namesOf("BPMNService_CreateBPMN").includes("Idempotency-Key"));
    assert.ok(!namesOf("BPMNService_GetBPMN").includes("Idempotency-Key"));
    for (const id of ["BPMNService_DownloadBPMN", "EventService_Subscribe", "UserService_DeleteUser"])
      assert.ok(!namesOf(id).includes("$prettyPrint"), id);
    assert.ok(Object.hasOwn(document.components.responses.TooManyRequests?.headers ?? {}, "Retry-After"));
  });

  test("every error that an operation can have is one of the components", () => {
    for (const item of Object.values(document.paths))
      for (const one of Object.values(item))
        for (const [status, answer] of Object.entries(one.responses)) {
          if (status.startsWith("2") || status === "304") continue;
          assert.ok("$ref" in answer, `${one.operationId} ${status}`);
          const name = answer.$ref.slice("#/components/responses/".length);
          assert.ok(Object.hasOwn(document.components.responses, name), answer.$ref);
        }
  });

  test("errors are examples of reasons that exist, and of the code they come with", async () => {
    const reasons = Object.assign({}, ...(await reasonTables()).map((table) => table.reasons));
    for (const answer of Object.values(document.components.responses)) {
      const example = answer.content?.["application/json"]?.example as {
        details: { reason?: string }[];
      };
      assert.ok(Object.hasOwn(reasons, example.details[0]?.reason ?? ""), JSON.stringify(example));
    }
  });

  test("the documented statuses are what happens", async () => {
    const { base } = portico;
    const created = await ask(base, "POST", "/api/v1/bpmn?documentId=statuses", {
      headers: credential,
      body: operation("BPMNService_CreateBPMN").operation.requestBody?.content["application/json"]?.example,
    });
    const target = "/api/v1/bpmn/statuses";
    const etag = created.headers.get("etag") ?? "";
    const asked: readonly [string, string, Parameters<typeof ask>[3], number][] = [
      ["GetBPMN", target, { headers: { "if-none-match": etag } }, 304],
      ["GetBPMN", "/api/v1/bpmn/none-such", {}, 404],
      ["GetBPMN", `${target}?vieww=1`, {}, 400],
      ["UpdateBPMN", target, { body: { displayName: "x" }, headers: { "if-match": '"old"' } }, 412],
      ["UpdateBPMN", target, { body: { displayName: "x", etag: "old" } }, 409],
      ["UpdateBPMN", target, { body: "x", headers: { "content-type": "text/plain" } }, 415],
      ["UpdateBPMN", target, { body: { description: "x".repeat(5_000_000) } }, 413],
      ["DownloadBPMN", `${target}:download`, { headers: { range: "bytes=0-3" } }, 206],
      ["DownloadBPMN", `${target}:download`, { headers: { range: "bytes=99999-" } }, 416],
    ];
    for (const [method, path, options, status] of asked) {
      const { verb, operation: one } = operation(`BPMNService_${method}`);
      const headers = { ...credential, ...options?.headers };
      const answer = await ask(base, verb, path, { ...options, headers });
      assert.equal(answer.status, status, `${method} ${path} ${answer.text.slice(0, 300)}`);
      assert.ok(Object.hasOwn(one.responses, String(status)), `${method} says nothing of ${status}`);
    }
  });
});
