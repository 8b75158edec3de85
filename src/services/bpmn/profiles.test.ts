import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { threadMs } from "../../../tests/support/thread-time.ts";
import { type Answers, runJob } from "./analysis.ts";
import type { Finding } from "./finding.ts";
import type { Profile } from "./profiles.ts";

const folder = new URL("../../../examples/models/", import.meta.url);
const validate = (xml: string, ...profiles: Profile[]) =>
  runJob({ kind: "validate", xml: Buffer.from(xml), profiles }) as Promise<Answers["validate"]>;
const check = async (xml: string, ...profiles: Profile[]): Promise<readonly Finding[]> =>
  (await validate(xml, ...profiles)).findings;
const wrap = (body: string, process = 'isExecutable="true"') =>
  `<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:z="http://camunda.org/schema/zeebe/1.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" id="D">
<bpmn:message id="M" name="m"/>
<bpmn:process id="P" ${process}>
${body}
</bpmn:process></bpmn:definitions>`;

/** start -> the nodes in a row -> end. */
function row(...nodes: readonly string[]): string {
  const all = ['<bpmn:startEvent id="S"/>', ...nodes, '<bpmn:endEvent id="E"/>'];
  const ids = all.map((node) => /id="(\w+)"/.exec(node)?.[1] ?? "");
  const flows = ids
    .slice(1)
    .map((id, at) => `<bpmn:sequenceFlow id="F${at}" sourceRef="${ids[at]}" targetRef="${id}"/>`);
  const withFlows = all.map((node, at) => {
    const flow = `${at > 0 ? `<bpmn:incoming>F${at - 1}</bpmn:incoming>` : ""}${at < ids.length - 1 ? `<bpmn:outgoing>F${at}</bpmn:outgoing>` : ""}`;
    return node.endsWith("/>")
      ? node.replace(/<(bpmn:\w+)([^>]*)\/>$/, `<$1$2>${flow}</$1>`)
      : node.replace(/^<(bpmn:\w+)([^>]*)>/, `<$1$2>${node.includes("extensionElements") ? "" : flow}`);
  });
  return [...withFlows, ...flows].join("\n");
}

for (const name of readdirSync(folder)) {
  test(`${name} of the examples is well-formed and has no lint error`, async () => {
    const findings = await check(readFileSync(new URL(name, folder), "utf8"), "bpmn2", "lint");
    assert.deepEqual(
      findings.filter(({ severity }) => severity === "error"),
      [],
    );
  });
}

for (const name of ["order.bpmn", "invoice.bpmn", "invoice-v2.bpmn"]) {
  test(`${name} could be executed`, async () => {
    assert.deepEqual(await check(readFileSync(new URL(name, folder), "utf8"), "executable"), []);
  });
}

test("without profiles, or with bpmn2, a well-formed document has no findings", async () => {
  assert.deepEqual(await check(wrap('<bpmn:task id="T"/>'), "bpmn2"), []);
  assert.deepEqual(await check(wrap('<bpmn:task id="T"/>')), []);
});

test("lint names the rule, the element and where it stands", async () => {
  const findings = await check(wrap('<bpmn:startEvent id="S"/>\n<bpmn:task id="T" name="t"/>'), "lint");
  const lost = findings.find(({ code }) => code === "lint/no-disconnected");
  assert.deepEqual(lost, {
    severity: "error",
    code: "lint/no-disconnected",
    message: "Element is not connected",
    hint: "",
    line: 4,
    column: 1,
    elementId: "S",
  });
});

test("a document that is not well-formed gets the findings of bpmn2 alone", async () => {
  const findings = await check(wrap('<bpmn:task id="T"/><bpmn:task id="T"/>'), "lint", "executable");
  assert.deepEqual(
    findings.map(({ code }) => code),
    ["bpmn/duplicate-id"],
  );
});

const bound = '<bpmn:extensionElements><z:taskDefinition type="rpc:a.B/C"/></bpmn:extensionElements>';
for (const [rule, body, at] of [
  ["start-missing", '<bpmn:endEvent id="E"/>', "P"],
  ["start-ambiguous", '<bpmn:startEvent id="S"/><bpmn:startEvent id="S2"/>', "S2"],
  ["unreachable", `${row()}<bpmn:task id="T"/>`, "T"],
  ["binding-missing", row('<bpmn:serviceTask id="T" name="Pay"/>'), "T"],
  ["binding-missing", row('<bpmn:scriptTask id="T"/>'), "T"],
  [
    "timer-missing",
    row(
      '<bpmn:intermediateCatchEvent id="T"><bpmn:timerEventDefinition id="X"/></bpmn:intermediateCatchEvent>',
    ),
    "T",
  ],
  ["reference-missing", row('<bpmn:receiveTask id="T"/>'), "T"],
  ["reference-missing", row('<bpmn:callActivity id="T"/>'), "T"],
  [
    "reference-missing",
    row(
      '<bpmn:intermediateCatchEvent id="T"><bpmn:messageEventDefinition id="X"/></bpmn:intermediateCatchEvent>',
    ),
    "T",
  ],
] as const) {
  test(`executable demands: ${rule} at ${at} in ${body.slice(0, 60).replaceAll("\n", "")}`, async () => {
    const findings = await check(wrap(body), "executable");
    const found = findings.find(({ code }) => code === `executable/${rule}`);
    assert.ok(found, JSON.stringify(findings));
    assert.equal(found.elementId, at);
    assert.ok(found.line > 0 && found.hint !== "");
  });
}

test("a process that is not marked executable is told so, once", async () => {
  const findings = await check(wrap(row(), ""), "executable");
  assert.deepEqual(
    findings.map(({ code, elementId }) => `${code} ${elementId}`),
    ["executable/no-executable-process P"],
  );
});

test("a gateway's flows need conditions, but for its default", async () => {
  const gateway = (fallback: string, condition: string) =>
    `<bpmn:startEvent id="S"><bpmn:outgoing>F</bpmn:outgoing></bpmn:startEvent><bpmn:exclusiveGateway id="G" ${fallback}><bpmn:incoming>F</bpmn:incoming><bpmn:outgoing>A</bpmn:outgoing><bpmn:outgoing>B</bpmn:outgoing></bpmn:exclusiveGateway><bpmn:endEvent id="E1"><bpmn:incoming>A</bpmn:incoming></bpmn:endEvent><bpmn:endEvent id="E2"><bpmn:incoming>B</bpmn:incoming></bpmn:endEvent><bpmn:sequenceFlow id="F" sourceRef="S" targetRef="G"/><bpmn:sequenceFlow id="A" sourceRef="G" targetRef="E1">${condition}</bpmn:sequenceFlow><bpmn:sequenceFlow id="B" sourceRef="G" targetRef="E2"/>`;
  const codes = async (xml: string) =>
    (await check(wrap(xml), "executable")).map(({ code, elementId }) => `${code} ${elementId}`);
  const condition =
    '<bpmn:conditionExpression xsi:type="bpmn:tFormalExpression">=x</bpmn:conditionExpression>';
  assert.deepEqual(await codes(gateway("", "")), [
    "executable/condition-missing A",
    "executable/condition-missing B",
  ]);
  assert.deepEqual(await codes(gateway('default="B"', condition)), []);
});

test("what is bound, waits for something and is reached through a boundary event has nothing to mend", async () => {
  const body = `${row(`<bpmn:serviceTask id="T">${bound}<bpmn:incoming>F0</bpmn:incoming><bpmn:outgoing>F1</bpmn:outgoing></bpmn:serviceTask>`, '<bpmn:receiveTask id="R" messageRef="M"/>')}
<bpmn:boundaryEvent id="B" attachedToRef="T"><bpmn:outgoing>FB</bpmn:outgoing><bpmn:timerEventDefinition id="X"><bpmn:timeDuration xsi:type="bpmn:tFormalExpression">PT1M</bpmn:timeDuration></bpmn:timerEventDefinition></bpmn:boundaryEvent>
<bpmn:sequenceFlow id="FB" sourceRef="B" targetRef="EB"/><bpmn:endEvent id="EB"><bpmn:incoming>FB</bpmn:incoming></bpmn:endEvent>`;
  assert.deepEqual(await check(wrap(body), "executable"), []);
});

test("a model with more findings than are answered: errors first, each in its place, in linear time", async () => {
  const tasks = Array.from({ length: 45_000 }, (_, at) => `<bpmn:task id="t${at}"/>\n`);
  const start = threadMs();
  const { findings, truncated } = await validate(wrap(tasks.join("")), "lint", "executable");
  const took = threadMs() - start;
  assert.deepEqual([findings.length, truncated], [1000, true]);
  assert.equal(
    findings.some(({ severity }) => severity !== "error"),
    false,
  );
  const labels = findings.filter(({ code }) => code === "lint/label-required");
  assert.deepEqual(labels.map(({ elementId, line }) => [elementId, line]).slice(-1), [
    [`t${labels.length - 1}`, labels.length + 3],
  ]);
  assert.ok(took < 8000, `${took} ms`);
});
