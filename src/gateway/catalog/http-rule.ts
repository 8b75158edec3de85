/**
 * `google.api.http` annotations to routes: what matches, and which part of a request becomes which field.
 *
 * @see https://github.com/googleapis/googleapis/blob/master/google/api/http.proto
 */
import { type DescField, getOption, hasOption } from "@bufbuild/protobuf";
import { compileFieldPath, type FieldPath } from "#gateway/codec/field-path.ts";
import { compileQueryBinder } from "#gateway/codec/query.ts";
import { parseTemplate, TemplateError } from "#gateway/router/router.ts";
import { http } from "#gen/google/api/annotations_pb.ts";
import type { HttpRule } from "#gen/google/api/http_pb.ts";
import { rest as restOption, upload as uploadOption } from "#gen/portico/options/v1/options_pb.ts";
import type { Method } from "#rpc/method.ts";
import { compileMethodPlan, type MethodPlan, planOf } from "./rest-plan.ts";
import type { HttpRoute } from "./shape.ts";

export interface RuleContext {
  readonly query: { readonly unknown?: "reject" | "ignore"; readonly maxParameters?: number };
  /** Called for every problem; the route it is about is left out. */
  report(message: string): void;
}

/** The annotated bindings of a method, and the default one that every method has. */
export function compileRoutes(method: Method, context: RuleContext): HttpRoute[] {
  const routes: HttpRoute[] = [];
  if (hasOption(method.desc, http)) {
    const plan = compileMethodPlan(method, context.report);
    const rule = getOption(method.desc, http);
    for (const inner of rule.additionalBindings) {
      if (inner.additionalBindings.length > 0)
        context.report("additional_bindings inside additional_bindings: only one level is allowed");
    }
    for (const one of [rule, ...rule.additionalBindings]) {
      const route = compileRule(method, one, { ...context, plan });
      if (route !== undefined) routes.push(route);
    }
  } else if (hasOption(method.desc, restOption))
    context.report("rest: the method has no path of google.api.http that it could be about");
  routes.push(defaultRoute(method));
  return routes;
}

function defaultRoute(method: Method): HttpRoute {
  return {
    method,
    httpMethod: "POST",
    template: method.path,
    variables: [],
    body: { kind: "whole" },
    query: undefined,
    responseBody: undefined,
    default: true,
    rest: undefined,
  };
}

function compileRule(
  method: Method,
  rule: HttpRule,
  context: RuleContext & { readonly plan: MethodPlan },
): HttpRoute | undefined {
  const pattern = patternOf(rule);
  if (pattern === undefined) {
    context.report("the annotation names no path: set one of get, put, post, delete, patch or custom");
    return undefined;
  }
  const before = { failed: false };
  const report = (message: string): void => {
    before.failed = true;
    context.report(message);
  };
  const variables = compileVariables(method, pattern.template, report);
  const body = compileBody(method, rule, pattern.httpMethod, report);
  const responseBody = compileResponseBody(method, rule, report);
  const bound = variables.map((variable) => variable.text);
  if (body.kind === "field") {
    // `{document.id}` beside `body: "document"` is allowed: the path wins inside the body's message.
    if (bound.includes(body.field.name)) report(`body "${body.field.name}" is bound by the path too`);
    bound.push(body.field.name);
  }
  if (before.failed) return undefined;
  const route = {
    ...{ method, ...pattern, variables, body, responseBody, default: false },
    query: compileQuery(method, body.kind, bound, context),
  };
  return { ...route, rest: planOf(context.plan, route) };
}

function patternOf(rule: HttpRule): { httpMethod: string; template: string } | undefined {
  const { pattern } = rule;
  if (pattern.case === undefined) return undefined;
  if (pattern.case === "custom") return { httpMethod: pattern.value.kind, template: pattern.value.path };
  return { httpMethod: pattern.case.toUpperCase(), template: pattern.value };
}

function compileVariables(method: Method, text: string, report: (message: string) => void): FieldPath[] {
  let paths: readonly string[];
  try {
    paths = parseTemplate(text).variables.map((variable) => variable.path);
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    report(`path "${text}": column ${error.column}: ${error.message}`);
    return [];
  }
  const variables: FieldPath[] = [];
  for (const path of paths) {
    const compiled = compileFieldPath(method.desc.input, path);
    if ("problem" in compiled) report(`path "${text}": ${compiled.problem}`);
    else if (compiled.leaf.fieldKind !== "scalar" && compiled.leaf.fieldKind !== "enum") {
      report(
        `path "${text}": "${path}" is ${compiled.leaf.fieldKind === "list" ? "repeated" : `a ${compiled.leaf.fieldKind}`}; a path can carry only one scalar`,
      );
    } else if (variables.some((other) => other.text === compiled.text))
      report(`path "${text}": "${path}" is bound twice`);
    else variables.push(compiled);
  }
  return variables;
}

function compileBody(
  method: Method,
  rule: HttpRule,
  httpMethod: string,
  report: (message: string) => void,
): HttpRoute["body"] {
  if (rule.body === "") return { kind: "none" };
  if (httpMethod === "GET" || httpMethod === "DELETE")
    report(`body "${rule.body}" on ${httpMethod}: such requests have no body`);
  if (rule.body === "*") return { kind: "whole" };
  const field = topLevel(method.desc.input.fields, rule.body);
  if (field !== undefined) return { kind: "field", field };
  report(`body "${rule.body}": ${method.desc.input.typeName} has no top-level field of that name`);
  return { kind: "none" };
}

function compileResponseBody(
  method: Method,
  rule: HttpRule,
  report: (message: string) => void,
): DescField | undefined {
  if (rule.responseBody === "") return undefined;
  const field = topLevel(method.desc.output.fields, rule.responseBody);
  if (field === undefined)
    report(
      `response_body "${rule.responseBody}": ${method.desc.output.typeName} has no top-level field of that name`,
    );
  return field;
}

function topLevel(fields: readonly DescField[], name: string): DescField | undefined {
  return fields.find((field) => field.name === name);
}

function compileQuery(
  method: Method,
  body: HttpRoute["body"]["kind"],
  bound: readonly string[],
  context: RuleContext,
): HttpRoute["query"] {
  const { input } = method.desc;
  if (hasOption(method.desc, uploadOption) && getOption(method.desc, uploadOption)) {
    return compileQueryBinder(input, { bound, prefix: "metadata", ...context.query });
  }
  return body === "whole" ? undefined : compileQueryBinder(input, { bound, ...context.query });
}
