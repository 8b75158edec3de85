/**
 * The difference of two models as a process designer would tell it: elements and their attributes, not lines.
 *
 * Elements are matched by id and compared property by property: conditions, documentation and vendors' extensions count, and
 * the cost is linear in the size of the models.
 */
import { canonicalName, type Element, is, isElement, many, one } from "./element.ts";

export type ChangeKind = "added" | "removed" | "changed" | "moved";

export interface AttributeChange {
  /** For example `name`, `conditionExpression.body`, `extensionElements.zeebe:taskDefinition[0].type`. */
  readonly path: string;
  readonly oldValue: string;
  readonly newValue: string;
}

export interface Change {
  readonly kind: ChangeKind;
  readonly elementId: string;
  readonly elementType: string;
  readonly displayName: string;
  readonly attributes: readonly AttributeChange[];
}

export interface Diff {
  readonly changes: readonly Change[];
  readonly counts: Readonly<Record<ChangeKind, number>>;
  readonly behaviourChanged: boolean;
  readonly truncated: boolean;
}

const maxChanges = 1000;
const maxValue = 1000;

export function diffModels(before: Element, after: Element): Diff {
  const old = elementsOf(before);
  const current = elementsOf(after);
  const isSame = (element: Element, other: Element | undefined) => other?.$type === element.$type;
  const added = [...current.values()].filter((element) => !isSame(element, old.get(element.id ?? "")));
  const removed = [...old.values()].filter((element) => !isSame(element, current.get(element.id ?? "")));
  const changes: Change[] = [
    ...withoutParts(added).map((element) => change("added", element)),
    ...withoutParts(removed).map((element) => change("removed", element)),
  ];
  for (const [id, element] of current) {
    const earlier = old.get(id);
    if (earlier === undefined || !isSame(element, earlier)) continue;
    const attributes = compare(valuesOf(earlier), valuesOf(element));
    if (attributes.length > 0) changes.push(change("changed", element, attributes));
  }
  const known = new Set(changes.map(({ elementId }) => elementId));
  const places = placesOf(before);
  for (const [id, place] of placesOf(after)) {
    const element = current.get(id);
    const earlier = places.get(id);
    if (element !== undefined && earlier !== undefined && earlier !== place && !known.has(id))
      changes.push(change("moved", element));
  }
  changes.sort((a, b) => (a.elementId < b.elementId ? -1 : a.elementId > b.elementId ? 1 : 0));
  const counts = { added: 0, removed: 0, changed: 0, moved: 0 };
  for (const { kind } of changes) counts[kind] += 1;
  return {
    changes: changes.slice(0, maxChanges),
    counts,
    behaviourChanged: changes.some(changesBehaviour),
    truncated: changes.length > maxChanges,
  };
}

function change(kind: ChangeKind, element: Element, attributes: readonly AttributeChange[] = []): Change {
  return {
    kind,
    elementId: element.id ?? "",
    elementType: element.$type,
    displayName: typeof element.name === "string" ? element.name.slice(0, maxValue) : "",
    attributes,
  };
}

/** Elements that people read and engines do not. */
const described = new Set([
  "bpmn:TextAnnotation",
  "bpmn:Association",
  "bpmn:Group",
  "bpmn:Lane",
  "bpmn:LaneSet",
  "bpmn:Participant",
  "bpmn:Category",
  "bpmn:CategoryValue",
  "bpmn:Collaboration",
]);
const describing = /^(name|documentation|text|exporter|\$attrs)/;

function changesBehaviour({ kind, elementType, attributes }: Change): boolean {
  if (kind === "moved" || described.has(elementType)) return false;
  return kind !== "changed" || attributes.some(({ path }) => !describing.test(path));
}

/** Where the diagram puts each element: bounds of shapes, corners of lines. */
function placesOf(root: Element): Map<string, string> {
  const places = new Map<string, string>();
  for (const diagram of many(root, "diagrams")) {
    const plane = one(diagram, "plane");
    for (const shape of plane === undefined ? [] : many(plane, "planeElement")) {
      const id = one(shape, "bpmnElement")?.id;
      const bounds = one(shape, "bounds");
      const points = many(shape, "waypoint").map(({ x, y }) => `${String(x)},${String(y)}`);
      if (id !== undefined)
        places.set(
          id,
          [bounds?.x, bounds?.y, bounds?.width, bounds?.height, shape.isExpanded, ...points].join(" "),
        );
    }
  }
  return places;
}

/** What people see as a thing of its own; other elements come and go with what they belong to. */
const things = ["bpmn:FlowElement", "bpmn:Artifact", "bpmn:Participant", "bpmn:Lane", "bpmn:RootElement"];

function withoutParts(elements: readonly Element[]): readonly Element[] {
  const all = new Set(elements);
  return elements.filter(
    (element) =>
      element.$parent === undefined ||
      !all.has(element.$parent) ||
      (!is(element, "bpmn:EventDefinition") && things.some((type) => is(element, type))),
  );
}

function compare(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): AttributeChange[] {
  const paths = [...new Set([...before.keys(), ...after.keys()])].sort();
  return paths
    .filter((path) => before.get(path) !== after.get(path))
    .map((path) => ({
      path,
      oldValue: (before.get(path) ?? "").slice(0, maxValue),
      newValue: (after.get(path) ?? "").slice(0, maxValue),
    }));
}

/** Every element of the semantic model that can be named, by id. */
function elementsOf(root: Element): Map<string, Element> {
  const found = new Map<string, Element>();
  const open: Element[] = [root];
  for (let element = open.pop(); element !== undefined; element = open.pop()) {
    if (element.id !== undefined) found.set(element.id, element);
    for (const { value, reference } of contentsOf(element)) if (!reference && isPart(value)) open.push(value);
  }
  return found;
}

/** The diagram is bpmn-js-differ's; the ends of flows stand at the flow. */
const skipped = new Set(["di", "diagrams", "incoming", "outgoing", "id", "extensionElements"]);

/** Properties one by one: what is contained, not what is referred to. */
function* contentsOf(element: Element): Generator<{ path: string; value: unknown; reference: boolean }> {
  for (const property of element.$descriptor.properties ?? []) {
    const name = property.ns?.localName ?? property.name.replace(/^.*:/, "");
    if (skipped.has(name) || property.isVirtual === true) continue;
    const value = element[name];
    if (value === undefined || !Object.hasOwn(element, name)) continue;
    const reference = property.isReference === true;
    if (Array.isArray(value)) {
      for (const [index, item] of value.entries())
        yield { path: `${name}[${index}]`, value: item as unknown, reference };
    } else yield { path: name, value, reference };
  }
}

/** Contained elements with an id are compared by themselves. */
function isPart(value: unknown): value is Element {
  return isElement(value) && value.$descriptor.properties !== undefined;
}

/** Path to text of everything an element says itself. */
function valuesOf(element: Element): Map<string, string> {
  const values = new Map<string, string>();
  collect(element, "", values);
  return values;
}

function collect(element: Element, prefix: string, values: Map<string, string>): void {
  for (const { path, value, reference } of contentsOf(element)) {
    if (!isElement(value)) values.set(prefix + path, String(value));
    else if (reference) values.set(prefix + path, value.id ?? "");
    else if (value.id === undefined || isExpression(value)) collect(value, `${prefix}${path}.`, values);
  }
  for (const [name, value] of Object.entries(element.$attrs ?? {}))
    if (!name.startsWith("xmlns")) values.set(`${prefix}${name}`, String(value));
  const extensions = element.extensionElements;
  if (isElement(extensions) && Array.isArray(extensions.values))
    collectGeneric(extensions.values as Element[], `${prefix}extensionElements.`, values);
}

/** An expression may carry an id and is still a value of its owner. */
function isExpression(element: Element): boolean {
  return element.$type === "bpmn:FormalExpression" || element.$type === "bpmn:Expression";
}

/** Elements of vendors: attributes, text and children, numbered among those of the same name. */
function collectGeneric(elements: readonly Element[], prefix: string, values: Map<string, string>): void {
  const seen = new Map<string, number>();
  for (const element of elements) {
    const name = canonicalName(element);
    const index = seen.get(name) ?? 0;
    seen.set(name, index + 1);
    const path = `${prefix}${name}[${index}]`;
    values.set(path, typeof element.$body === "string" ? element.$body : "");
    for (const [attribute, value] of Object.entries(element))
      if (!attribute.startsWith("$") && typeof value === "string") values.set(`${path}.${attribute}`, value);
    if (Array.isArray(element.$children)) collectGeneric(element.$children, `${path}.`, values);
  }
}
