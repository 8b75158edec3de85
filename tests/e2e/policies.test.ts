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

test("a selector that fits nothing stops the start and says what was meant", async () => {
  await assert.rejects(
    startPortico({ policies: JSON.stringify([{ selector: "grpc.helth.v1.Health.*" }]) }),
    /"grpc\.helth\.v1\.Health\.\*" fits no method; did you mean grpc\.health\.v1\.Health\.\*\?/,
  );
});
