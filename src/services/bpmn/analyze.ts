/**
 * Reads a BPMN document: refuses what cannot be trusted or kept, and says what is in it. Runs in a worker thread.
 *
 * Order: bytes (UTF-8), a linear scan (DOCTYPE, depth, number of elements, duplicate ids), then bpmn-moddle, whose every
 * warning is an error: a document that loses something while it is read is not understood.
 */
/// <reference path="./bpmn-moddle.d.ts" />
import { BpmnModdle, type Warning } from "bpmn-moddle";
import type { Finding } from "./finding.ts";
import { positionOf, scanXml } from "./scan-xml.ts";

export interface ProcessSummary {
  readonly id: string;
  readonly displayName: string;
  readonly executable: boolean;
}

export interface Summary {
  readonly processes: readonly ProcessSummary[];
  readonly elementCount: number;
  readonly taskBindings: readonly string[];
  readonly exporter: string;
  readonly exporterVersion: string;
  readonly hasDiagram: boolean;
}

export type Outcome =
  | { readonly kind: "ok"; readonly summary: Summary }
  | { readonly kind: "invalid"; readonly findings: readonly Finding[] };

/** An element as bpmn-moddle gives it. */
interface Element {
  readonly $type: string;
  readonly $parent?: Element;
  readonly id?: string;
  readonly [property: string]: unknown;
}

/** An element of a foreign namespace: kept as it is. */
interface Generic {
  readonly $descriptor: { readonly ns: { readonly uri?: string; readonly localName: string } };
  readonly type?: string;
}

const zeebe = "http://camunda.org/schema/zeebe/1.0";
const moddle = new BpmnModdle();

export async function analyze(bytes: Uint8Array): Promise<Outcome> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return invalid([at("the document is not UTF-8 text")]);
  }
  const refused = scanXml(text);
  if (refused !== undefined) return invalid([refused]);
  try {
    const { rootElement, warnings, elementsById } = await moddle.fromXML(text);
    if (warnings.length > 0)
      return invalid(warnings.slice(0, 50).map((warning) => fromWarning(warning, text)));
    return {
      kind: "ok",
      summary: summarize(rootElement as Element, Object.values(elementsById) as Element[]),
    };
  } catch (error) {
    return invalid([fromThrown(error, text)]);
  }
}

function invalid(findings: readonly Finding[]): Outcome {
  return { kind: "invalid", findings };
}

function at(message: string, line = 0, column = 0, elementId = ""): Finding {
  return { message, line, column, elementId };
}

/** bpmn-moddle's positions count from 0 and stand in its text; its reason stands behind "nested error". */
function fromWarning(warning: Warning, text: string): Finding {
  const element = warning.element as Element | undefined;
  if (warning.message.startsWith("unresolved reference"))
    return fromReference(warning, element?.id ?? "", text);
  const line = /line: (\d+)/.exec(warning.message)?.[1];
  const column = /column: (\d+)/.exec(warning.message)?.[1];
  const nested = /nested error: (.*)/.exec(warning.message)?.[1];
  const head = warning.message.split("\n", 1)[0] ?? "the document is not understood";
  return at(
    (nested === undefined ? head : `${nested.trim()} (${head.trim()})`).slice(0, 300),
    line === undefined ? 0 : Number(line) + 1,
    column === undefined ? 0 : Number(column) + 1,
    element?.id ?? "",
  );
}

/** A reference to nothing comes without a position: it is that of the element that refers. */
function fromReference(warning: Warning, elementId: string, text: string): Finding {
  const place = positionOf(text, Math.max(0, text.indexOf(`id="${elementId}"`)));
  return at(
    `${warning.property ?? "a reference"} of "${elementId}" names "${String(warning.value)}", which does not exist`.slice(
      0,
      300,
    ),
    place.line,
    place.column,
    elementId,
  );
}

function fromThrown(error: unknown, text: string): Finding {
  return fromWarning({ message: error instanceof Error ? error.message : String(error) }, text);
}

function summarize(root: Element, elements: readonly Element[]): Summary {
  const rootElements = (root.rootElements ?? []) as Element[];
  const processes = rootElements
    .filter((element) => element.$type === "bpmn:Process")
    .map((element) => ({
      id: element.id ?? "",
      displayName: String(element.name ?? ""),
      executable: element.isExecutable === true,
    }));
  const counted = elements.filter(
    (element) =>
      element.$type.startsWith("bpmn:") &&
      element.$type !== "bpmn:Definitions" &&
      element.$type !== "bpmn:Process",
  );
  return {
    processes,
    elementCount: counted.length,
    taskBindings: [...new Set(elements.flatMap((element) => bindingsOf(element)))].sort(),
    exporter: String(root.exporter ?? ""),
    exporterVersion: String(root.exporterVersion ?? ""),
    hasDiagram: Array.isArray(root.diagrams) && root.diagrams.length > 0,
  };
}

/** What `zeebe:taskDefinition` binds an element to, whatever prefix the document gives the namespace. */
function bindingsOf(element: Element): string[] {
  const extensions = element.extensionElements as { readonly values?: readonly Generic[] } | undefined;
  return (extensions?.values ?? [])
    .filter(({ $descriptor: { ns } }) => ns.uri === zeebe && ns.localName === "taskDefinition")
    .map(({ type }) => type)
    .filter((type): type is string => typeof type === "string" && type !== "");
}
