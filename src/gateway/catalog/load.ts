/** From a FileDescriptorSet to a catalogue, or to everything that is wrong with it. */
import {
  createFileRegistry,
  type DescMethod,
  type DescService,
  type FileRegistry,
  getOption,
  hasOption,
} from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { type Codec, createCodec } from "#gateway/codec/codec.ts";
import { type Binding, createRouter, type Router } from "#gateway/router/router.ts";
import { http } from "#gen/google/api/annotations_pb.ts";
import {
  Plane as PlaneValue,
  policy as policyOption,
  upload as uploadOption,
} from "#gen/portico/options/v1/options_pb.ts";
import type { Method, MethodKind } from "#rpc/method.ts";
import { readDeadline, reportDeadlines } from "./deadlines.ts";
import { readDeprecation, reportDeprecations } from "./deprecation.ts";
import { type DescriptorFile, setOf, splitFiles } from "./descriptor-files.ts";
import { reportHeaderFields } from "./header-fields.ts";
import { compileRoutes } from "./http-rule.ts";
import { CatalogError, type CatalogProblem } from "./problems.ts";
import { compilePrompts } from "./prompts.ts";
import { compileResources } from "./resources.ts";
import { samplePath } from "./rest-plan.ts";
import { selectPolicies } from "./selectors.ts";
import type { AccessRule, Catalog, CatalogInput, HttpRoute, MethodOptions, Plane } from "./shape.ts";
import { SourceInfo } from "./source-info.ts";
import { readTool, reportTools } from "./tools.ts";

/** Field number of the `google.api.http` extension in MethodOptions. */
const httpOption = http.proto.number;

export function load(input: CatalogInput): Catalog {
  const { files, registry } = readSet(input.descriptorSet);
  const codec = createCodec(registry, input.codec);
  const source = new SourceInfo(files);
  const problems: CatalogProblem[] = [];
  const services = [...registry]
    .filter((desc): desc is DescService => desc.kind === "service")
    .sort((a, b) => (a.typeName < b.typeName ? -1 : 1));
  const methods = services.flatMap((service) => service.methods.map((desc) => compileMethod(desc, codec)));
  const report = (method: Method, message: string): void => {
    problems.push({
      file: `${method.desc.parent.file.name}.proto`,
      ...(source.positionOf(method.desc, httpOption) ?? source.positionOf(method.desc)),
      method: method.name,
      message,
    });
  };
  for (const method of methods)
    if (isSilent(method, input.policyRequired ?? []))
      report(
        method,
        "has no policy: say with (portico.options.v1.policy) which scopes let callers in, or that it is public",
      );
  reportTools(methods, report);
  reportDeadlines(methods, report);
  reportDeprecations(methods, report);
  reportHeaderFields(methods, (field, message) => {
    const file = `${field.parent.file.name}.proto`;
    problems.push({ file, ...source.positionOf(field), message: `${field.parent.typeName}: ${message}` });
  });
  const byPath = new Map(methods.map((method) => [method.path, method]));
  const resources = compileResources(byPath, report);
  const prompts = compilePrompts(byPath, report);
  const selection = selectPolicies(input.policies ?? [], methods, input.policyRequired ?? []);
  for (const message of selection.problems) problems.push({ file: "(policies)", message });
  const routes = methods.flatMap((method) =>
    compileRoutes(method, {
      query: input.query ?? {},
      report: (message) => report(method, message),
    }),
  );
  const { router, problems: routerProblems } = createRouter(routes.map(toBinding), {
    reserved: input.reservedPaths ?? [],
  });
  for (const problem of routerProblems)
    report((problem.binding as Binding<HttpRoute>).target.method, problem.message);
  for (const { method, template } of unreadable(routes, router)) {
    const message = `rest.location "${template}": nothing is there for GET; name the path of the method that reads it`;
    report(method, message);
  }
  if (problems.length > 0) throw new CatalogError(problems);
  const options = new Map(
    methods.map((method) => {
      const mcp = { resource: resources.get(method), prompt: prompts.get(method) };
      return [method, { ...readOptions(method.desc), ...mcp, ...selection.of(method) }];
    }),
  );
  return {
    registry,
    codec,
    services,
    methods: byPath,
    routes: routes.filter((route) => !route.default),
    match: router.match,
    optionsOf: (method) => options.get(method) ?? noOptions,
    commentOf: (desc) => source.commentOf(desc),
    files,
  };
}

/** What would be sent to a place where nothing can be read. */
function* unreadable(
  routes: readonly HttpRoute[],
  router: Router<HttpRoute>,
): Generator<{ readonly method: Method; readonly template: string }> {
  const seen = new Set<Method>();
  for (const { method, rest } of routes) {
    if (rest?.location === undefined || seen.has(method)) continue;
    seen.add(method);
    const { template } = rest.location;
    if (router.match("GET", samplePath(template)).kind !== "found") yield { method, template };
  }
}

/** Whether a method that has to say who may call it does not. */
function isSilent(method: Method, begins: readonly string[]): boolean {
  if (!begins.some((begin) => method.service.startsWith(begin))) return false;
  const access = readOptions(method.desc).access;
  return access === undefined || (!access.public && access.scopes.length === 0);
}

function readSet(bytes: Uint8Array): {
  readonly files: ReadonlyMap<string, DescriptorFile>;
  readonly registry: FileRegistry;
} {
  try {
    const files = splitFiles(bytes);
    return { files, registry: createFileRegistry(setOf(files)) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new CatalogError([
      {
        file: "(descriptor set)",
        message: `cannot be read: ${message}; build it with all imports, for example with buf build`,
      },
    ]);
  }
}

const kinds: Readonly<Record<DescMethod["methodKind"], MethodKind>> = {
  unary: "unary",
  server_streaming: "server_stream",
  client_streaming: "client_stream",
  bidi_streaming: "bidi_stream",
};

function compileMethod(desc: DescMethod, codec: Codec): Method {
  const service = desc.parent.typeName;
  return {
    name: `${service}/${desc.name}`,
    path: `/${service}/${desc.name}`,
    service,
    kind: kinds[desc.methodKind],
    desc,
    input: codec.typeOf(desc.input),
    output: codec.typeOf(desc.output),
    sideEffectFree: desc.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS,
  };
}

function toBinding(route: HttpRoute): Binding<HttpRoute> {
  return { httpMethod: route.httpMethod, template: route.template, target: route };
}

const noOptions: MethodOptions = {
  plane: undefined,
  access: undefined,
  rateCost: 1,
  audited: false,
  upload: false,
  deadline: { defaultMs: undefined, maximumMs: undefined },
  deprecation: undefined,
  tool: undefined,
  resource: undefined,
  prompt: undefined,
};

const planes: Readonly<Record<number, Plane>> = {
  [PlaneValue.DESIGN]: "design",
  [PlaneValue.RUNTIME]: "runtime",
  [PlaneValue.IDENTITY]: "identity",
  [PlaneValue.ADMIN]: "admin",
};

const everybody: AccessRule = { public: true, scopes: [], rule: "" };

/** Of contracts that are not ours to write in: probes have no credentials, and tools ask what there is before they show any. */
const wellKnownAccess: ReadonlyMap<string, AccessRule> = new Map([
  ["grpc.health.v1.Health", everybody],
  ["grpc.reflection.v1.ServerReflection", everybody],
  ["grpc.reflection.v1alpha.ServerReflection", everybody],
]);

function readOptions(desc: DescMethod): Omit<MethodOptions, "resource" | "prompt"> {
  const policy = hasOption(desc, policyOption) ? getOption(desc, policyOption) : undefined;
  return {
    plane: planes[policy?.plane ?? PlaneValue.PLANE_UNSPECIFIED],
    access:
      policy === undefined
        ? wellKnownAccess.get(desc.parent.typeName)
        : { public: policy.public, scopes: policy.scopes, rule: policy.rule },
    rateCost: Math.max(1, policy?.rateCost ?? 1),
    audited: policy?.audit === true,
    upload: hasOption(desc, uploadOption) && getOption(desc, uploadOption),
    deadline: readDeadline(desc),
    deprecation: readDeprecation(desc),
    tool: readTool(desc),
  };
}
