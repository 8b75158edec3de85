/**
 * Reads a BPMN document: refuses what cannot be trusted or kept, and says what is in it. Runs in a worker thread.
 *
 * Order: bytes (UTF-8), a linear scan (DOCTYPE, entities, depth, number of elements, duplicate ids), then bpmn-moddle, whose
 * every warning is an error: a document that loses something while it is read is not understood.
 */
/// <reference path="./bpmn-moddle.d.ts" />
import { BpmnModdle, type Warning } from "bpmn-moddle";
import { type Element, extensionsOf, many } from "./element.ts";
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

export interface Invalid {
  readonly kind: "invalid";
  readonly findings: readonly Finding[];
}

export type Outcome = { readonly kind: "ok"; readonly summary: Summary } | Invalid;

/** A document that was understood. */
export interface Model {
  readonly kind: "model";
  readonly root: Element;
  readonly elements: readonly Element[];
  readonly text: string;
}

/** More are not answered: the first ones are mended first. */
const maxFindings = 50;
const moddle = new BpmnModdle();

export async function analyze(bytes: Uint8Array): Promise<Outcome> {
  const model = await readModel(bytes);
  return model.kind === "invalid" ? model : { kind: "ok", summary: summarize(model.root, model.elements) };
}

export async function readModel(bytes: Uint8Array): Promise<Model | Invalid> {
  const text = decode(bytes);
  if (text === undefined)
    return invalid([
      at("bpmn/encoding", "the document is not UTF-8 text", {
        hint: "save it as UTF-8; its XML declaration must say so as well, or nothing",
      }),
    ]);
  const refused = scanXml(text);
  if (refused !== undefined) return invalid([refused]);
  try {
    const { rootElement, warnings, elementsById } = await moddle.fromXML(text);
    if (warnings.length > 0)
      return invalid(warnings.slice(0, maxFindings).map((warning) => fromWarning(warning, text)));
    return {
      kind: "model",
      root: rootElement as Element,
      elements: Object.values(elementsById) as Element[],
      text,
    };
  } catch (error) {
    return invalid([fromThrown(error, text)]);
  }
}

/** UTF-8 alone, with or without a byte order mark: what is read must be what is stored. */
function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function invalid(findings: readonly Finding[]): Invalid {
  return { kind: "invalid", findings };
}

function at(code: string, message: string, more: Partial<Finding> = {}): Finding {
  return { severity: "error", code, message, hint: "", line: 0, column: 0, elementId: "", ...more };
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
  const message = (nested === undefined ? head : `${nested.trim()} (${head.trim()})`).slice(0, 300);
  return at(codeOf(message), message, {
    line: line === undefined ? 0 : Number(line) + 1,
    column: column === undefined ? 0 : Number(column) + 1,
    elementId: element?.id ?? "",
  });
}

function codeOf(message: string): string {
  if (message.includes("unsupported document encoding")) return "bpmn/encoding";
  return message.includes("unknown type") || message.includes("failed to parse document as")
    ? "bpmn/unknown-element"
    : "bpmn/malformed";
}

/** A reference to nothing comes without a position: it is that of the element that refers. */
function fromReference(warning: Warning, elementId: string, text: string): Finding {
  const message = `${warning.property ?? "a reference"} of "${elementId}" names "${String(warning.value)}", which does not exist`;
  return at("bpmn/dangling-reference", message.slice(0, 300), {
    hint: "add the element it names, or remove the reference",
    ...positionOf(text, Math.max(0, text.indexOf(`id="${elementId}"`))),
    elementId,
  });
}

function fromThrown(error: unknown, text: string): Finding {
  return fromWarning({ message: error instanceof Error ? error.message : String(error) }, text);
}

function summarize(root: Element, elements: readonly Element[]): Summary {
  const processes = many(root, "rootElements")
    .filter((element) => element.$type === "bpmn:Process")
    .map((element) => ({
      id: element.id ?? "",
      displayName: element.name ?? "",
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
    taskBindings: [...new Set(elements.flatMap(bindingsOf))].sort(),
    exporter: String(root.exporter ?? ""),
    exporterVersion: String(root.exporterVersion ?? ""),
    hasDiagram: many(root, "diagrams").length > 0,
  };
}

/** What `zeebe:taskDefinition` binds an element to. */
function bindingsOf(element: Element): string[] {
  return extensionsOf(element, "taskDefinition")
    .map(({ type }) => type)
    .filter((type): type is string => typeof type === "string" && type !== "");
}
