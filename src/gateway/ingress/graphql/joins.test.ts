import assert from "node:assert/strict";
import { test } from "node:test";
import { type Join, Loader } from "./joins.ts";

const join = { method: { name: "a.Users/BatchGetUsers" }, key: "ids", list: "users" } as unknown as Join;

/** Has the users 0 … 299; all or nothing, as AIP-231 says. */
function loader() {
  const batches: number[] = [];
  const made = new Loader(async (_method, request) => {
    const { ids } = request as { ids: string[] };
    batches.push(ids.length);
    if (ids.some((id) => Number(id) >= 300))
      throw Object.assign(new Error("not there"), { extensions: { code: "NOT_FOUND" } });
    return { users: ids.map((id) => ({ name: `users/${id}` })) };
  });
  return { made, batches };
}

test("all names of one step are one call a hundred, each name once", async () => {
  const { made, batches } = loader();
  const names = Array.from({ length: 250 }, (_, id) => `users/${id}`);
  const found = await Promise.all([...names, ...names].map((name) => made.load(join, name)));
  assert.deepEqual(batches, [100, 100, 50]);
  assert.deepEqual(found[499], { name: "users/249" });
  assert.deepEqual(await made.load(join, "users/7"), { name: "users/7" });
  assert.equal(batches.length, 3);
});

test("what is not there is null, and keeps nobody else away", async () => {
  const { made, batches } = loader();
  const found = await Promise.all(
    ["users/1", "users/999", "users/2", "users/3"].map((name) => made.load(join, name)),
  );
  assert.deepEqual(found, [{ name: "users/1" }, null, { name: "users/2" }, { name: "users/3" }]);
  assert.deepEqual(batches, [4, 2, 2, 1, 1]);
});

test("another failure is everybody's", async () => {
  const made = new Loader(async () => {
    throw new Error("away");
  });
  const both = await Promise.allSettled([made.load(join, "users/1"), made.load(join, "users/2")]);
  assert.deepEqual(
    both.map(({ status }) => status),
    ["rejected", "rejected"],
  );
});
