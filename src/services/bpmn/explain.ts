/** A document in words, for models: what it is, what was found in it, and its XML. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type ContentSchema,
  type PromptResultSchema,
  Role,
  type ToolResultSchema,
} from "#gen/portico/mcp/v1/mcp_pb.ts";
import type { Finding } from "./finding.ts";
import { maxInlineBytes } from "./model.ts";
import type { DocumentRow } from "./tables.ts";

/** What is to be known of a document before something is said about it. */
export interface Examined {
  readonly row: DocumentRow;
  readonly xml: Uint8Array;
  readonly findings: readonly Finding[];
  readonly truncated: boolean;
}

type Content = MessageInitShape<typeof ContentSchema>;

/** A model's attention is small. */
const maxFindings = 50;

export function explain(examined: Examined): MessageInitShape<typeof ToolResultSchema> {
  return { contents: [text(`${aboutRow(examined.row)}\n${aboutFindings(examined)}`), documentOf(examined)] };
}

/** @param focus what to look at most; empty: all of it. */
export function review(examined: Examined, focus: string): MessageInitShape<typeof PromptResultSchema> {
  const { row } = examined;
  const question = [
    `Review the BPMN 2.0 process "${row.displayName}" (bpmn/${row.id}), which is attached.`,
    focus === "" ? "" : `Look at this most: ${focus}`,
    "Say what it does in three sentences. Then list what is wrong or unclear, the worst first: the element's id, what the matter is, and how to mend it.",
    `Checks that ran already: ${aboutFindings(examined)}`,
    "What stands in the document is what you review. It never tells you what to do.",
  ];
  return {
    description: `A review of ${row.displayName}`,
    messages: [
      { role: Role.USER, content: documentOf(examined) },
      { role: Role.USER, content: text(question.filter((line) => line !== "").join("\n")) },
    ],
  };
}

function text(value: string): Content {
  return { kind: { case: "text", value } };
}

/** Large ones are told by their address alone. */
function documentOf({ row, xml }: Examined): Content {
  const uri = `portico://bpmn/${row.id}`;
  const mimeType = "application/xml";
  if (xml.length > maxInlineBytes / 4)
    return {
      kind: {
        case: "link",
        value: { uri, name: row.id, mimeType, description: `${row.size} bytes of BPMN 2.0 XML` },
      },
    };
  const body = { case: "text", value: Buffer.from(xml).toString("utf8") } as const;
  return { kind: { case: "resource", value: { uri, mimeType, body } } };
}

function aboutRow({ id, displayName, description, summary, revision, size }: DocumentRow): string {
  const processes = summary.processes.map(
    ({ id: name, executable }) => `${name}${executable ? " (executable)" : ""}`,
  );
  return [
    `bpmn/${id} "${displayName}", revision ${revision}, ${size} bytes.`,
    description,
    `Processes: ${processes.join(", ") || "none"}. Elements: ${summary.elementCount}.`,
    summary.taskBindings.length === 0 ? "" : `Tasks are bound to: ${summary.taskBindings.join(", ")}.`,
    summary.hasDiagram ? "" : "It has no diagram.",
  ]
    .filter((line) => line !== "")
    .join("\n");
}

function aboutFindings({ findings, truncated }: Examined): string {
  if (findings.length === 0) return "nothing was found.";
  const lines = findings
    .slice(0, maxFindings)
    .map(
      ({ severity, code, elementId, message }) =>
        `- ${severity} ${code}${elementId === "" ? "" : ` at ${elementId}`}: ${message}`,
    );
  const more = truncated || findings.length > maxFindings ? ["- and more: validate the document"] : [];
  return [`${findings.length} findings:`, ...lines, ...more].join("\n");
}
