/** What development leaves behind, and what production makes of it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { ask, startPortico, type TestPortico } from "../support/portico.ts";

test("the development key is nobody's in production, on the same database with the same secret", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "portico-production-"));
  const running: TestPortico[] = [];
  try {
    writeFileSync(path.join(folder, "secret"), Buffer.alloc(32, 9));
    const shared = {
      databaseUrl: `sqlite:${path.join(folder, "portico.db")}`,
      secretFile: path.join(folder, "secret"),
      authentication: "on",
    };
    const development = await startPortico(shared);
    running.push(development);
    const { key } = development;
    const statusAt = async (base: string) =>
      (await ask(base, "GET", "/api/v1/me", { headers: { "x-api-key": key } })).status;
    assert.equal(await statusAt(development.base), 200);
    await running.pop()?.stop();
    // With a data folder of its own: there is no file to be refused for.
    const production = await startPortico({ ...shared, mode: "production" });
    running.push(production);
    assert.equal(await statusAt(production.base), 401);
  } finally {
    for (const portico of running) await portico.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
