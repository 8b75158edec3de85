import assert from "node:assert/strict";
import { test } from "node:test";
import { createFrameCodecs, defaultFrameLimits } from "./frames.ts";

const nested = (levels: number): Buffer =>
  Buffer.from(`{"id":"1","message":${"[".repeat(levels)}${"]".repeat(levels)}}`);
const long = (elements: number): Buffer =>
  Buffer.from(`{"id":"1","message":[${"0,".repeat(elements - 1)}0]}`);

test("a frame holds a message that is as deep and has as many elements as its own codec takes", () => {
  const usual = createFrameCodecs().json;
  assert.equal(usual.read(nested(64), false).message?.length, 128);
  assert.throws(() => usual.read(nested(67), false), /deeper/);
  const more = createFrameCodecs({ ...defaultFrameLimits, maxJsonDepth: 200 }).json;
  assert.equal(more.read(nested(200), false).message?.length, 400);
  assert.throws(() => more.read(nested(203), false), /deeper/);
  const few = createFrameCodecs({ ...defaultFrameLimits, maxElements: 100 }).json;
  assert.throws(() => few.read(long(1200), false), { reason: "TOO_MANY_ELEMENTS" });
  assert.equal(usual.read(long(1200), false).message?.length, 2401);
});
