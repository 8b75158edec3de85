/// <reference path="./bpmn-moddle.d.ts" />
/**
 * Reads a BPMN document: refuses what cannot be trusted or kept, and says what is in it. Runs in a worker thread.
 *
 * Order: bytes (UTF-8), a linear scan (DOCTYPE, depth, number of elements, duplicate ids), then bpmn-moddle, whose every
 * warning is an error: a document that loses something while it is read is not understood.
 */
import { BpmnModdle } from "bpmn-moddle";
import { scanXml } from "./scan-xml.ts";

/** One thing wrong with a document. */
export interface Finding {
  readonly message: string;
  /** 1-based; 0 where it is not known. */
  readonly line: number;
  readonly column: number;
  readonly elementId: string;
}

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
    if (warnings.length > 0) return invalid(warnings.slice(0, 50).map((warning) => fromWarning(warning)));
    return {
      kind: "ok",
      summary: summarize(rootElement as Element, Object.values(elementsById) as Element[], text),
    };
  } catch (error) {
    return invalid([fromThrown(error)]);
  }
}

function invalid(findings: readonly Finding[]): Outcome {
  return { kind: "invalid", findings };
}

function at(message: string, line = 0, column = 0, elementId = ""): Finding {
  return { message, line, column, elementId };
}

function fromWarning(warning: {
  readonly message: string;
  readonly element?: unknown;
  readonly property?: string;
  readonly value?: unknown;
}): Finding {
  const element = warning.element as Element | undefined;
  const line = /line: (\d+)/.exec(warning.message)?.[1];
  const column = /column: (\d+)/.exec(warning.message)?.[1];
  const message = warning.message.split("\n", 1)[0] ?? "the document is not understood";
  return at(
    message.slice(0, 300),
    line === undefined ? 0 : Number(line) + 1,
    column === undefined ? 0 : Number(column) + 1,
    element?.id ?? "",
  );
}

function fromThrown(error: unknown): Finding {
  const message = error instanceof Error ? error.message : String(error);
  return fromWarning({
    message: message.includes("line:") ? message.replaceAll("\n\t", " ").replace(/\s+/g, " ") : message,
  });
}

function summarize(root: Element, elements: readonly Element[], text: string): Summary {
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
    taskBindings: [
      ...new Set(
        [...text.matchAll(/<zeebe:taskDefinition\b[^>]*\btype="([^"]*)"/g)].map((found) => String(found[1])),
      ),
    ].sort(),
    exporter: String(root.exporter ?? ""),
    exporterVersion: String(root.exporterVersion ?? ""),
    hasDiagram: Array.isArray(root.diagrams) && root.diagrams.length > 0,
  };
}
