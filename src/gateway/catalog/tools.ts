/** Which methods are tools for agents, and what they are called. */
import { type DescMethod, getOption, hasOption, isFieldSet } from "@bufbuild/protobuf";
import { McpSchema, mcp as mcpOption } from "#gen/portico/options/v1/options_pb.ts";
import { hasUnaryRequest, type Method } from "#rpc/method.ts";
import type { ToolOptions } from "./shape.ts";

/** Models take 64 characters, and clients put as much as `mcp__portico__` before it. */
export const nameForm = /^[a-z0-9_]{1,48}$/;
const destroys = /^(Delete|BatchDelete|Revoke|Purge)/;

export function readTool(desc: DescMethod): ToolOptions | undefined {
  if (!hasOption(desc, mcpOption)) return undefined;
  const option = getOption(desc, mcpOption);
  return {
    name: option.name || nameOf(desc),
    title: option.title || titleOf(desc),
    destructive: isFieldSet(option, McpSchema.field.destructive)
      ? option.destructive === true
      : destroys.test(desc.name),
    openWorld: option.openWorld,
  };
}

/** `GetBPMNRevision`: get_bpmn_revision. */
export function nameOf(desc: DescMethod): string {
  return wordsOf(desc.name).join("_").toLowerCase();
}

/** `GetBPMNRevision`: Get BPMN Revision. */
export function titleOf(desc: DescMethod): string {
  return wordsOf(desc.name).join(" ");
}

/** `GetBPMNRevision`: Get, BPMN, Revision. */
function wordsOf(name: string): readonly string[] {
  return name.match(/[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+/g) ?? [name];
}

export function reportTools(
  methods: readonly Method[],
  report: (method: Method, message: string) => void,
): void {
  const known = new Map<string, Method>();
  for (const method of methods) {
    const tool = readTool(method.desc);
    if (tool === undefined) continue;
    const before = known.get(tool.name);
    known.set(tool.name, method);
    if (!nameForm.test(tool.name))
      report(
        method,
        `the tool name "${tool.name}" is not 1 to 48 of a-z, 0-9 and _: set (portico.options.v1.mcp).name`,
      );
    if (before !== undefined)
      report(
        method,
        `the tool name "${tool.name}" is that of ${before.name} already: set (portico.options.v1.mcp).name`,
      );
    if (!hasUnaryRequest(method.kind))
      report(method, "is no tool: a tool takes one message, and this method takes a stream of them");
  }
}
