/** The OpenAPI document against two independent linters, and its examples of use against the server. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { loadContract } from "#cli/contract.ts";
import { reasonTables } from "../../scripts/reason-tables.ts";
import { ask, startPortico, type TestPortico } from "../support/portico.ts";

const run = promisify(execFile);
const bin = path.resolve(import.meta.dirname, "../../node_modules/.bin");
const folder = mkdtempSync(path.join(tmpdir(), "portico-openapi-"));
const file = path.join(folder, "openapi.json");
let portico: TestPortico;

before(async () => {
  portico = await startPortico({ authentication: "on" });
  writeFileSync(file, (await ask(portico.base, "GET", "/openapi.json")).text);
  writeFileSync(
    path.join(folder, "redocly.yaml"),
    "extends: [recommended]\nrules:\n  no-invalid-media-type-examples: error\n  no-invalid-parameter-examples: error\n",
  );
  writeFileSync(
    path.join(folder, "spectral.yaml"),
    `extends: ["spectral:oas"]\nrules:\n  oas3-valid-media-example: error\n  oas3-valid-schema-example: error\n`,
  );
});
after(async () => {
  rmSync(folder, { recursive: true, force: true });
  await portico.stop();
});

describe("the OpenAPI document", () => {
  test("has no error for Redocly's recommended rules", async () => {
    const env = { ...process.env, REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true" };
    await run(path.join(bin, "redocly"), ["lint", file, "--config", path.join(folder, "redocly.yaml")], {
      env,
      cwd: folder,
    });
  });

  test("has no error for Spectral's OpenAPI rules", async () => {
    await run(
      path.join(bin, "spectral"),
      ["lint", file, "--ruleset", path.join(folder, "spectral.yaml"), "--fail-severity", "error"],
      { cwd: folder },
    );
  });

  test("describes every annotated binding and nothing else", async () => {
    const { json } = await ask(portico.base, "GET", "/openapi.json");
    const operations = Object.entries(
      json.paths as Record<string, Record<string, { operationId: string }>>,
    ).flatMap(([route, item]) => Object.keys(item).map((method) => `${method.toUpperCase()} ${route}`));
    assert.ok(operations.includes("PATCH /api/v1/bpmn/{id}"));
    assert.ok(operations.includes("POST /api/v1/bpmn/{id}:undelete"));
    assert.ok(operations.includes("GET /api/v1/me"));
    assert.equal(operations.length, loadContract().routes.length);
  });

  test("says who may call each operation", async () => {
    const { json } = await ask(portico.base, "GET", "/openapi.json");
    assert.deepEqual(json.paths["/api/v1/auth:signIn"].post.security, []);
    assert.deepEqual(json.paths["/api/v1/bpmn"].post["x-required-scopes"], ["bpmn:write"]);
    assert.deepEqual(Object.keys(json.components.securitySchemes), ["bearer", "apiKey", "oauth2"]);
    assert.ok("401" in json.paths["/api/v1/bpmn"].post.responses);
    assert.ok(!("403" in json.paths["/api/v1/auth:signIn"].post.responses));
  });

  test("says what the contract says about fields", async () => {
    const { json: document } = await ask(portico.base, "GET", "/openapi.json");
    const schemaOf = (name: string) =>
      document.components.schemas[`portico.users.v1.${name}`] as {
        properties: Record<
          string,
          { maxLength?: number; items?: object; maxItems?: number; maxProperties?: number }
        >;
      };
    assert.equal(schemaOf("User").properties.displayName?.maxLength, 200);
    assert.equal(schemaOf("User").properties.labels?.maxProperties, 64);
    assert.equal(schemaOf("Role").properties.scopes?.maxItems, 100);
  });

  test("says what a body is refused for", async () => {
    const { json: document } = await ask(portico.base, "GET", "/openapi.json");
    const { paths } = document;
    const bodyOf = (method: string, route: string, type = "application/json") =>
      paths[route][method].requestBody.content[type].schema;
    // Keys that it does not have; a reply may get more of them.
    const { schemas } = document.components;
    assert.equal(schemas["portico.users.v1.SignInRequest"].additionalProperties, false);
    assert.equal(schemas["portico.users.v1.User"].additionalProperties, false);
    assert.ok(!("additionalProperties" in schemas["portico.users.v1.ListUsersResponse"]));
    // What the path says already.
    assert.ok(!("id" in bodyOf("post", "/api/v1/users/{id}:suspend").properties));
    // A change may leave out what a creation may not.
    assert.ok(schemas["portico.users.v1.OAuthClient"].required.includes("displayName"));
    assert.ok(!("required" in bodyOf("patch", "/api/v1/oauthClients/{id}")));
    // Rules in CEL, and those of a map's keys.
    const { properties } = schemas["portico.users.v1.User"];
    assert.equal(properties.roles.items.pattern, "^roles/");
    assert.deepEqual(properties.labels.propertyNames, { minLength: 1, maxLength: 63 });
    // The form of an upload: its fields have the names that the query has.
    const form = bodyOf("post", "/api/v1/bpmn:upload", "multipart/form-data");
    assert.ok("metadata.displayName" in form.properties && !form.additionalProperties);
  });

  test("can be asked for one service, and says which service it does not know", async () => {
    const health = await ask(portico.base, "GET", "/openapi.json?service=portico.bpmn.v1.BPMNService");
    assert.deepEqual(
      health.json.tags.map((tag: { name: string }) => tag.name),
      ["BPMNService"],
    );
    assert.equal((await ask(portico.base, "GET", "/openapi.json?service=no.Such")).status, 404);
  });

  test("is kept by clients: its ETag answers 304", async () => {
    const first = await ask(portico.base, "GET", "/openapi.json");
    assert.equal(
      (
        await ask(portico.base, "GET", "/openapi.json", {
          headers: { "if-none-match": first.headers.get("etag") ?? "" },
        })
      ).status,
      304,
    );
  });
});

describe("the pages", () => {
  test("the reference lists every method, and its policy allows its own script and this origin alone", async () => {
    const page = await ask(portico.base, "GET", "/docs");
    for (const method of ["CreateBPMN", "DownloadBPMN", "RollbackBPMN"])
      assert.ok(page.text.includes(`>${method}</a></h3>`), method);
    const policy = page.headers.get("content-security-policy") ?? "";
    assert.match(
      policy,
      /^default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'; connect-src 'self';/,
    );
  });
  test("every reason is explained where a problem's type points", async () => {
    const page = await ask(portico.base, "GET", "/docs/errors");
    for (const { reasons } of await reasonTables())
      for (const reason of Object.keys(reasons)) assert.ok(page.text.includes(`id="${reason}"`), reason);
  });
  test("health is green and metrics count calls", async () => {
    for (const probe of ["/livez", "/readyz", "/health"])
      assert.equal((await ask(portico.base, "GET", probe)).status, 200);
    await ask(portico.base, "GET", "/api/v1/bpmn/none", { headers: { "x-api-key": portico.key } });
    assert.match(
      (await ask(portico.base, "GET", "/metrics")).text,
      /portico_calls_total\{method="portico.bpmn.v1.BPMNService\/GetBPMN",protocol="rest",code="not_found"\} 1/,
    );
  });
  test("pages take GET and HEAD only", async () => {
    const answer = await ask(portico.base, "POST", "/docs");
    assert.deepEqual([answer.status, answer.headers.get("allow")], [405, "GET, HEAD"]);
  });
});
