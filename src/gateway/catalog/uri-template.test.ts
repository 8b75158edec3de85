import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { threadMs } from "../../../tests/support/thread-time.ts";
import { parseUriTemplate, type UriTemplate } from "./uri-template.ts";

function good(text: string): UriTemplate {
  const template = parseUriTemplate(text);
  assert.ok(typeof template !== "string", String(template));
  return template;
}

describe("a URI template", () => {
  for (const [text, uri, values] of [
    ["portico://bpmn/{id}", "portico://bpmn/order", { id: "order" }],
    ["portico://bpmn/{id}", "portico://bpmn/a%2Fb", { id: "a/b" }],
    ["portico://bpmn/{id}", "portico://bpmn/a/b", undefined],
    ["portico://bpmn/{id}", "portico://bpmn/", undefined],
    ["portico://bpmn/{id}", "portico://bpmn/a?b", undefined],
    ["portico://bpmn/{id}", "portico://bpmn/%", undefined],
    ["portico://bpmn/{id}", "Portico://bpmn/a", undefined],
    ["portico://bpmn/{id}", "portico://bpmn.order", undefined],
    ["x://a.b/v{n}.xml", "x://a.b/v12.xml", { n: "12" }],
    ["x://a.b/v{n}.xml", "x://aXb/v12.xml", undefined],
    ["x://{a}/c/{b_c}", "x://1/c/2", { a: "1", b_c: "2" }],
    ["x://fixed", "x://fixed", {}],
  ] as const)
    test(`${text} ${values === undefined ? "is not" : "matches"} ${uri}`, () => {
      const found = good(text).match(uri);
      assert.deepEqual(found, values);
    });

  for (const [text, problem] of [
    ["bpmn/{id}", /is not scheme:\/\/path/],
    ["x://a?b={id}", /without a query/],
    ["x://a b", /is not scheme/],
    ["x://{+id}", /a variable is \{field\}/],
    ["x://{id", /a variable is \{field\}/],
    ["x://{Id}", /a variable is \{field\}/],
    ["x://{id}/{id}", /has a variable twice/],
    ["x://{a}-{b}", /two variables between the same slashes/],
  ] as const)
    test(`${text} is none`, () => {
      assert.match(String(parseUriTemplate(text)), problem);
    });

  test("what was put in comes out again", () => {
    const template = good("x://{a}/y/{b}");
    const value = fc.string({ minLength: 1, unit: "grapheme" });
    fc.assert(
      fc.property(value, value, (a, b) => {
        assert.deepEqual(template.match(template.expand({ a, b })), { a, b });
      }),
    );
  });

  test("a hostile address costs no time", () => {
    const template = good(`x://${Array.from({ length: 20 }, (_, index) => `{v${index}}`).join("/")}`);
    const began = threadMs();
    for (const uri of [`x://${"/".repeat(100_000)}`, `x://${"a/".repeat(1000)}`, `x://${"%61".repeat(600)}`])
      assert.equal(template.match(uri), undefined);
    assert.ok(threadMs() - began < 100);
  });
});
