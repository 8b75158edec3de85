/** What an operator says about methods whose contract does not: reflection is for everybody until somebody says otherwise. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Health } from "#gen/grpc/health/v1/health_pb.ts";
import { connect, unary } from "../support/grpc.ts";
import { ask, startPortico } from "../support/portico.ts";

test("a policy by selector is obeyed on every protocol", async () => {
  const portico = await startPortico({
    authentication: "on",
    policies: JSON.stringify([{ selector: "grpc.health.v1.Health.Check", scopes: ["health:read"] }]),
  });
  const grpc = connect(portico.grpcPort);
  try {
    const check = (metadata: Record<string, string>) =>
      unary(grpc, Health.method.check, {}, { metadata }).then(
        () => 0,
        (error: { code: number }) => error.code,
      );
    assert.equal(await check({}), 16);
    assert.equal(await check({ "x-api-key": portico.key }), 0);
    const rest = await ask(portico.base, "POST", "/grpc.health.v1.Health/Check", { body: {} });
    assert.equal(rest.status, 401);
  } finally {
    grpc.close();
    await portico.stop();
  }
});

test("what could be called says where a rule decides besides the scopes", async () => {
  const rule = "request.service != 'secret'";
  const policies = JSON.stringify([
    { selector: "grpc.health.v1.Health.Check", scopes: ["health:read"], rule },
    { selector: "grpc.health.v1.Health.List", scopes: ["health:read"] },
  ]);
  const portico = await startPortico({ authentication: "on", policies });
  try {
    const headers = { "x-api-key": portico.key };
    const check = async (method: string) => {
      const { json } = await ask(portico.base, "POST", "/api/v1/auth:checkAccess", {
        headers,
        body: { method },
      });
      return [json.allowed, json.dependsOnRequest, json.reason];
    };
    assert.deepEqual(await check("grpc.health.v1.Health/Check"), [
      ...[true, true, "health:read is held; a rule decides on each request"],
    ]);
    assert.deepEqual(await check("grpc.health.v1.Health/List"), [true, false, "health:read is held"]);
    const call = (service: string) =>
      ask(portico.base, "POST", "/grpc.health.v1.Health/Check", { headers, body: { service } });
    assert.equal((await call("")).status, 200);
    assert.equal((await call("secret")).status, 403, "an administrator too");
  } finally {
    await portico.stop();
  }
});

test("without authentication everybody is somebody", async () => {
  const portico = await startPortico();
  try {
    const me = await ask(portico.base, "GET", "/api/v1/me");
    assert.deepEqual([me.status, me.json.name, me.json.effectiveScopes], [200, "users/local", ["*"]]);
  } finally {
    await portico.stop();
  }
});

test("a selector that fits nothing stops the start and says what was meant", async () => {
  await assert.rejects(
    startPortico({ policies: JSON.stringify([{ selector: "grpc.helth.v1.Health.*" }]) }),
    /"grpc\.helth\.v1\.Health\.\*" fits no method; did you mean grpc\.health\.v1\.Health\.\*\?/,
  );
});
