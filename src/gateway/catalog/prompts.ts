/** Which methods are prompts for agents, and what their arguments are. */
import { type DescField, type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import { PromptResultSchema } from "#gen/portico/mcp/v1/mcp_pb.ts";
import { type McpPrompt, mcp_prompt as promptOption } from "#gen/portico/options/v1/options_pb.ts";
import type { Method } from "#rpc/method.ts";
import type { PromptOptions } from "./shape.ts";
import { nameForm, nameOf, titleOf } from "./tools.ts";
import { compileArguments, isText, scopeOf } from "./value-source.ts";

/** @param methods by path. */
export function compilePrompts(
  methods: ReadonlyMap<string, Method>,
  report: (method: Method, message: string) => void,
): ReadonlyMap<Method, PromptOptions> {
  const prompts = new Map<Method, PromptOptions>();
  const known = new Map<string, Method>();
  for (const method of methods.values()) {
    const option = optionOf(method.desc);
    if (option === undefined) continue;
    const name = option.name || nameOf(method.desc);
    const before = known.get(name);
    known.set(name, method);
    if (!nameForm.test(name))
      report(
        method,
        `the prompt name "${name}" is not 1 to 48 of a-z, 0-9 and _: set (portico.options.v1.mcp_prompt).name`,
      );
    if (before !== undefined)
      report(
        method,
        `the prompt name "${name}" is that of ${before.name} already: set (portico.options.v1.mcp_prompt).name`,
      );
    if (method.kind !== "unary" || method.output.desc.typeName !== PromptResultSchema.typeName)
      report(method, `is no prompt: one is unary and answers with ${PromptResultSchema.typeName}`);
    for (const field of method.input.desc.fields)
      if (!isArgument(field))
        report(
          method,
          `is no prompt: its arguments are texts, integers or enums, and "${field.name}" is none of these`,
        );
    prompts.set(method, {
      name,
      title: option.title || titleOf(method.desc),
      sources: compileArguments(option.arguments, scopeOf(method, methods, report)),
    });
  }
  return prompts;
}

function optionOf(desc: DescMethod): McpPrompt | undefined {
  return hasOption(desc, promptOption) ? getOption(desc, promptOption) : undefined;
}

function isArgument(field: DescField): boolean {
  return field.fieldKind === "enum" || isText(field);
}
