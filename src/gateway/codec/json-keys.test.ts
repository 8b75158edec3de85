import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { checkKeys, type KeyLimits } from "./json-keys.ts";

const free = ["params", "arguments"];
const look = (text: string, limits: KeyLimits = { free }) => checkKeys(Buffer.from(text), limits);

describe("keys of JSON", () => {
  for (const [text, written, around, elements] of [
    ['{"params":{"arguments":{"a":1}}}', '{"a":1}', '{"params":{"arguments":{}}}', 1],
    [' { "params" : { "arguments" : { "a" : [1, 2] } , "b" : 3 } } ', '{ "a" : [1, 2] } ', undefined, 3],
    ['{"params":{"argum\\u0065nts":{"a":9007199254740993}}}', '{"a":9007199254740993}', undefined, 1],
    ['{"params":{"arguments":{}},"arguments":{"a":1}}', "{}", undefined, 0],
  ] as const)
    test(`${text}: the object is taken as it was written`, () => {
      const taken = look(text);
      assert.deepEqual([taken?.written, taken?.elements], [written, elements]);
      const at = text.indexOf(written);
      const rest = `${text.slice(0, at)}{}${text.slice(at + written.length)}`;
      assert.equal(taken?.around, around ?? rest);
    });

  for (const text of [
    '{"params":{"arguments":[1]}}',
    '{"params":{"arguments":null}}',
    '{"arguments":{"params":{}}}',
    '{"a":{"params":{"arguments":{}}}}',
    '[{"params":{"arguments":{}}}]',
    '{"params":{"a":{"arguments":{}}}}',
    '{"params":{"arguments":{"a":}}}',
    "{",
    "",
  ])
    test(`${text}: there is none to take`, () => assert.equal(look(text), undefined));

  for (const [text, reason, limits] of [
    ['{"a":1,"\\u0061":2}', "FIELD_REPEATED"],
    ['{"params":{"arguments":{"a":1,"a":2}}}', "FIELD_REPEATED"],
    ['{"params":{"arguments":{}},"params":{}}', "FIELD_REPEATED"],
    ['{"params":{"arguments":{},"arguments":{}}}', "FIELD_REPEATED"],
    ['{"\\ud800":1,"a":1,"a":2}', "MESSAGE_MALFORMED"],
    ['{"b":{"\\ud800":1,"a":1,"a":2}}', "FIELD_INVALID"],
    ['{"a":[1,2,3]}', "TOO_MANY_ELEMENTS", { maxElements: 3 }],
    ['{"params":{"arguments":{"a":[1,2]}}}', "TOO_MANY_ELEMENTS", { free, maxFreeElements: 2 }],
    ['{"params":{"arguments":{},"b":1,"c":1}}', "TOO_MANY_ELEMENTS", { free, maxElements: 3 }],
  ] as const)
    test(`${text} is ${reason}`, () => assert.throws(() => look(text, limits), { reason }));

  test("each of both is counted by itself", () => {
    const text = '{"params":{"arguments":{"a":[1,2]},"b":1}}';
    assert.equal(look(text, { free, maxElements: 3, maxFreeElements: 3 })?.elements, 3);
  });

  test("what is taken and what is left are what JSON.parse sees of the whole", () => {
    const object = fc.dictionary(
      fc.string(),
      fc.jsonValue({ maxDepth: 3 }).map((value) => value as unknown),
      { maxKeys: 5 },
    );
    const seen = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
    fc.assert(
      fc.property(object, object, fc.constantFrom(undefined, 1, "\t"), (args, others, indent) => {
        const whole = { ...others, params: { ...others, arguments: args, last: others } };
        const taken = look(JSON.stringify(whole, null, indent));
        assert.ok(taken !== undefined);
        assert.deepEqual(JSON.parse(taken.written), seen(args));
        const left = { ...others, params: { ...others, arguments: {}, last: others } };
        assert.deepEqual(JSON.parse(taken.around), seen(left));
      }),
      { numRuns: 500 },
    );
  });
});
