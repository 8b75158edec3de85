import assert from "node:assert/strict";
import { after, before, describe, mock, test } from "node:test";
import type { Call } from "#rpc/call.ts";
import type { RpcError } from "#rpc/error.ts";
import type { Method, MethodKind } from "#rpc/method.ts";
import type { Reply } from "#rpc/reply.ts";
import { createDeadline, type MethodDeadline } from "./deadline.ts";

const unsaid: MethodDeadline = { defaultMs: undefined, maximumMs: undefined };

let nowMs = 0;
const clock = { now: () => 0, monotonic: () => nowMs };
before(() => mock.timers.enable({ apis: ["setTimeout"] }));
after(() => mock.timers.reset());

/** How long a call that never answers is let run, in milliseconds; undefined: longer than 100. */
async function letRun(
  own: MethodDeadline,
  about: { readonly asked?: number; readonly kind?: MethodKind } = {},
): Promise<number | undefined> {
  const deadline = createDeadline({ clock, defaultMs: 20, maximumMs: 50, of: () => own });
  const handler = deadline(() => new Promise<Reply>(() => undefined), {
    kind: about.kind ?? "unary",
  } as Method);
  const startedAtMs = nowMs;
  let canceled: (error: RpcError) => void = () => undefined;
  const call = {
    ...{ timeoutMs: about.asked, startedAtMs },
    onCancel: (listener: (error: RpcError) => void) => {
      canceled = listener;
    },
    cancel: (error: RpcError) => canceled(error),
  } as unknown as Call;
  let refusal: RpcError | undefined;
  Promise.resolve(handler(call)).catch((error: RpcError) => {
    refusal = error;
  });
  while (refusal === undefined) {
    if (nowMs - startedAtMs === 100) return undefined;
    nowMs += 1;
    mock.timers.tick(1);
    await new Promise(setImmediate);
  }
  assert.equal(refusal.code, "deadline_exceeded");
  return nowMs - startedAtMs;
}

const exactly = (ms: number) => (took: number | undefined) => assert.equal(took, ms);

describe("a deadline", () => {
  test("is the gateway's where contract and client say nothing", async () =>
    exactly(20)(await letRun(unsaid)));
  test("is the contract's before the gateway's", async () =>
    exactly(40)(await letRun({ defaultMs: 40, maximumMs: undefined })));
  test("is the client's before both", async () =>
    exactly(5)(await letRun({ defaultMs: 40, maximumMs: undefined }, { asked: 5 })));
  test("is never longer than the contract's longest, whoever asks", async () => {
    exactly(10)(await letRun({ defaultMs: undefined, maximumMs: 10 }, { asked: 10_000 }));
    exactly(10)(await letRun({ defaultMs: undefined, maximumMs: 10 }));
  });
  test("of a contract may be longer than the gateway's longest", async () =>
    exactly(80)(await letRun({ defaultMs: 80, maximumMs: 90 })));
  test("is none for streams, unless somebody says so", async () => {
    assert.equal(await letRun(unsaid, { kind: "server_stream" }), undefined);
    exactly(20)(await letRun({ defaultMs: 20, maximumMs: undefined }, { kind: "client_stream" }));
  });
});
