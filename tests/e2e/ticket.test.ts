/** Tickets: one call from a URL, and no more. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type Clock, systemClock } from "#std/clock.ts";
import { type IdentityServer, startIdentity } from "../support/identity.ts";
import { ask, bpmnXml, reasonOf } from "../support/portico.ts";

describe("a ticket", () => {
  let server: IdentityServer;
  let aheadMs = 0;
  const clock: Clock = {
    ...systemClock,
    now: () => systemClock.now() + aheadMs,
    monotonic: () => systemClock.monotonic() + aheadMs,
  };
  let viewer: Record<string, string>;

  const ticket = async (headers = viewer, scopes: readonly string[] = []): Promise<string> => {
    const made = await ask(server.base, "POST", "/api/v1/auth:ticket", { headers, body: { scopes } });
    assert.equal(made.status, 200, made.text);
    return made.json.ticket;
  };
  const download = (query: string, headers: Record<string, string> = {}) =>
    ask(server.base, "GET", `/api/v1/bpmn/order:download${query}`, { headers });

  before(async () => {
    server = await startIdentity({ clock });
    viewer = { "x-api-key": await server.userWithKey("vera", ["viewer"]) };
    const made = await ask(server.base, "POST", "/api/v1/bpmn?documentId=order", {
      headers: { "x-api-key": server.adminKey },
      body: { xml: bpmnXml() },
    });
    assert.equal(made.status, 201, made.text);
  });
  after(() => server.close());

  test("opens a stream once, beside its other parameters", async () => {
    const one = await ticket();
    const first = await download(`?revision=1&ticket=${one}`);
    assert.equal(first.status, 200, first.text);
    assert.match(first.text, /definitions/);
    const second = await download(`?ticket=${one}`);
    assert.equal(second.status, 401);
    assert.equal(reasonOf(second), "CREDENTIAL_INVALID");
  });

  test("of twenty at once with one ticket, one gets in", async () => {
    const one = await ticket();
    const all = await Promise.all(Array.from({ length: 20 }, () => download(`?ticket=${one}`)));
    assert.deepEqual(all.map(({ status }) => status).sort(), [200, ...Array<number>(19).fill(401)]);
  });

  test("is over after a minute", async () => {
    const one = await ticket();
    aheadMs += 60_001;
    assert.equal((await download(`?ticket=${one}`)).status, 401);
  });

  test("may no more than its maker, and can be given less", async () => {
    const asked = await ask(server.base, "POST", "/api/v1/auth:ticket", {
      headers: viewer,
      body: { scopes: ["bpmn:write"] },
    });
    assert.equal(asked.status, 403);
    assert.equal(reasonOf(asked), "SCOPE_EXCEEDED");
    const admin = { "x-api-key": server.adminKey };
    assert.equal((await download(`?ticket=${await ticket(admin, ["users:read"])}`)).status, 403);
    assert.equal((await download(`?ticket=${await ticket(admin, ["bpmn:read"])}`)).status, 200);
  });

  test("is for streams alone: everything else has room for a header", async () => {
    const listed = await ask(server.base, "GET", `/api/v1/bpmn?ticket=${await ticket()}`);
    assert.equal(listed.status, 401);
  });

  test("does not stand beside another credential, and ends with its maker", async () => {
    assert.equal((await download(`?ticket=${await ticket()}`, { "x-api-key": "ptk_live_no" })).status, 401);
    const one = await ticket();
    const admin = { "x-api-key": server.adminKey };
    await ask(server.base, "POST", "/api/v1/users/vera:suspend", { headers: admin, body: {} });
    assert.equal((await download(`?ticket=${one}`)).status, 401);
  });
});
