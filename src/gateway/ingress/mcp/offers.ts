/** What a catalogue offers agents, compiled once a runtime, and who may use what of it. */
import type { Catalog, PromptOptions, ResourceOptions } from "#gateway/catalog/catalog.ts";
import { describePrompt, describeTool, type Prompt, type Tool } from "#gateway/describe/describe.ts";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import type { Method } from "#rpc/method.ts";
import { allows, type Principal } from "#rpc/principal.ts";

export interface ToolOffer {
  readonly method: Method;
  readonly tool: Tool;
}
export interface ResourceOffer {
  readonly method: Method;
  readonly options: ResourceOptions;
  readonly description: string;
}
export interface PromptOffer {
  readonly method: Method;
  readonly options: PromptOptions;
  readonly prompt: Prompt;
}

/** In the order of the catalogue: the same each time. */
export interface Offers {
  readonly tools: ReadonlyMap<string, ToolOffer>;
  readonly resources: readonly ResourceOffer[];
  readonly prompts: ReadonlyMap<string, PromptOffer>;
}

const compiled = new WeakMap<Runtime, Offers>();

export function offersOf(runtime: Runtime): Offers {
  let offers = compiled.get(runtime);
  if (offers === undefined) {
    offers = compile(runtime.catalog);
    compiled.set(runtime, offers);
  }
  return offers;
}

function compile(catalog: Catalog): Offers {
  const tools = new Map<string, ToolOffer>();
  const resources: ResourceOffer[] = [];
  const prompts = new Map<string, PromptOffer>();
  for (const method of catalog.methods.values()) {
    const { resource, prompt: options } = catalog.optionsOf(method);
    const tool = describeTool(catalog, method);
    if (tool !== undefined) tools.set(tool.name, { tool, method });
    if (resource !== undefined)
      resources.push({ method, options: resource, description: catalog.commentOf(method.desc) });
    const prompt = describePrompt(catalog, method);
    if (prompt !== undefined && options !== undefined) prompts.set(prompt.name, { method, options, prompt });
  }
  return { tools, resources, prompts };
}

/** What is refused anyway would waste a model's attention. The policies decide, with every call. */
export function mayUse({ catalog }: Runtime, method: Method, principal: Principal): boolean {
  const rule = catalog.optionsOf(method).access;
  if (rule?.public === true || rule?.scopes.includes("self") === true) return true;
  const wanted = rule === undefined || rule.scopes.length === 0 ? ["*"] : rule.scopes;
  return wanted.some((scope) => allows(principal.scopes, scope));
}
