/** Where values of an argument come from: another method's list, and which field of its elements. */
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import type { McpArgument, McpValues } from "#gen/portico/options/v1/options_pb.ts";
import type { Method } from "#rpc/method.ts";
import type { ValueSource } from "./shape.ts";

/** What finds methods by the names that options write, and hears what is wrong. */
export interface OptionScope {
  readonly method: Method;
  find(name: string): Method | undefined;
  report(message: string): void;
}

/** @param methods by path. */
export function scopeOf(
  method: Method,
  methods: ReadonlyMap<string, Method>,
  report: (method: Method, message: string) => void,
): OptionScope {
  return {
    method,
    find: (name) => methods.get(name.includes("/") ? `/${name}` : `/${method.service}/${name}`),
    report: (message) => report(method, message),
  };
}

export function compileValues(option: McpValues, scope: OptionScope): ValueSource | undefined {
  const method = scope.find(option.method);
  if (method === undefined) {
    scope.report(`there is no method "${option.method}" that could list values`);
    return undefined;
  }
  if (method.kind !== "unary" || !method.sideEffectFree) {
    scope.report(
      `values come from a unary method with idempotency_level NO_SIDE_EFFECTS: ${method.name} is none`,
    );
    return undefined;
  }
  const value = readPath(method.output.desc, option.field);
  const title = option.title === "" ? value : readPath(method.output.desc, option.title);
  if (value === undefined || title === undefined || value.rows !== title.rows) {
    scope.report(
      `"${option.field}"${option.title === "" ? "" : ` and "${option.title}"`}: of ${method.name}'s answer this is a repeated field, and a text or integer of its elements, such as documents.id`,
    );
    return undefined;
  }
  const has = (name: string): boolean => method.input.desc.fields.some((field) => field.name === name);
  return {
    method,
    rows: value.rows,
    value: value.path,
    title: title.path,
    paged:
      has("page_size") &&
      has("page_token") &&
      method.output.desc.fields.some(({ name }) => name === "next_page_token"),
  };
}

/** By the name of the field in the request. */
export function compileArguments(
  options: readonly McpArgument[],
  scope: OptionScope,
): Map<string, ValueSource> {
  const sources = new Map<string, ValueSource>();
  for (const { field, values } of options) {
    if (!scope.method.input.desc.fields.some(({ name }) => name === field)) {
      scope.report(`the request has no field "${field}" whose values could be listed`);
      continue;
    }
    const source = values === undefined ? undefined : compileValues(values, scope);
    if (source !== undefined) sources.set(field, source);
  }
  return sources;
}

const noTexts: ReadonlySet<ScalarType> = new Set([
  ScalarType.BOOL,
  ScalarType.BYTES,
  ScalarType.DOUBLE,
  ScalarType.FLOAT,
]);

/** Whether a value of it is written as one text, in an address or as an argument: texts and integers. */
export function isText(field: DescField): boolean {
  return field.fieldKind === "scalar" && !noTexts.has(field.scalar);
}

/** `documents.metadata.id` in JSON's names: the repeated field first. */
function readPath(
  desc: DescMessage,
  text: string,
): { readonly rows: string; readonly path: readonly string[] } | undefined {
  const [first = "", ...rest] = text.split(".");
  const rows = desc.fields.find(({ name }) => name === first);
  if (rows?.fieldKind !== "list" || rows.listKind !== "message") return undefined;
  let inside: DescMessage | undefined = rows.message;
  const path: string[] = [];
  for (const [index, name] of rest.entries()) {
    const field: DescField | undefined = inside?.fields.find((one) => one.name === name);
    if (field === undefined) return undefined;
    path.push(field.jsonName);
    inside = field.fieldKind === "message" ? field.message : undefined;
    if (index === rest.length - 1 && !isText(field)) return undefined;
  }
  return path.length === 0 ? undefined : { rows: rows.jsonName, path };
}
