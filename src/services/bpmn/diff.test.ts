import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { threadMs } from "../../../tests/support/thread-time.ts";
import { type Answers, runJob } from "./analysis.ts";

const wrap = (body: string, di = "") =>
  `<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:z="http://camunda.org/schema/zeebe/1.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:bpmndi="http://www.omg.org/spec/BPMN/20100524/DI" xmlns:dc="http://www.omg.org/spec/DD/20100524/DC" id="D"><bpmn:process id="P">${body}</bpmn:process>${di}</bpmn:definitions>`;

async function diff(before: string, after: string) {
  const job = { kind: "diff" as const, xml: Buffer.from(before), target: Buffer.from(after) };
  const answer = (await runJob(job)) as Answers["diff"];
  assert.ok(answer.kind === "ok", JSON.stringify(answer));
  return answer.diff;
}

async function lines(before: string, after: string): Promise<string[]> {
  const { changes } = await diff(before, after);
  return changes.map(
    ({ kind, elementId, attributes }) =>
      `${kind} ${elementId}${attributes.map(({ path, oldValue, newValue }) => ` ${path}: "${oldValue}" -> "${newValue}"`).join(";")}`,
  );
}

const model = (name: string): string =>
  readFileSync(new URL(`../../../examples/models/${name}.bpmn`, import.meta.url), "utf8");

test("two versions of the invoice differ as a designer would say it", async () => {
  assert.deepEqual(await lines(model("invoice"), model("invoice-v2")), [
    'changed Approve name: "Approve invoice" -> "Approve the invoice"',
    "removed Archive",
    'changed Book extensionElements.zeebe:taskDefinition[0].retries: "3" -> "5"; extensionElements.zeebe:taskDefinition[0].type: "rpc:billing.v1.Ledger/Book" -> "rpc:billing.v2.Ledger/Book"',
    'changed Flow_5 targetRef: "Archive" -> "Notify"',
    'changed Flow_7 sourceRef: "Archive" -> "Notify"',
    'changed Flow_ok conditionExpression.body: "=approved" -> "=approved and amount < 10000"',
    "added Notify",
    "moved Rejected",
  ]);
});

test("a document and itself, and one with other white space and prefixes, have no difference", async () => {
  const one = model("order");
  assert.deepEqual(await lines(one, one), []);
  assert.deepEqual(
    await lines(
      one,
      one.replaceAll("\n", "\n\n  ").replaceAll("zeebe:", "z:").replace("xmlns:zeebe", "xmlns:z"),
    ),
    [],
  );
});

for (const [name, before, after, expected, behaviour] of [
  [
    "a name",
    '<bpmn:task id="T" name="a"/>',
    '<bpmn:task id="T" name="b"/>',
    ['changed T name: "a" -> "b"'],
    false,
  ],
  [
    "documentation",
    '<bpmn:task id="T"><bpmn:documentation>a</bpmn:documentation></bpmn:task>',
    '<bpmn:task id="T"><bpmn:documentation>b</bpmn:documentation></bpmn:task>',
    ['changed T documentation[0].text: "a" -> "b"'],
    false,
  ],
  ["an annotation", "", '<bpmn:textAnnotation id="A"/>', ["added A"], false],
  ["a task", "", '<bpmn:task id="T"/>', ["added T"], true],
  ["another kind of task", '<bpmn:task id="T"/>', '<bpmn:userTask id="T"/>', ["added T", "removed T"], true],
  [
    "a timer inside an event",
    '<bpmn:startEvent id="S"><bpmn:timerEventDefinition id="E"><bpmn:timeDuration xsi:type="bpmn:tFormalExpression">PT1M</bpmn:timeDuration></bpmn:timerEventDefinition></bpmn:startEvent>',
    '<bpmn:startEvent id="S"><bpmn:timerEventDefinition id="E"><bpmn:timeDuration xsi:type="bpmn:tFormalExpression">PT5M</bpmn:timeDuration></bpmn:timerEventDefinition></bpmn:startEvent>',
    ['changed E timeDuration.body: "PT1M" -> "PT5M"'],
    true,
  ],
  [
    "a task inside a subprocess",
    '<bpmn:subProcess id="U"><bpmn:task id="T" name="a"/></bpmn:subProcess>',
    '<bpmn:subProcess id="U"><bpmn:task id="T" name="b"/><bpmn:task id="V"/></bpmn:subProcess>',
    ['changed T name: "a" -> "b"', "added V"],
    true,
  ],
  [
    "a nested extension",
    '<bpmn:task id="T"><bpmn:extensionElements><z:ioMapping><z:input source="=a" target="x"/></z:ioMapping></bpmn:extensionElements></bpmn:task>',
    '<bpmn:task id="T"><bpmn:extensionElements><z:ioMapping><z:input source="=b" target="x"/></z:ioMapping></bpmn:extensionElements></bpmn:task>',
    ['changed T extensionElements.zeebe:ioMapping[0].zeebe:input[0].source: "=a" -> "=b"'],
    true,
  ],
] as const) {
  test(`${name} that differs is told, and ${behaviour ? "could" : "could not"} be noticed by what runs`, async () => {
    assert.deepEqual(await lines(wrap(before), wrap(after)), expected);
    assert.equal((await diff(wrap(before), wrap(after))).behaviourChanged, behaviour);
  });
}

test("more than 1000 changes are cut, counted whole and said to be cut", async () => {
  const tasks = Array.from({ length: 1200 }, (_, at) => `<bpmn:task id="T${at}"/>`).join("");
  const { changes, truncated, counts } = await diff(wrap(""), wrap(tasks));
  assert.deepEqual([changes.length, truncated, counts.added], [1000, true, 1200]);
});

test("a side that is not BPMN is named with its findings", async () => {
  const job = { kind: "diff" as const, xml: Buffer.from(wrap("")), target: Buffer.from("<html/>") };
  const answer = (await runJob(job)) as Answers["diff"];
  assert.ok(answer.kind === "invalid");
  assert.deepEqual([answer.side, answer.findings[0]?.code], ["target", "bpmn/unknown-element"]);
});

test("20 000 tasks against 20 000 others are compared in less than four seconds", async () => {
  const tasks = (prefix: string) =>
    wrap(Array.from({ length: 20_000 }, (_, at) => `<bpmn:task id="${prefix}${at}"/>`).join(""));
  const started = threadMs();
  const { counts } = await diff(tasks("a"), tasks("b"));
  assert.deepEqual([counts.added, counts.removed], [20_000, 20_000]);
  assert.ok(threadMs() - started < 4000);
});
