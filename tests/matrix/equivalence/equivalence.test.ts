/**
 * One method, every protocol, one answer: what is sent comes back as it was, and what is refused is refused with the same code, the same
 * words and the same details. What a protocol cannot carry has a name in `losses.ts`, and is not sent by it.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { inspect } from "node:util";
import { fromBinary, type JsonValue, type Message } from "@bufbuild/protobuf";
import fc from "fast-check";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { type EchoServer, echoDescriptors, startEcho } from "../../support/echo.ts";
import { edges, forbidden, specimens } from "./arbitrary.ts";
import {
  Caller,
  type Carrier,
  connectCarriers,
  grpcCarriers,
  restCarriers,
  restFieldCarriers,
} from "./carriers.ts";
import { toQuery } from "./losses.ts";
import { type Answer, Mirror } from "./mirror.ts";
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

/** One message in all its forms: made once for all who carry the whole of it. */
class Sent {
  readonly json: JsonValue;
  readonly message: Message;
  readonly proto: Buffer;
  #text: Buffer | undefined;

  constructor(json: JsonValue) {
    this.json = json;
    this.message = mirror.fromJson(json);
    this.proto = mirror.bytes(this.message, "proto");
  }

  bytes(encoding: "proto" | "json"): Buffer {
    if (encoding === "proto") return this.proto;
    this.#text ??= mirror.bytes(this.message, "json");
    return this.#text;
  }
}

async function reflected(carrier: Carrier, whole: Sent): Promise<void> {
  const sent = carrier.carried === undefined ? whole : new Sent(carrier.carried(whole.json));
  const answer = await carrier.send(sent.bytes(carrier.encoding));
  if (answer.kind === "failure") assert.fail(`${carrier.name}: ${JSON.stringify(answer.failure)}`);
  // Most often the same to the byte; where only the order of a map differs, what is said is the same.
  if (mirror.bytes(answer.message, "proto").equals(sent.proto)) return;
  assert.deepEqual(mirror.canonical(answer.message), mirror.canonical(sent.message), carrier.name);
}

/** All of them to the end: the next message must not meet one that is still on its way. */
async function everyOne(all: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(all)).find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

/** The first's answer is everybody's. */
async function sameFailure(ways: readonly Carrier[], bytesFor: (carrier: Carrier) => Buffer): Promise<void> {
  const settled = await Promise.allSettled(ways.map((carrier) => carrier.send(bytesFor(carrier))));
  let expected: Answer | undefined;
  for (const [at, result] of settled.entries()) {
    const name = ways[at]?.name;
    if (result.status === "rejected") throw new Error(name, { cause: result.reason });
    assert.equal(result.value.kind, "failure", name);
    expected ??= result.value;
    assert.deepEqual(result.value, expected, name);
  }
}

/** JSON, and no message. */
const unreadable: readonly string[] = [
  '{"kinds":{"nothing":1}}',
  '{"kinds":{"int32Explicit":"x"}}',
  '{"kinds":{"int32Explicit":2147483648}}',
  '{"kinds":{"uint64Explicit":"-1"}}',
  '{"kinds":{"int64Explicit":"9223372036854775808"}}',
  '{"kinds":{"bytesExplicit":"%"}}',
  '{"kinds":{"boolExplicit":"true"}}',
  '{"kinds":{"openExplicit":"NOT_ONE"}}',
  '{"kinds":{"closedExplicit":77}}',
  '{"kinds":{"closedExplicit":"NOT_ONE"}}',
  '{"kinds":{"stringExplicit":1}}',
  '{"kinds":{"choiceInt64":"1","choiceString":"b"}}',
  '{"kinds":{"int64s":[null]}}',
  '{"kinds":{"child":[]}}',
  '{"kinds":{"int32Double":{"x":1}}}',
  '{"kinds":{"time":"yesterday"}}',
  '{"kinds":{"span":"1h"}}',
  '{"kinds":{"any":{"@type":"type.googleapis.com/no.Such"}}}',
  '{"everything":{"text":{}}}',
  '{"legacy":7}',
];

/** Not even JSON. */
const broken: readonly string[] = [
  "{",
  '{"kinds":',
  '{"checked":{}}}',
  "{'a':1}",
  '{"checked":{"name":"\\x"}}',
  "[1]",
];

describe("one answer", () => {
  test("300 messages come back as they were, by every protocol", async (t) => {
    const ways = [...carriers, ...partial];
    await fc.assert(
      fc.asyncProperty(specimens(mirror.desc), async (json) => {
        const sent = new Sent(mirror.canonical(mirror.fromJson(json)));
        await everyOne(ways.map((carrier) => reflected(carrier, sent)));
      }),
      { numRuns: 300 + edges.length, seed, examples: edges.map((json): [JsonValue] => [json]) },
    );
    t.diagnostic(`${ways.length} ways: ${ways.map(({ name }) => name).join(", ")}`);
  });

  test("100 messages that the contract forbids are refused alike", async () => {
    await fc.assert(
      fc.asyncProperty(forbidden, async (json) => {
        const message = mirror.fromJson(json);
        // gRPC's clients write the contract's names and others those of JSON; here they are the same.
        await sameFailure(carriers, ({ encoding }) => mirror.bytes(message, encoding));
      }),
      { numRuns: 100, seed },
    );
  });

  for (const text of unreadable)
    test(`unreadable alike: ${text.slice(0, 60)}`, async () => {
      const ways = carriers.filter(
        ({ name, encoding }) => encoding === "json" && !name.startsWith("graphql"),
      );
      await sameFailure(ways, () => Buffer.from(text));
      // Its schema knows the types, and says so before there is a call.
      for (const carrier of carriers.filter(({ name }) => name.startsWith("graphql"))) {
        const answer = await carrier.send(Buffer.from(text));
        assert.equal(answer.kind, "failure", carrier.name);
      }
    });

  for (const text of broken)
    test(`what is not JSON is refused alike: ${text}`, async () => {
      // The others read JSON themselves, and close the connection or answer in their own words.
      const ways = carriers.filter(({ encoding, readsJson }) => encoding === "json" && readsJson !== true);
      // What is cut short in an array leaves the array open, and that is what is said of it.
      const isCut = text === "{" || text === '{"kinds":';
      await sameFailure(
        ways.filter(({ name }) => !isCut || name !== "rest array both ways"),
        () => Buffer.from(text),
      );
    });

  test("100 texts of bytes that are no message are refused alike", async () => {
    const ways = carriers.filter(({ encoding }) => encoding === "proto");
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 40 }), async (bytes) => {
        fc.pre(!isMessage(bytes));
        await sameFailure(ways, () => Buffer.from(bytes));
      }),
      { numRuns: 100, seed },
    );
  });

  test("a required field that is missing is refused alike", async () => {
    const proto = Buffer.from([0x12, 0x00]);
    await sameFailure(
      carriers.filter(({ name }) => !name.startsWith("graphql")),
      ({ encoding }) => (encoding === "proto" ? proto : Buffer.from('{"legacy":{}}')),
    );
  });

  test("a field that the contract does not have is kept by every binary encoding", async () => {
    // Checked, which cannot be extended, and Kinds, which can: each with a string as field 500, Specimen with one as 99.
    const unknown = Buffer.from("a21f0178", "hex");
    const nested = (field: number): Buffer =>
      Buffer.concat([Buffer.from([(field << 3) | 2, unknown.length]), unknown]);
    const sent = Buffer.concat([nested(4), nested(1)]);
    for (const carrier of carriers.filter(({ encoding }) => encoding === "proto")) {
      const answer = await carrier.send(sent);
      assert.ok(answer.kind === "message", inspect(answer));
      const { kinds, checked } = answer.message as unknown as Record<string, Message>;
      assert.deepEqual([kinds?.$unknown?.length, checked?.$unknown?.length], [1, 1], carrier.name);
    }
  });
});

function isMessage(bytes: Uint8Array): boolean {
  try {
    fromBinary(mirror.desc, bytes);
    return true;
  } catch {
    return false;
  }
}
