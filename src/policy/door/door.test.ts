import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { type Door, Entry } from "#rpc/door.ts";
import { RpcError } from "#rpc/error.ts";
import type { Handler } from "#rpc/interceptor.ts";
import { Metadata } from "#rpc/metadata.ts";
import type { Method } from "#rpc/method.ts";
import { anonymous, type Principal } from "#rpc/principal.ts";
import type { Reply } from "#rpc/reply.ts";
import { Authenticator, type Credential } from "../authenticate/authenticator.ts";
import { createLimiter } from "../limit/limit.ts";
import { createDoor } from "./door.ts";

const peer = { address: "192.0.2.1", port: 1 };
const principal = (name: string): Principal => ({ ...anonymous, name, tenant: "default" });
const reply = { kind: "unary" } as Reply;
const costs: Readonly<Record<string, number>> = { one: 1, four: 4 };

let time: { now: number };
let asked: number;
let door: Door;
let authenticator: Authenticator;
let call: (name: string, entry: Entry | undefined, as: Principal) => void;

beforeEach(() => {
  time = { now: 0 };
  asked = 0;
  const clock = { now: () => time.now, monotonic: () => time.now };
  const credentialOf = (text: string): Credential => ({
    expiresAt: Number.POSITIVE_INFINITY,
    ...(text === "once" ? { once: true } : {}),
    principal: () => {
      asked += 1;
      return principal(`users/${text}`);
    },
  });
  const credentials = {
    read: (text: string) => (text === "bad" ? undefined : credentialOf(text)),
    certificate: credentialOf,
  };
  authenticator = new Authenticator({ credentials, clock });
  const limiter = createLimiter({
    ...{ rate: { burst: 10, intervalMs: 1000 }, tenantRate: { burst: 12, intervalMs: 1000 }, clock },
    costOf: ({ name }) => costs[name] ?? 1,
  });
  const admission = { interceptor: (next: Handler) => next, run: <T>(_work: unknown, run: () => T) => run() };
  door = createDoor({ identified: { authenticator, limiter }, admission, clock });
  call = (name, entry, as) => {
    const handler = limiter.interceptor(() => reply, { name } as Method);
    void handler({ entry, principal: as, peer, responseHeaders: new Metadata() } as never);
  };
});

async function come(key?: string): Promise<Entry> {
  const metadata = new Metadata(() => (key === undefined ? [] : [["x-api-key", key]]));
  const entry = new Entry(metadata, peer);
  await door.enter(entry);
  return entry;
}
const limited = (error: unknown): boolean => error instanceof RpcError && error.reason === "RATE_LIMITED";
const left = ({ responseHeaders }: Entry): string | undefined =>
  /r=(\d+)/.exec(responseHeaders.get("ratelimit") ?? "")?.[1];

describe("the door", () => {
  test("takes one from the caller's limit, and says what is left", async () => {
    for (const [key, name] of [
      [undefined, ""],
      ["ana", "users/ana"],
    ] as const) {
      for (let count = 9; count >= 0; count -= 1) {
        const entry = await come(key);
        assert.deepEqual([entry.principal.name, left(entry)], [name, String(count)]);
      }
      await assert.rejects(come(key), limited);
    }
  });

  test("a credential that is no good is charged to the address, and told who asks for a principal", async () => {
    const entry = await come("bad");
    assert.equal(entry.principal.name, "");
    assert.equal(left(await come()), "8");
    assert.throws(
      () => authenticator.principalOf({ metadata: entry.metadata, peer, entry }),
      (error: RpcError) => error.reason === "CREDENTIAL_INVALID",
    );
  });

  test("what is paid is paid for the first call of the same caller", async () => {
    const entry = await come("ana");
    call("four", entry, entry.principal);
    assert.equal(left(await come("ana")), "5", "four, and one for this");
    call("one", entry, entry.principal);
    assert.equal(left(await come("ana")), "3");
    call("one", await come("ana"), anonymous);
    assert.equal(left(await come("ana")), "1");
    assert.equal(left(await come()), "8", "what is for everybody is the address's");
  });

  test("a call that is paid for is let in, whatever became of the limit meanwhile", async () => {
    const entry = await come("ana");
    for (let count = 0; count < 9; count += 1) await come("ana");
    assert.doesNotThrow(() => call("one", entry, entry.principal));
    assert.throws(() => call("one", entry, entry.principal), limited);
  });

  test("all callers of a tenant together have their limit there too", async () => {
    for (let count = 0; count < 12; count += 1) await come(`user${count}`);
    await assert.rejects(come("user12"), limited);
    assert.equal((await come()).principal.name, "", "strangers have no tenant");
  });

  test("whom the calls behind it are by is asked once, and again after two seconds", async () => {
    const entry = await come("ana");
    const again = async () =>
      (await authenticator.principalOf({ metadata: entry.metadata, peer, entry })).name;
    assert.equal(await again(), "users/ana");
    assert.equal(asked, 1);
    time.now += 2000;
    assert.equal(await again(), "users/ana");
    assert.equal(asked, 2);
  });

  test("a credential that can be shown once is good for all calls of its request", async () => {
    const entry = await come("once");
    for (let count = 0; count < 3; count += 1) {
      const found = await authenticator.principalOf({ metadata: entry.metadata, peer, entry });
      assert.equal(found.name, "users/once");
      time.now += 1500;
    }
  });
});
