import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Call } from "#rpc/call.ts";
import type { RpcError } from "#rpc/error.ts";
import type { Method, MethodKind } from "#rpc/method.ts";
import type { Reply } from "#rpc/reply.ts";
import { createDeadline, type MethodDeadline } from "./deadline.ts";

const clock = { now: () => 0, monotonic: () => performance.now() };
const unsaid: MethodDeadline = { defaultMs: undefined, maximumMs: undefined };

/** How long a call that never answers is let run, in milliseconds; undefined: longer than 100. */
async function letRun(
  own: MethodDeadline,
  about: { readonly asked?: number; readonly kind?: MethodKind } = {},
): Promise<number | undefined> {
  const deadline = createDeadline({ clock, defaultMs: 20, maximumMs: 50, of: () => own });
  const handler = deadline(() => new Promise<Reply>(() => undefined), {
    kind: about.kind ?? "unary",
  } as Method);
  const startedAtMs = performance.now();
  let canceled: (error: RpcError) => void = () => undefined;
  const call = {
    ...{ timeoutMs: about.asked, startedAtMs },
    onCancel: (listener: (error: RpcError) => void) => {
      canceled = listener;
    },
    cancel: (error: RpcError) => canceled(error),
  } as unknown as Call;
  const over = Promise.resolve(handler(call)).then(
    () => undefined,
    ({ code }: RpcError) => {
      assert.equal(code, "deadline_exceeded");
      return performance.now() - startedAtMs;
    },
  );
  return await Promise.race([over, new Promise<undefined>((resolve) => setTimeout(resolve, 100, undefined))]);
}

const about = (ms: number) => (took: number | undefined) =>
  assert.ok(took !== undefined && took >= ms - 2 && took < ms + 45, `${took} ms, not ${ms}`);

describe("a deadline", () => {
  test("is the gateway's where contract and client say nothing", async () => about(20)(await letRun(unsaid)));
  test("is the contract's before the gateway's", async () =>
    about(40)(await letRun({ defaultMs: 40, maximumMs: undefined })));
  test("is the client's before both", async () =>
    about(5)(await letRun({ defaultMs: 40, maximumMs: undefined }, { asked: 5 })));
  test("is never longer than the contract's longest, whoever asks", async () => {
    about(10)(await letRun({ defaultMs: undefined, maximumMs: 10 }, { asked: 10_000 }));
    about(10)(await letRun({ defaultMs: undefined, maximumMs: 10 }));
  });
  test("of a contract may be longer than the gateway's longest", async () =>
    about(80)(await letRun({ defaultMs: 80, maximumMs: 90 })));
  test("is none for streams, unless somebody says so", async () => {
    assert.equal(await letRun(unsaid, { kind: "server_stream" }), undefined);
    about(20)(await letRun({ defaultMs: 20, maximumMs: undefined }, { kind: "client_stream" }));
  });
});
