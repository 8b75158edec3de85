/** How often signing in may be tried: the options, and that each acts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { defaultLimits } from "#config/limits.ts";
import { defaultSignInLimits } from "#services/users/sign-in.ts";
import { ask, startPortico, type TestPortico } from "../support/portico.ts";

const attempt = async ({ base }: TestPortico, email: string) => {
  const answer = await ask(base, "POST", "/api/v1/auth:signIn", { body: { email, password: "wrong" } });
  return { status: answer.status, text: answer.text, retryAfter: answer.headers.get("retry-after") };
};
const statuses = async (portico: TestPortico, emails: readonly string[]): Promise<number[]> => {
  const seen: number[] = [];
  for (const email of emails) seen.push((await attempt(portico, email)).status);
  return seen;
};

async function withPortico(
  flags: Readonly<Record<string, string>>,
  see: (portico: TestPortico) => Promise<void>,
): Promise<void> {
  const portico = await startPortico(flags);
  try {
    await see(portico);
  } finally {
    await portico.stop();
  }
}

test("the part's own defaults are those of the options: 10 an account and 100 an address in 15 minutes", () => {
  const { perAccount, perAddress, windowMs } = defaultSignInLimits;
  assert.deepEqual([perAccount, perAddress, windowMs], [10, 100, 900_000]);
  const { signInsPerAccount, signInsPerAddress, signInWindowMs } = defaultLimits;
  assert.deepEqual([signInsPerAccount, signInsPerAddress, signInWindowMs], [10, 100, 900_000]);
});

test("signInsPerAccount 2: of one account, whatever others do", async () => {
  await withPortico({ signInsPerAccount: "2" }, async (portico) => {
    assert.deepEqual(
      await statuses(portico, ["a@x.org", "a@x.org", "a@x.org", "A@x.org", "b@x.org"]),
      [401, 401, 429, 429, 401],
    );
    const limited = await attempt(portico, "a@x.org");
    assert.match(limited.text, /SIGN_IN_LIMITED/);
    // Half of the window a piece.
    assert.ok(
      Number(limited.retryAfter) > 440 && Number(limited.retryAfter) <= 450,
      limited.retryAfter ?? "",
    );
  });
});

test("signInsPerAddress 3: whichever accounts they are for", async () => {
  await withPortico({ signInsPerAddress: "3" }, async (portico) => {
    const emails = ["a", "b", "c", "d", "a"].map((name) => `${name}@x.org`);
    assert.deepEqual(await statuses(portico, emails), [401, 401, 401, 429, 429]);
  });
});

test("signInWindowMs 3000: one more comes back when its part of it has passed", async () => {
  await withPortico({ signInsPerAccount: "2", signInWindowMs: "3000" }, async (portico) => {
    assert.deepEqual(await statuses(portico, ["a@x.org", "a@x.org", "a@x.org"]), [401, 401, 429]);
    await sleep(1600);
    assert.equal((await attempt(portico, "a@x.org")).status, 401);
  });
});
