/**
 * ProtoJSON over every kind of field, with protobuf-es as the oracle: what it reads we read, to the same message; what it
 * refuses we refuse, with an error of ours. What it cannot know - digits beyond 2^53 - is held against BigInt.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { type DescMessage, fromJson, type JsonValue, type Message } from "@bufbuild/protobuf";
import fc from "fast-check";
import { loadCatalog } from "#gateway/catalog/catalog.ts";
import { createCodec } from "#gateway/codec/codec.ts";
import { RpcError } from "#rpc/error.ts";
import { echoDescriptors } from "../support/echo.ts";
import { threadMs } from "../support/thread-time.ts";
import { jsonOf } from "./json-of.ts";

const { registry } = loadCatalog({ descriptorSet: echoDescriptors() });
const codec = createCodec(registry);
const kinds = registry.getMessage("test.v1.Kinds")!;
const legacy = registry.getMessage("test.v1.Legacy")!;
const everything = registry.getMessage("test.v1.Everything")!;
const runs = { numRuns: 500 };
const replacement = fc.jsonValue({ maxDepth: 1 }).filter((json) => !holdsUnsafe(json as JsonValue));

const read = (desc: DescMessage, text: string | Uint8Array): Message =>
  codec.typeOf(desc).decode(Buffer.from(text), "json");
const write = (desc: DescMessage, message: Message): string => codec.typeOf(desc).encodeText(message);
function refusal(desc: DescMessage, text: string | Uint8Array): string {
  try {
    read(desc, text);
  } catch (error) {
    assert.ok(error instanceof RpcError, String(error));
    return `${error.code} ${error.reason} ${error.message}`;
  }
  return "read";
}

describe("every kind of field", () => {
  test("is read as protobuf-es reads it", () => {
    fc.assert(
      fc.property(jsonOf(kinds, 2), (json) => {
        // JSON.stringify has no minus zero.
        const text = JSON.stringify(json);
        const expected = fromJson(kinds, JSON.parse(text) as JsonValue, { registry });
        return isDeepStrictEqual(read(kinds, text), expected);
      }),
      runs,
    );
  });

  test("is written so that it reads back, and is the same in binary", () => {
    const { encode, decode } = codec.typeOf(kinds);
    fc.assert(
      fc.property(jsonOf(kinds, 2), (json) => {
        const message = read(kinds, JSON.stringify(json));
        const text = write(kinds, message);
        assert.equal(write(kinds, read(kinds, text)), text);
        assert.equal(write(kinds, decode(encode(message, "proto"), "proto")), text);
      }),
      runs,
    );
  });

  test("is accepted or refused as protobuf-es does when one value is replaced by another", () => {
    fc.assert(
      fc.property(jsonOf(kinds, 2), fc.nat(), replacement, (json, at, other) => {
        const text = JSON.stringify(replaceAt(json, at, other as JsonValue));
        const expected = attempt(() => fromJson(kinds, JSON.parse(text) as JsonValue, { registry }));
        const answer = refusal(kinds, text);
        if (answer === "read") assert.deepEqual(read(kinds, text), expected);
        else {
          assert.match(answer, /^invalid_argument (FIELD|MESSAGE)_/);
          // protobuf-es takes a blank for an integer and for a mask, and text behind a duration.
          assert.ok(expected === undefined || typeof other === "string", answer);
        }
      }),
      { numRuns: 1500 },
    );
  });

  test("in an Any as protobuf-es does: null stands for the default of a wrapper, and of no other type", () => {
    const held = (name: string) =>
      `{"any":{"@type":"type.googleapis.com/google.protobuf.${name}","value":null}}`;
    for (const name of ["StringValue", "BytesValue", "BoolValue", "Int64Value", "DoubleValue", "Value"])
      assert.deepEqual(
        read(everything, held(name)),
        fromJson(everything, JSON.parse(held(name)) as JsonValue, { registry }),
        name,
      );
    for (const name of ["Duration", "Timestamp", "FieldMask", "Struct", "ListValue", "Any"])
      assert.match(refusal(everything, held(name)), /^invalid_argument FIELD_INVALID any\.value: /, name);
  });

  test("of proto2 too: groups, closed enums and defaults", () => {
    const message = read(legacy, '{"id":"a","level":"LOW","item":[{"count":1},{}],"single":{"text":"b"}}');
    assert.equal(
      write(legacy, message),
      '{"id":"a","level":"LOW","packed":[],"item":[{"count":1},{}],"single":{"text":"b"}}',
    );
    assert.match(refusal(legacy, '{"level":7}'), /FIELD_INVALID level: must be one of LOW, HIGH/);
  });

  test("as an extension, under its name in brackets", () => {
    const text =
      '{"[test.v1.extension_int64]":9007199254740993,"[test.v1.extension_strings]":["a"],"[test.v1.extension_wrapper]":"b","[test.v1.extension_struct]":{"c":1}}';
    const parsed = JSON.parse(write(kinds, read(kinds, text))) as Record<string, JsonValue>;
    assert.deepEqual(Object.fromEntries(Object.entries(parsed).filter(([key]) => key.startsWith("["))), {
      "[test.v1.extension_int64]": "9007199254740993",
      "[test.v1.extension_strings]": ["a"],
      "[test.v1.extension_wrapper]": "b",
      "[test.v1.extension_struct]": { c: 1 },
    });
    assert.match(refusal(kinds, '{"[test.v1.nothing]":1}'), /FIELD_UNKNOWN \[test\.v1\.nothing\]: /);
  });
});

describe("numbers", () => {
  test("of 64 bits keep every digit, in every spelling of a whole number", () => {
    fc.assert(
      fc.property(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.nat({ max: 6 }), (value, zeros) => {
        const shifted = value / 10n ** BigInt(zeros);
        for (const text of [`${value}`, `"${value}"`, `${value}.${"0".repeat(zeros + 1)}`])
          assert.equal(int64(text), value);
        assert.equal(int64(`${shifted}e${zeros}`), shifted * 10n ** BigInt(zeros));
        if (shifted !== 0n) assert.equal(int64(`${shifted}${"0".repeat(zeros)}E-${zeros}`), shifted);
      }),
    );
  });

  test("of 64 bits beyond their range, with a fraction, or absurdly long are refused at once", () => {
    const started = threadMs();
    for (const text of [
      "9223372036854775808",
      "-9223372036854775809",
      "1e19",
      "0.5",
      "1e-1",
      "1e999",
      "9".repeat(1_000_000),
      `"${"1".repeat(1_000_000)}"`,
      `1${"0".repeat(500_000)}e-500000`,
    ])
      assert.match(
        refusal(everything, `{"i64":${text}}`),
        /^invalid_argument FIELD_INVALID i64: must be a whole number of 64 bits$/,
      );
    assert.ok(threadMs() - started < 500);
  });

  test("of 32 bits are written with the digits they have", () => {
    assert.equal(write(everything, read(everything, '{"single":0.1}')), '{"single":0.1}');
    const { encode, decode } = codec.typeOf(everything);
    const over = decode(encode(read(everything, '{"single":0.1,"real":0.1}'), "proto"), "proto");
    assert.equal(write(everything, over), '{"single":0.1,"real":0.1}');
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const [, digits = ""] = /^\{"single":(.*)\}$/.exec(
          write(everything, read(everything, `{"single":${Object.is(value, -0) ? "-0" : value}}`)),
        )!;
        return (
          Object.is(Math.fround(Number(digits)), value) &&
          digits.length <= (Object.is(value, -0) ? 2 : String(value).length)
        );
      }),
      { numRuns: 2000 },
    );
  });
});

describe("what is wrong is said", () => {
  const cases: readonly (readonly [what: string, text: string, answer: string])[] = [
    [
      "no JSON",
      '{"i32":1,\n "text" "a"}',
      "MESSAGE_MALFORMED the body is not valid JSON: expected a colon at line 2, column 9",
    ],
    [
      "cut short",
      '{"text":"a',
      "MESSAGE_MALFORMED the body is not valid JSON: expected a closing quote at line 1, column 11",
    ],
    [
      "text behind it",
      '{"i32":1} {}',
      "MESSAGE_MALFORMED the body is not valid JSON: expected the end of the text at line 1, column 11",
    ],
    ["empty", "", "MESSAGE_MALFORMED the body is not valid JSON: expected a value at line 1, column 1"],
    ["a list", "[1]", "MESSAGE_MALFORMED the body must be a JSON object"],
    [
      "a path of many kinds",
      '{"child":{"maps":{"messages":{"a b":{"items":["x",1]}}}}}',
      'FIELD_INVALID child.maps.messages["a b"].items[1]: must be a string',
    ],
    ["the caller's spelling", '{"own_name":1}', "FIELD_INVALID own_name: must be a string"],
    [
      "an unknown enum name",
      '{"color":"GREN"}',
      "FIELD_INVALID color: must be one of COLOR_UNSPECIFIED, RED, GREEN; did you mean GREEN?",
    ],
    [
      "an enum's number in quotes",
      '{"color":"1"}',
      "FIELD_INVALID color: must be one of COLOR_UNSPECIFIED, RED, GREEN",
    ],
    [
      "both names of a field",
      '{"twoWords":"a","two_words":"a"}',
      "FIELD_REPEATED two_words: is given already, as twoWords",
    ],
    [
      "a oneof",
      '{"left":"a","right":1}',
      'FIELD_INVALID right: excludes left, which is given too: both belong to "choice"',
    ],
    [
      "the 30th of February",
      '{"time":"2024-02-30T00:00:00Z"}',
      'FIELD_INVALID time: must be a time such as "2026-01-31T12:00:00Z"',
    ],
    [
      "a duration with a tail",
      '{"span":"1s x"}',
      'FIELD_INVALID span: must be a duration such as "1.500s", of at most 315576000000 s',
    ],
    [
      "a mask that does not come back",
      '{"mask":"two_words"}',
      'FIELD_INVALID mask: must be field paths in lowerCamelCase, such as "displayName,owner.id"',
    ],
    [
      "an unknown type",
      '{"any":{"@type":"x/no.Such"}}',
      'FIELD_INVALID any.@type: "x/no.Such" is not a type of this API',
    ],
    [
      "a type twice",
      '{"any":{"@type":"x/test.v1.Texts","@type":"x/test.v1.Texts"}}',
      "FIELD_REPEATED any.@type: is given more than once",
    ],
    [
      "a field inside an Any",
      '{"any":{"items":[1],"@type":"x/test.v1.Texts"}}',
      "FIELD_INVALID any.items[0]: must be a string",
    ],
    [
      "a value that an Any does not have",
      '{"any":{"@type":"x/google.protobuf.Duration","values":"1s"}}',
      "FIELD_UNKNOWN any.values: there is no such field; did you mean value?",
    ],
    ["base64 of no whole byte", '{"data":"A"}', "FIELD_INVALID data: must be base64"],
    [
      "a key of a map",
      '{"maps":{"flags":{"yes":"a"}}}',
      'FIELD_INVALID maps.flags["yes"]: as a key it must be true or false',
    ],
    [
      "a key twice in other digits",
      '{"maps":{"numbers":{"1":"a","01":"b"}}}',
      'FIELD_REPEATED maps.numbers["01"]: is given more than once',
    ],
    [
      "half a character",
      '{"struct":{"a":["\\udc00"]}}',
      "FIELD_INVALID struct.a[0]: holds half of a surrogate pair, which is no character",
    ],
    [
      "a number no Value holds",
      '{"value":1e999}',
      "FIELD_INVALID value: is too large a number: a Value holds numbers as 64-bit floats",
    ],
  ];
  for (const [what, text, answer] of cases)
    test(what, () => assert.equal(refusal(everything, text), `invalid_argument ${answer}`));

  test("and is never anything but a refusal, whatever the bytes", () => {
    const pieces = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      '"',
      ":",
      ",",
      "\\",
      "1",
      "-",
      "e",
      "null",
      "true",
      '"i64"',
      '"child"',
      '"any"',
      '"@type"',
      '"struct"',
      " ",
      "\u{1f600}",
      "\0",
    );
    const text = fc.array(pieces, { maxLength: 40 }).map((parts) => parts.join(""));
    const bytes = fc.uint8Array({ maxLength: 60 }).map((raw) => Buffer.from(raw).toString("latin1"));
    fc.assert(
      fc.property(fc.oneof(text, bytes), (input) =>
        /^(read|invalid_argument|resource_exhausted)/.test(refusal(everything, input)),
      ),
      { numRuns: 20_000 },
    );
  });
});

describe("what costs too much is refused early", () => {
  const cases: readonly (readonly [what: string, text: string, answer: RegExp])[] = [
    ["a million brackets", "[".repeat(1_000_000), /^invalid_argument MESSAGE_MALFORMED/],
    ["a million brackets in a Value", `{"value":${"[".repeat(1_000_000)}`, /nests deeper than 64 levels$/],
    ["65 messages in one another", `${'{"child":'.repeat(65)}{}`, /nests deeper than 64 levels$/],
    ["a million elements", `{"value":[${"0,".repeat(1_000_000)}0]}`, /^resource_exhausted TOO_MANY_ELEMENTS/],
    [
      "Any in Any, each type behind megabytes of fields",
      `${'{"any":{"child":'.repeat(20)}{"text":"${"x".repeat(200_000)}"}${',"@type":"x/test.v1.Everything"}}'.repeat(20)}`,
      /^invalid_argument/,
    ],
  ];
  for (const [what, text, answer] of cases)
    test(what, () => {
      const started = threadMs();
      assert.match(refusal(everything, text), answer);
      assert.ok(threadMs() - started < 250, `${threadMs() - started} ms`);
    });
});

test("unknown fields and enum names are passed over where the configuration says so", () => {
  const lenient = createCodec(registry, { unknownFields: "ignore" }).typeOf(everything);
  const text =
    '{"nope":{"a":[1,{"b":"c"}]},"color":"PURPLE","lists":{"colors":["RED","PURPLE"]},"[no.such]":1,"i32":1}';
  assert.equal(
    lenient.encodeText(lenient.decode(Buffer.from(text), "json")),
    '{"i32":1,"lists":{"texts":[],"numbers":[],"colors":["RED"],"messages":[],"values":[]}}',
  );
});

test("keys of the prototype stay data", () => {
  read(everything, '{"struct":{"__proto__":{"polluted":1}},"maps":{"texts":{"__proto__":"a"}}}');
  assert.equal(({} as { polluted?: unknown }).polluted, undefined);
});

function int64(text: string): bigint {
  return (read(everything, `{"i64":${text}}`) as unknown as { i64: bigint }).i64;
}

function attempt(make: () => Message): Message | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}

/** The value with its `at`-th node, counted in depth, replaced. */
function replaceAt(json: JsonValue, at: number, other: JsonValue): JsonValue {
  let left = at % countNodes(json);
  const walk = (node: JsonValue): JsonValue => {
    if (left === 0) {
      left -= 1;
      return other;
    }
    left -= 1;
    if (Array.isArray(node)) return node.map(walk);
    if (typeof node !== "object" || node === null) return node;
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, walk(value)]));
  };
  return walk(json);
}

/** Integers beyond 2^53, of which protobuf-es is given the nearest float and we read the digits. */
function holdsUnsafe(json: JsonValue): boolean {
  if (typeof json === "number") return Number.isInteger(json) && !Number.isSafeInteger(json);
  return typeof json === "object" && json !== null && (Object.values(json) as JsonValue[]).some(holdsUnsafe);
}

function countNodes(json: JsonValue): number {
  if (typeof json !== "object" || json === null) return 1;
  return Object.values(json).reduce<number>((sum, value) => sum + countNodes(value as JsonValue), 1);
}
