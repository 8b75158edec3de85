/** Which methods are resources for agents, under what addresses, and what tells of their changes. */
import { type DescMethod, getOption, hasOption, isFieldSet, type Message } from "@bufbuild/protobuf";
import {
  type McpResource,
  type McpWatch,
  mcp_resource as resourceOption,
} from "#gen/portico/options/v1/options_pb.ts";
import { toRpcError } from "#rpc/error.ts";
import { hasUnaryReply, hasUnaryRequest, type Method } from "#rpc/method.ts";
import { BytesPayload } from "#rpc/payload.ts";
import type { ResourceOptions, WatchOptions } from "./shape.ts";
import { nameOf, titleOf } from "./tools.ts";
import { parseUriTemplate, type UriTemplate } from "./uri-template.ts";
import { compileArguments, compileValues, isText, type OptionScope, scopeOf } from "./value-source.ts";

export const fileType = "google.api.HttpBody";

/** @param methods by path. */
export function compileResources(
  methods: ReadonlyMap<string, Method>,
  report: (method: Method, message: string) => void,
): ReadonlyMap<Method, ResourceOptions> {
  const resources = new Map<Method, ResourceOptions>();
  const shapes = new Map<string, Method>();
  for (const method of methods.values()) {
    const option = optionOf(method.desc);
    if (option === undefined) continue;
    const resource = compile(option, scopeOf(method, methods, report));
    if (resource === undefined) continue;
    const before = shapes.get(resource.template.shape);
    if (before !== undefined) report(method, `the address "${option.uri}" is that of ${before.name} already`);
    shapes.set(resource.template.shape, method);
    resources.set(method, resource);
  }
  return resources;
}

function optionOf(desc: DescMethod): McpResource | undefined {
  return hasOption(desc, resourceOption) ? getOption(desc, resourceOption) : undefined;
}

function compile(option: McpResource, scope: OptionScope): ResourceOptions | undefined {
  const { method } = scope;
  const template = parseUriTemplate(option.uri);
  if (typeof template === "string") {
    scope.report(`${template}: set (portico.options.v1.mcp_resource).uri`);
    return undefined;
  }
  const isFile = method.output.desc.typeName === fileType;
  if (!hasUnaryRequest(method.kind) || (!hasUnaryReply(method.kind) && !isFile))
    scope.report(
      "is no resource: one takes one message and answers with one, or with a stream of google.api.HttpBody",
    );
  if (!method.sideEffectFree)
    scope.report("is no resource: reading has no side effects, say idempotency_level = NO_SIDE_EFFECTS");
  for (const name of template.variables) {
    const field = method.input.desc.fields.find((one) => one.name === name);
    if (field === undefined || !isText(field))
      scope.report(`{${name}} in "${option.uri}" is no text or integer of ${method.input.desc.typeName}`);
  }
  if (option.list !== undefined && template.variables.length !== 1)
    scope.report(`"${option.uri}" has not one variable alone: those that there are cannot be listed`);
  const list = option.list === undefined ? undefined : compileValues(option.list, scope);
  const sources = compileArguments(option.arguments, scope);
  const [only] = template.variables;
  if (list !== undefined && only !== undefined && !sources.has(only)) sources.set(only, list);
  return {
    template,
    name: option.name || nameOf(method.desc),
    title: option.title || titleOf(method.desc),
    mimeType: isFile ? option.mimeType || undefined : "application/json",
    isFile,
    list,
    sources,
    watch: option.watch === undefined ? undefined : compileWatch(option.watch, template, scope),
  };
}

function compileWatch(option: McpWatch, template: UriTemplate, scope: OptionScope): WatchOptions | undefined {
  const method = scope.find(option.method);
  if (method?.kind !== "server_stream") {
    scope.report(`"${option.method}" is no method that streams answers: nothing could tell of changes`);
    return undefined;
  }
  const changed = method.output.desc.fields.find(({ name }) => name === option.changed);
  if (option.changed !== "" && changed === undefined) {
    scope.report(
      `"${option.changed}" is no field of ${method.output.desc.typeName}, which ${method.name} streams`,
    );
    return undefined;
  }
  const isChange = (message: Message): boolean => changed === undefined || isFieldSet(message, changed);
  const unknown = [...option.request.matchAll(/\{([a-z][a-z0-9_]*)\}/g)].find(
    ([, name = ""]) => !template.variables.includes(name),
  );
  if (unknown !== undefined) {
    scope.report(`${unknown[0]} in the watch's request is no variable of "${template.text}"`);
    return undefined;
  }
  try {
    const tree: unknown = JSON.parse(option.request || "{}");
    const request = (values: Readonly<Record<string, string>>): Uint8Array =>
      Buffer.from(
        JSON.stringify(tree, (_, value: unknown) => filled(value, values)),
        "utf8",
      );
    const samples = Object.fromEntries(template.variables.map((name) => [name, "1"]));
    new BytesPayload(method.input, request(samples), "json").message();
    return { method, request, isChange };
  } catch (thrown) {
    const why = thrown instanceof SyntaxError ? thrown.message : toRpcError(thrown).message;
    scope.report(`the watch's request is no ${method.input.desc.typeName} in JSON: ${why}`);
    return undefined;
  }
}

/** Values go into texts after these were read: they cannot become anything else than text. */
function filled(value: unknown, values: Readonly<Record<string, string>>): unknown {
  if (typeof value !== "string") return value;
  return value.replaceAll(/\{([a-z][a-z0-9_]*)\}/g, (_, name: string) => values[name] ?? "");
}
