/**
 * What a method's REST answers have beside their body, made once at load: status, `Location`, headers from fields, the link to the next
 * page, and the field that `Prefer: wait` fills.
 */
import { type DescField, getOption, hasOption, ScalarType } from "@bufbuild/protobuf";
import { compileFieldPath } from "#gateway/codec/field-path.ts";
import { parseTemplate, TemplateError } from "#gateway/router/router.ts";
import { type Rest, rest as restOption } from "#gen/portico/options/v1/options_pb.ts";
import { hasUnaryReply, type Method } from "#rpc/method.ts";
import { type AnswerHeader, answerHeaders } from "./header-fields.ts";

/** Absent from a route whose answers are 200 with a body and nothing else. */
export interface RestPlan {
  /** Of an answer that is no error. 204 has no body. */
  readonly status: number;
  /** The path of what was made, from the answer; undefined where the answer does not say. */
  readonly location: PathWriter | undefined;
  readonly headers: readonly AnswerHeader[];
  readonly nextPage: NextPage | undefined;
  /** The google.protobuf.Duration that `Prefer: wait` fills. */
  readonly wait: DescField | undefined;
  /** The request's `validate_only` (AIP-163): where it is true nothing was made, and the status is 200. */
  readonly validateOnly: DescField | undefined;
}

export interface PathWriter {
  readonly template: string;
  pathOf(message: unknown): string | undefined;
}

/** A page's token, and the parameters that take it (AIP-158). */
export interface NextPage {
  readonly token: DescField;
  readonly parameters: readonly string[];
}

const statuses: readonly number[] = [200, 201, 202, 203, 204, 207];

/** What the method says for all its bindings; undefined: nothing. */
export interface MethodPlan extends Omit<RestPlan, "nextPage"> {}

export function compileMethodPlan(method: Method, report: (message: string) => void): MethodPlan {
  const option = hasOption(method.desc, restOption) ? getOption(method.desc, restOption) : undefined;
  const { input, output } = method.desc;
  return {
    status: option === undefined ? 200 : readStatus(method, option, report),
    location: option === undefined ? undefined : readLocation(method, option, report),
    wait: option === undefined ? undefined : readWait(method, option, report),
    headers: answerHeaders(output),
    validateOnly: input.fields.find(
      (field) =>
        field.name === "validate_only" && field.fieldKind === "scalar" && field.scalar === ScalarType.BOOL,
    ),
  };
}

function readStatus(method: Method, { status }: Rest, report: (message: string) => void): number {
  if (status === 0) return 200;
  if (!statuses.includes(status)) report(`rest.status ${status}: an answer can be ${statuses.join(", ")}`);
  else if (status !== 200 && !hasUnaryReply(method.kind))
    report(`rest.status ${status}: the method answers with a stream, which is 200`);
  else if (status !== 200 && method.output.desc.typeName === "google.api.HttpBody")
    report(`rest.status ${status}: the method answers with a file, which is 200, or 206 for a part of it`);
  else if (status === 204 && method.output.desc.fields.length > 0)
    report(
      `rest.status 204: ${method.output.desc.typeName} has fields, and this status has no body for them`,
    );
  return status;
}

function readLocation(
  method: Method,
  { location, status }: Rest,
  report: (message: string) => void,
): PathWriter | undefined {
  if (location === "") return undefined;
  const where = `rest.location "${location}"`;
  if (status !== 201 && status !== 202) report(`${where}: is for status 201 and 202`);
  try {
    parseTemplate(location);
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    report(`${where}: column ${error.column}: ${error.message}`);
    return undefined;
  }
  const pieces: ((message: unknown) => string | undefined)[] = [];
  for (const part of location.split(/(\{[^}]*\})/)) {
    const [, name, pattern] = /^\{([^}=]*)(=[^}]*)?\}$/.exec(part) ?? [];
    if (name === undefined) {
      pieces.push(() => part);
      continue;
    }
    const path = compileFieldPath(method.output.desc, name);
    if ("problem" in path) report(`${where}: ${path.problem}`);
    else if (path.leaf.fieldKind !== "scalar")
      report(`${where}: "${name}" is not one scalar, which is all that a path can carry`);
    else pieces.push((message) => encoded(path.get(message as never), pattern !== undefined));
  }
  return {
    template: location,
    pathOf: (message) => {
      const texts = pieces.map((piece) => piece(message));
      return texts.includes(undefined) ? undefined : texts.join("");
    },
  };
}

/** @param slashes whether the value is a name of several segments. */
function encoded(value: unknown, slashes: boolean): string | undefined {
  const text = value === undefined ? "" : String(value).toWellFormed();
  if (text === "") return undefined;
  return slashes ? text.split("/").map(encodeURIComponent).join("/") : encodeURIComponent(text);
}

function readWait(method: Method, { wait }: Rest, report: (message: string) => void): DescField | undefined {
  if (wait === "") return undefined;
  const field = method.desc.input.fields.find(({ name }) => name === wait);
  if (field?.fieldKind === "message" && field.message.typeName === "google.protobuf.Duration") return field;
  report(
    `rest.wait "${wait}": ${method.desc.input.typeName} has no field of that name and of type google.protobuf.Duration`,
  );
  return undefined;
}

/** A path that a `Location` of this template may be: to see whether anything is there. */
export function samplePath(template: string): string {
  return template.replace(/\{[^}=]*(?:=([^}]*))?\}/g, (_all, pattern = "*") =>
    String(pattern).replaceAll(/\*+/g, "x"),
  );
}

/** What of a route its answers depend on. */
interface PlannedRoute {
  readonly method: Method;
  readonly httpMethod: string;
  /** Undefined: no parameters. */
  readonly query: object | undefined;
}

/** Undefined: answers of the route are 200 with a body and nothing else. */
export function planOf(plan: MethodPlan, route: PlannedRoute): RestPlan | undefined {
  const nextPage = readNextPage(route);
  const { status, location, headers, wait } = plan;
  if (
    status === 200 &&
    location === undefined &&
    headers.length === 0 &&
    wait === undefined &&
    nextPage === undefined
  )
    return undefined;
  return { ...plan, nextPage };
}

function readNextPage({ method, httpMethod, query }: PlannedRoute): NextPage | undefined {
  if (httpMethod !== "GET" || query === undefined || method.kind !== "unary") return undefined;
  const token = textField(method.desc.output.fields, "next_page_token");
  const parameter = textField(method.desc.input.fields, "page_token");
  return token && parameter && { token, parameters: [parameter.jsonName, parameter.name] };
}

function textField(fields: readonly DescField[], name: string): DescField | undefined {
  return fields.find(
    (field) => field.name === name && field.fieldKind === "scalar" && field.scalar === ScalarType.STRING,
  );
}
