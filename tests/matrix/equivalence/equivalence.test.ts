/**
 * One method, every protocol, one answer: what is sent comes back as it was, and what is refused is refused with the same code, the same
 * words and the same details. What a protocol cannot carry has a name in `losses.ts`, and is not sent by it.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { JsonValue } from "@bufbuild/protobuf";
import fc from "fast-check";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { type EchoServer, echoDescriptors, startEcho } from "../../support/echo.ts";
import { forbidden, specimens } from "./arbitrary.ts";
import {
  Caller,
  type Carrier,
  connectCarriers,
  grpcCarriers,
  restCarriers,
  restFieldCarriers,
} from "./carriers.ts";
import { toQuery } from "./losses.ts";
import { type Answer, Mirror, printJson } from "./mirror.ts";
import { graphqlCarriers, mcpCarriers, socketCarriers } from "./session-carriers.ts";

/** Failures print theirs; the same every time, so that who broke something is who sees it. */
const seed = 20_260_728;
const mirror = new Mirror(loadCatalog({ descriptorSet: echoDescriptors() }).registry);

let echo: EchoServer;
let caller: Caller;
/** Whole messages, of both encodings. */
let carriers: Carrier[];
/** Parts of messages. */
let partial: Carrier[];

before(async () => {
  echo = await startEcho({
    graphqlLimits: { maxTokens: 10_000, maxDepth: 30 },
    // A message in the URL is as long as it is.
    limits: { maxUrlBytes: 64 * 1024, maxHeaderBytes: 128 * 1024 },
  });
  caller = new Caller(echo, mirror);
  carriers = [
    ...grpcCarriers(caller),
    ...connectCarriers(caller),
    ...restCarriers(caller),
    ...socketCarriers(caller),
    ...graphqlCarriers(caller),
    ...mcpCarriers(caller),
  ];
  partial = restFieldCarriers(caller, (json) => toQuery(mirror.desc, json));
});
after(async () => {
  for (const carrier of carriers) await carrier.close?.();
  caller.close();
  await echo.close();
});

async function reflected(carrier: Carrier, sent: JsonValue): Promise<void> {
  const carried = carrier.carried?.(sent) ?? sent;
  const message = mirror.fromJson(carried);
  const answer = await carrier.send(mirror.bytes(message, carrier.encoding));
  if (answer.kind === "failure") assert.fail(`${carrier.name}: ${JSON.stringify(answer.failure)}`);
  assert.deepEqual(mirror.canonical(answer.message), mirror.canonical(message), carrier.name);
}

/** The first's answer is everybody's. */
async function sameFailure(answers: readonly (readonly [string, Promise<Answer>])[]): Promise<void> {
  let expected: Answer | undefined;
  for (const [name, pending] of answers) {
    const answer = await pending;
    assert.equal(answer.kind, "failure", name);
    expected ??= answer;
    assert.deepEqual(answer, expected, name);
  }
}

describe("one answer", () => {
  test("300 messages come back as they were, by every protocol", async (t) => {
    await fc.assert(
      fc.asyncProperty(specimens(mirror.desc), async (json) => {
        const sent = mirror.canonical(mirror.fromJson(json));
        await Promise.all([...carriers, ...partial].map((carrier) => reflected(carrier, sent)));
      }),
      { numRuns: 300, seed },
    );
    t.diagnostic(`${carriers.length + partial.length} ways`);
  });

  test("100 messages that the contract forbids are refused alike", async () => {
    await fc.assert(
      fc.asyncProperty(forbidden, async (json) => {
        const message = mirror.fromJson(json);
        await sameFailure(
          carriers.map((carrier) => [carrier.name, carrier.send(mirror.bytes(message, carrier.encoding))]),
        );
      }),
      { numRuns: 100, seed },
    );
  });
});
