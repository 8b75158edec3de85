import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { threadMs } from "../../../tests/support/thread-time.ts";
import { analyze } from "./analyze.ts";
import { scanXml } from "./scan-xml.ts";

const head =
  '<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:z="http://camunda.org/schema/zeebe/1.0" xmlns:v="urn:vendor" id="D" targetNamespace="urn:x">';
const wrap = (body: string) =>
  `<?xml version="1.0" encoding="UTF-8"?>\n${head}\n${body}\n</bpmn:definitions>`;
const read = (xml: string) => analyze(Buffer.from(xml));

async function refusal(xml: string | Uint8Array) {
  const started = threadMs();
  const outcome = await analyze(typeof xml === "string" ? Buffer.from(xml) : xml);
  assert.equal(outcome.kind, "invalid");
  const [first] = outcome.kind === "invalid" ? outcome.findings : [];
  assert.ok(first);
  return { ...first, ms: threadMs() - started };
}

async function summary(xml: string) {
  const outcome = await read(xml);
  assert.deepEqual(outcome.kind === "invalid" ? outcome.findings : [], []);
  assert.ok(outcome.kind === "ok");
  return outcome.summary;
}

test("a summary names processes, elements, bindings and exporter", async () => {
  const xml = wrap(
    `<bpmn:process id="P" name="Order" isExecutable="true"><bpmn:startEvent id="S"/><bpmn:serviceTask id="T"><bpmn:extensionElements><z:taskDefinition type='rpc:shop.v1.Orders/Reserve'/></bpmn:extensionElements></bpmn:serviceTask></bpmn:process>`,
  ).replace('id="D"', 'id="D" exporter="Pen" exporterVersion="5"');
  assert.deepEqual(await summary(xml), {
    processes: [{ id: "P", displayName: "Order", executable: true }],
    elementCount: 2,
    taskBindings: ["rpc:shop.v1.Orders/Reserve"],
    exporter: "Pen",
    exporterVersion: "5",
    hasDiagram: false,
  });
});

test("a task definition inside a comment or another namespace is no binding", async () => {
  const inside = `<!-- <z:taskDefinition type="a"/> --><bpmn:task id="T"><bpmn:extensionElements><v:taskDefinition type="b"/></bpmn:extensionElements></bpmn:task>`;
  assert.deepEqual((await summary(wrap(`<bpmn:process id="P">${inside}</bpmn:process>`))).taskBindings, []);
});

test("a vendor's elements, attributes and repeated ids are accepted", async () => {
  const task = (id: string) =>
    `<bpmn:task id="${id}" v:colour="red"><bpmn:extensionElements><v:field id="amount"><v:deep id="amount"/></v:field></bpmn:extensionElements></bpmn:task>`;
  const read = await summary(wrap(`<bpmn:process id="P">${task("A")}${task("B")}</bpmn:process>`));
  assert.equal(read.elementCount >= 2, true);
});

test("text that looks like an id inside another attribute is not one", async () => {
  const task = (id: string) => `<bpmn:task id="${id}" name="x id='same' y"/>`;
  await summary(wrap(`<bpmn:process id="P">${task("A")}${task("B")}</bpmn:process>`));
});

test("an id given twice is named with its position", async () => {
  const found = await refusal(
    wrap(`<bpmn:process id="P">\n<bpmn:task id="T"/>\n  <bpmn:task id='T'/></bpmn:process>`),
  );
  assert.deepEqual(
    [found.message, found.line, found.column, found.elementId],
    ['the id "T" is given twice', 5, 3, "T"],
  );
});

test("an id given twice after extension elements ended is still found", async () => {
  const body = `<bpmn:task id="A"><bpmn:extensionElements><v:f/></bpmn:extensionElements></bpmn:task><bpmn:task id="A"/>`;
  assert.equal(
    (await refusal(wrap(`<bpmn:process id="P">${body}</bpmn:process>`))).message,
    'the id "A" is given twice',
  );
});

test("a flow to nowhere is named with what it lacks and its line", async () => {
  const found = await refusal(
    wrap(
      `<bpmn:process id="P"><bpmn:startEvent id="S"/>\n<bpmn:sequenceFlow id="F" sourceRef="S" targetRef="Nope"/></bpmn:process>`,
    ),
  );
  assert.deepEqual(
    [found.message, found.line, found.elementId],
    ['bpmn:targetRef of "F" names "Nope", which does not exist', 4, "F"],
  );
});

test("an unknown element of BPMN is refused and named", async () => {
  const found = await refusal(wrap(`<bpmn:process id="P">\n<bpmn:wibble id="S"/></bpmn:process>`));
  assert.match(found.message, /unknown type <bpmn:Wibble>/);
  assert.equal(found.line, 4);
});

for (const [name, xml, message] of [
  ["mismatched tags", wrap("<bpmn:process>\n<bpmn:task></bpmn:process>"), /closing tag mismatch/],
  ["a second root", `${wrap("")}<a/>`, /unrecognized element <a>/],
  ["a truncated document", wrap('<bpmn:process id="P">').slice(0, -30), /unclosed tag/],
  ["no document", "", /missing start tag/],
  ["another format", "<html/>", /failed to parse document as <bpmn:Definitions>/],
  ["another declared encoding", wrap("").replace("UTF-8", "UTF-16"), /unsupported document encoding/],
] as const) {
  test(`${name} is refused with its reason`, async () => {
    assert.match((await refusal(xml)).message, message);
  });
}

test("bytes that are not UTF-8 are refused, a byte order mark is allowed", async () => {
  assert.equal((await refusal(Buffer.from(wrap(""), "utf16le"))).message.length > 0, true);
  assert.equal((await refusal(new Uint8Array([60, 0xff, 62]))).message, "the document is not UTF-8 text");
  await summary(`\uFEFF${wrap("")}`);
});

test("a DOCTYPE is refused at once, even with 10 MiB of entities behind it", async () => {
  const found = await refusal(`<!DOCTYPE lolz [${'<!ENTITY a "&b;&b;&b;&b;">'.repeat(400_000)}]>${wrap("")}`);
  assert.match(found.message, /^a DOCTYPE is not allowed/);
  assert.deepEqual([found.line, found.column], [1, 1]);
  assert.ok(found.ms < 250, `${found.ms} ms`);
});

test("a DOCTYPE is found behind comments and instructions, not inside them or CDATA", () => {
  assert.match(scanXml("<?a <!DOCTYPE?><!-- - --><!DOCTYPE x>")?.message ?? "", /DOCTYPE/);
  assert.equal(scanXml("<a><!-- <!DOCTYPE x> --><![CDATA[<!DOCTYPE x>]]><?p <!ENTITY?></a>"), undefined);
  assert.match(scanXml("<!doctype x><a/>")?.message ?? "", /DOCTYPE/);
});

test("100 levels are read and 101 are refused, with closing tags in front not counting", () => {
  assert.equal(scanXml("<a>".repeat(100)), undefined);
  assert.match(scanXml("<a>".repeat(101))?.message ?? "", /nests deeper than 100/);
  assert.match(scanXml(`${"</a>".repeat(50)}${"<a>".repeat(101)}`)?.message ?? "", /nests deeper/);
  assert.match(scanXml("<a>".repeat(1_000_000))?.message ?? "", /nests deeper/);
});

test("50 000 elements are read and 50 001 are refused", () => {
  assert.equal(scanXml("<a/>".repeat(50_000)), undefined);
  assert.match(scanXml("<a/>".repeat(50_001))?.message ?? "", /more than 50000 elements/);
});

test("a tag with 100 000 attributes answers with at most 50 findings", async () => {
  const many = Array.from({ length: 100_000 }, (_, at) => `a${at}="1"`).join(" ");
  const outcome = await read(wrap(`<bpmn:process id="P" ${many}/>`));
  assert.equal(outcome.kind === "invalid" && outcome.findings.length, 50);
});

test("10 MiB of something like a binding inside CDATA costs linear time", async () => {
  const text = "<z:taskDefinition ".repeat(550_000);
  const started = threadMs();
  await summary(
    wrap(`<bpmn:process id="P"><bpmn:documentation><![CDATA[${text}]]></bpmn:documentation></bpmn:process>`),
  );
  assert.ok(threadMs() - started < 2000);
});

test("whatever the text, the scan and the reader answer and never throw", async () => {
  const piece = fc.constantFrom(
    "<",
    ">",
    "/",
    "!",
    "--",
    "<![CDATA[",
    "]]>",
    "<?",
    "?>",
    '"',
    "'",
    "&",
    " id=",
    "a",
    "\n",
    "<bpmn:task ",
    head,
    "</",
    "<!--",
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 60 }), async (pieces) => {
      const outcome = await read(pieces.join(""));
      if (outcome.kind === "invalid") assert.ok(outcome.findings.length > 0);
    }),
    { numRuns: 500 },
  );
});

for (const [code, xml] of [
  ["bpmn/doctype", `<!DOCTYPE x>${wrap("")}`],
  ["bpmn/malformed", wrap('<bpmn:process id="P" name="&lol;"/>')],
  [
    "bpmn/malformed",
    wrap('<bpmn:process id="P"><bpmn:documentation>&lol;</bpmn:documentation></bpmn:process>'),
  ],
  ["bpmn/malformed", wrap("<bpmn:process>")],
  ["bpmn/duplicate-id", wrap('<bpmn:process id="P"><bpmn:task id="P"/></bpmn:process>')],
  [
    "bpmn/dangling-reference",
    wrap('<bpmn:process id="P"><bpmn:sequenceFlow id="F" sourceRef="A" targetRef="B"/></bpmn:process>'),
  ],
  ["bpmn/unknown-element", "<html/>"],
  ["bpmn/encoding", wrap("").replace("UTF-8", "UTF-16")],
  ["bpmn/too-deep", "<a>".repeat(101)],
  ["bpmn/too-many-elements", "<a/>".repeat(50_001)],
] as const) {
  test(`${xml.slice(0, 20)}… ${xml.length} is refused as ${code}`, async () => {
    assert.equal((await refusal(xml)).code, code);
  });
}

test("an entity that nothing declares is named with its place; XML's own and numbers are text", async () => {
  const found = await refusal(wrap('<bpmn:process id="P"\n name="a &amp; &lol; b"/>'));
  assert.deepEqual(
    [found.message, found.line, found.column],
    ['"&lol;" is not one of XML\'s own entities, and nothing declares it', 4, 16],
  );
  const fine = wrap(
    '<bpmn:process id="P" name="&lt;&gt;&quot;&apos;&amp;&#65;&#x1F389;"/><!-- &lol; --><![CDATA[&lol;]]>',
  );
  await summary(fine.replace("<![CDATA[&lol;]]>", ""));
  assert.equal(scanXml(fine), undefined);
  assert.match((await refusal(wrap('<bpmn:process id="P" name="a & b"/>'))).message, /^"&" is not/);
});
