/** The profile `executable`: whether an engine could run the model, and what it lacks. */
import { type Element, extensionsOf, is, isElement, many, one } from "./element.ts";
import type { Unplaced } from "./finding.ts";

interface Problem {
  readonly code: string;
  readonly element: Element;
  readonly message: string;
  readonly hint: string;
}

type Say = (
  code: string,
  element: Element,
  about: { readonly message: string; readonly hint: string },
) => void;

export function checkExecutable(root: Element): Unplaced[] {
  const problems: Problem[] = [];
  const say: Say = (code, element, about) => {
    problems.push({ code, element, ...about });
  };
  const processes = many(root, "rootElements").filter((element) => element.$type === "bpmn:Process");
  const executable = processes.filter((process) => process.isExecutable === true);
  if (executable.length === 0)
    say("no-executable-process", processes[0] ?? root, {
      message: "no process is marked as executable",
      hint: 'set isExecutable="true" on the process that is to run',
    });
  for (const process of executable) checkScope(process, say);
  return problems.map(({ code, element, message, hint }) => ({
    severity: "error",
    code: `executable/${code}`,
    message,
    hint,
    elementId: element.id ?? "",
  }));
}

/** A process or a subprocess: what begins it, what is in it, what can be reached. */
function checkScope(scope: Element, say: Say): void {
  const elements = many(scope, "flowElements");
  const nodes = elements.filter((element) => is(element, "bpmn:FlowNode"));
  checkStart(scope, nodes, say);
  checkReach(scope, nodes, say);
  for (const node of nodes) {
    for (const check of checks) check(node, say);
    if (is(node, "bpmn:SubProcess")) checkScope(node, say);
  }
}

function checkStart(scope: Element, nodes: readonly Element[], say: Say): void {
  // The parts of an ad-hoc subprocess begin each by themselves.
  if (is(scope, "bpmn:AdHocSubProcess")) return;
  const starts = nodes.filter((node) => node.$type === "bpmn:StartEvent");
  const blank = starts.filter((start) => many(start, "eventDefinitions").length === 0);
  if (starts.length === 0)
    say("start-missing", scope, {
      message: `${named(scope)} has no start event`,
      hint: "add the event that starts it",
    });
  if (blank.length > 1)
    say("start-ambiguous", blank[1] ?? scope, {
      message: `${named(scope)} has ${blank.length} start events without a trigger`,
      hint: "keep one, or give the others a message, timer or signal",
    });
}

/** What no start event, boundary event or event subprocess leads to never runs. */
function checkReach(scope: Element, nodes: readonly Element[], say: Say): void {
  if (is(scope, "bpmn:AdHocSubProcess")) return;
  const open = nodes.filter(
    (node) =>
      node.$type === "bpmn:StartEvent" ||
      node.triggeredByEvent === true ||
      node.isForCompensation === true ||
      isLinkCatch(node),
  );
  const reached = new Set(open);
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    const current = node;
    const boundary = nodes.filter(
      (other) => other.$type === "bpmn:BoundaryEvent" && other.attachedToRef === current,
    );
    const next = many(node, "outgoing").map((flow) => one(flow, "targetRef"));
    for (const target of [...next, ...boundary])
      if (target !== undefined && !reached.has(target)) {
        reached.add(target);
        open.push(target);
      }
  }
  for (const node of nodes)
    if (!reached.has(node))
      say("unreachable", node, {
        message: `${named(node)} is never reached`,
        hint: "connect it to the flow, or remove it",
      });
}

function isLinkCatch(node: Element): boolean {
  return (
    node.$type === "bpmn:IntermediateCatchEvent" &&
    many(node, "eventDefinitions").some(({ $type }) => $type === "bpmn:LinkEventDefinition")
  );
}

const checks: readonly ((node: Element, say: Say) => void)[] = [
  checkBinding,
  checkConditions,
  checkEvents,
  checkReferences,
];

const bound = ["bpmn:ServiceTask", "bpmn:SendTask", "bpmn:BusinessRuleTask", "bpmn:ScriptTask"];

function checkBinding(node: Element, say: Say): void {
  if (!bound.includes(node.$type)) return;
  const hasDefinition = extensionsOf(node, "taskDefinition").some(({ type }) => isText(type));
  const own =
    (node.$type === "bpmn:ScriptTask" && (isText(node.script) || extensionsOf(node, "script").length > 0)) ||
    (node.$type === "bpmn:BusinessRuleTask" && extensionsOf(node, "calledDecision").length > 0);
  if (!hasDefinition && !own)
    say("binding-missing", node, {
      message: `${named(node)} is not bound to anything that could do it`,
      hint: "add zeebe:taskDefinition with a type, for example rpc:shop.v1.Orders/Reserve",
    });
}

/** A gateway that chooses needs something to choose by. */
function checkConditions(node: Element, say: Say): void {
  if (node.$type === "bpmn:ComplexGateway")
    say("unsupported", node, {
      message: `${named(node)} is a complex gateway, whose meaning BPMN leaves to each engine`,
      hint: "use exclusive, inclusive or parallel gateways",
    });
  if (node.$type !== "bpmn:ExclusiveGateway" && node.$type !== "bpmn:InclusiveGateway") return;
  const outgoing = many(node, "outgoing");
  if (outgoing.length < 2) return;
  for (const flow of outgoing)
    if (flow !== node.default && !isText(one(flow, "conditionExpression")?.body))
      say("condition-missing", flow, {
        message: `the flow ${named(flow)} out of ${named(node)} has no condition`,
        hint: "give it a condition, or make it the gateway's default",
      });
}

function checkEvents(node: Element, say: Say): void {
  for (const definition of many(node, "eventDefinitions")) {
    if (definition.$type === "bpmn:TimerEventDefinition") {
      const kinds = ["timeDate", "timeDuration", "timeCycle"];
      if (!kinds.some((kind) => isText(one(definition, kind)?.body)))
        say("timer-missing", node, {
          message: `${named(node)} has a timer without a time`,
          hint: "set a date, duration or cycle (ISO 8601)",
        });
    }
    const reference = referenceOf[definition.$type];
    const catches = node.$type !== "bpmn:EndEvent" && node.$type !== "bpmn:IntermediateThrowEvent";
    if (reference !== undefined && one(definition, reference) === undefined && catches)
      say("reference-missing", node, {
        message: `${named(node)} does not say which ${reference.replace("Ref", "")} it waits for`,
        hint: `set ${reference}`,
      });
  }
}

const referenceOf: Readonly<Record<string, string>> = {
  "bpmn:MessageEventDefinition": "messageRef",
  "bpmn:SignalEventDefinition": "signalRef",
};

function checkReferences(node: Element, say: Say): void {
  if (node.$type === "bpmn:ReceiveTask" && one(node, "messageRef") === undefined)
    say("reference-missing", node, {
      message: `${named(node)} does not say which message it waits for`,
      hint: "set messageRef",
    });
  if (
    node.$type === "bpmn:CallActivity" &&
    !isText(node.calledElement) &&
    !extensionsOf(node, "calledElement").some(({ processId }) => isText(processId))
  )
    say("reference-missing", node, {
      message: `${named(node)} does not say which process it calls`,
      hint: "set calledElement, or zeebe:calledElement with a processId",
    });
  if (node.$type === "bpmn:BoundaryEvent" && !isElement(node.attachedToRef))
    say("reference-missing", node, {
      message: `${named(node)} is attached to nothing`,
      hint: "set attachedToRef",
    });
}

function isText(value: unknown): boolean {
  return typeof value === "string" && value.trim() !== "";
}

function named(element: Element): string {
  return `"${(element.name ?? element.id ?? element.$type).slice(0, 100)}"`;
}
