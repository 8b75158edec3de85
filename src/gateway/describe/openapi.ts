/**
 * OpenAPI 3.1 from the catalogue's annotated bindings.
 *
 * @see https://spec.openapis.org/oas/v3.1.1.html
 */
import type { DescField, DescMessage, DescService } from "@bufbuild/protobuf";
import type { Catalog, HttpRoute } from "#gateway/catalog/catalog.ts";
import { StatusSchema } from "#gen/google/rpc/status_pb.ts";
import { hasUnaryRequest } from "#rpc/method.ts";
import { type Answer, type Content, errorResponses, problemSchema } from "./error-answers.ts";
import { exampleOfField, exampleOfMessage } from "./examples.ts";
import {
  isQueryable,
  optionsOfUpload,
  type Parameter,
  parameterNames,
  parameters,
  toPath,
} from "./parameters.ts";
import { binary, type Reference, responses } from "./responses.ts";
import { type Schema, Schemas } from "./schemas.ts";

export interface OpenApiDocument {
  readonly openapi: "3.1.0";
  readonly info: Schema;
  readonly servers: readonly { readonly url: string }[];
  readonly security: readonly Schema[];
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  /** By path, then by HTTP method in lower case. */
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, Schema>>;
    readonly responses: Readonly<Record<string, Answer>>;
    readonly securitySchemes?: Readonly<Record<string, Schema>>;
  };
}

export interface Operation {
  readonly operationId: string;
  /** The service's name. */
  readonly tags: readonly [string];
  readonly summary: string;
  readonly description: string;
  /** Full name of the gRPC method behind it, `package.Service/Method`. */
  readonly "x-grpc-method": string;
  readonly deprecated?: true;
  /** Any of these is enough; "self": anybody, for themselves. Absent: nothing is asked for. */
  readonly "x-required-scopes"?: readonly string[];
  /** Empty: no credential. */
  readonly security?: readonly Schema[];
  readonly parameters: readonly Parameter[];
  readonly requestBody?: { readonly required: true; readonly content: Content };
  /** By status, or `default`. */
  readonly responses: Readonly<Record<string, Answer | Reference>>;
}

export interface OpenApiOptions {
  readonly serverUrl: string;
  readonly version: string;
  /** Whether callers have to show who they are. */
  readonly authentication: boolean;
  /** Full name of the only service to describe; absent: all that have bindings. */
  readonly service?: string;
}

export function describeOpenApi(catalog: Catalog, options: OpenApiOptions): OpenApiDocument {
  const schemas = new Schemas(catalog);
  const routes = catalog.routes.filter(
    (route) => options.service === undefined || route.method.service === options.service,
  );
  const paths: Record<string, Record<string, Operation>> = {};
  const seen = new Map<string, number>();
  const shapes = new Map<string, readonly string[]>();
  for (const route of routes) {
    // Two templates that differ in their variables' names alone are one path to OpenAPI: the first one's names stand.
    const shape = route.template.replace(/\{[^}]*\}/g, "{}");
    const names = shapes.get(shape) ?? parameterNames(route);
    shapes.set(shape, names);
    const path = toPath(route, names);
    const count = (seen.get(route.method.name) ?? 0) + 1;
    seen.set(route.method.name, count);
    const item = paths[path] ?? {};
    item[route.httpMethod.toLowerCase()] = operation(catalog, schemas, {
      route,
      names,
      suffix: count === 1 ? "" : `_${count}`,
      authentication: options.authentication,
    });
    paths[path] = item;
  }
  const services = catalog.services.filter((service) =>
    routes.some((route) => route.method.service === service.typeName),
  );
  schemas.ofMessage(statusOf(catalog));
  return {
    openapi: "3.1.0",
    info: {
      title: "Portico",
      version: options.version,
      description:
        "Everything that is served over REST. The same methods are served over gRPC; reflection is on.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
      contact: { name: "The operators of this installation", url: options.serverUrl },
    },
    servers: [{ url: options.serverUrl }],
    security: options.authentication ? anyCredential : [],
    tags: services.map((service) => ({
      name: service.name,
      description: catalog.commentOf(service) || service.typeName,
    })),
    paths,
    components: {
      schemas: { ...schemas.all(), Problem: problemSchema },
      responses: errorResponses(),
      ...(options.authentication ? { securitySchemes: securitySchemes(catalog, options.serverUrl) } : {}),
    },
  };
}

function securitySchemes(catalog: Catalog, serverUrl: string): Readonly<Record<string, Schema>> {
  const asked = [...catalog.methods.values()].flatMap(
    (method) => catalog.optionsOf(method).access?.scopes ?? [],
  );
  const names = [...new Set(asked)].filter((scope) => scope !== "self").sort();
  const scopes = Object.fromEntries(names.map((scope) => [scope, `Methods that ask for ${scope}.`]));
  const tokenUrl = `${serverUrl}/oauth2/token`;
  return {
    bearer: {
      type: "http",
      scheme: "bearer",
      description: "An access token, or an API key.",
    },
    apiKey: { type: "apiKey", in: "header", name: "X-API-Key", description: "An API key." },
    oauth2: {
      type: "oauth2",
      description:
        "Registered clients: people by authorization code with PKCE, services by client credentials.",
      flows: {
        authorizationCode: { authorizationUrl: `${serverUrl}/oauth2/authorize`, tokenUrl, scopes },
        clientCredentials: { tokenUrl, scopes },
      },
    },
  };
}
const anyCredential: readonly Schema[] = [{ bearer: [] }, { apiKey: [] }, { oauth2: [] }];

/** What the contract asks of callers; what it does not mention is for administrators. */
function access(catalog: Catalog, route: HttpRoute): Pick<Operation, "security" | "x-required-scopes"> {
  const rule = catalog.optionsOf(route.method).access;
  if (rule?.public === true) return { security: [] };
  const scopes = rule?.scopes ?? [];
  return { "x-required-scopes": scopes.length === 0 ? ["*"] : scopes };
}

/** The contract's own, where it has one: errors are answered in this shape whether or not somebody's protos import it. */
function statusOf(catalog: Catalog): DescMessage {
  return catalog.registry.getMessage("google.rpc.Status") ?? StatusSchema;
}

interface OperationOptions {
  readonly route: HttpRoute;
  /** Of the path parameters, in template order. */
  readonly names: readonly string[];
  readonly suffix: string;
  readonly authentication: boolean;
}

function operation(catalog: Catalog, schemas: Schemas, options: OperationOptions): Operation {
  const { route, suffix, authentication } = options;
  const { method } = route;
  const comment = catalog.commentOf(method.desc) || method.desc.name;
  const service: DescService = method.desc.parent;
  const body = requestBody(catalog, schemas, route);
  return {
    operationId: `${service.name}_${method.desc.name}${suffix}`,
    tags: [service.name],
    summary: (comment.split(/(?<=[.!?])\s/, 1)[0] ?? comment).replace(/\n/g, " ").slice(0, 120),
    description: comment,
    "x-grpc-method": method.name,
    ...(authentication ? access(catalog, route) : {}),
    ...(method.desc.deprecated ? { deprecated: true as const } : {}),
    parameters: parameters(catalog, schemas, { ...options, http: { limited: authentication } }),
    ...(body === undefined ? {} : { requestBody: body }),
    responses: responses(catalog, schemas, {
      route,
      limited: authentication,
      authenticated: authentication && catalog.optionsOf(method).access?.public !== true,
    }),
  };
}

function requestBody(catalog: Catalog, schemas: Schemas, route: HttpRoute): Operation["requestBody"] {
  if (route.body.kind === "none") return undefined;
  if (route.query !== undefined && route.body.kind === "whole")
    return {
      required: true,
      content: {
        "application/octet-stream": { schema: binary },
        "application/xml": { schema: binary },
        "multipart/form-data": { schema: formOf(schemas, route) },
      },
    };
  const [schema, example] =
    route.body.kind === "field"
      ? [fieldBody(schemas, route, route.body.field), exampleOfField(catalog, route.body.field, "request")]
      : wholeBody(catalog, schemas, route);
  // A client's stream: a message a line, or one array of them.
  if (!hasUnaryRequest(route.method.kind))
    return {
      required: true,
      content: {
        "application/x-ndjson": { schema, example },
        "application/json": { schema: { type: "array", items: schema }, example: [example] },
      },
    };
  return { required: true, content: { "application/json": { schema, example } } };
}

function fieldBody(schemas: Schemas, route: HttpRoute, field: DescField): Schema {
  const partial = route.httpMethod === "PATCH" && field.fieldKind === "message";
  return partial ? schemas.ofPatch(field.message) : schemas.ofField(field);
}

/** The metadata's fields, then the file. */
function formOf(schemas: Schemas, route: HttpRoute): Schema {
  const fields = (optionsOfUpload(route) ?? []).filter(({ field }) => isQueryable(field));
  const properties = fields.map(({ name, field }) => [name, schemas.ofField(field)] as const);
  return {
    type: "object",
    properties: { ...Object.fromEntries(properties), file: binary },
    required: ["file"],
    additionalProperties: false,
  };
}

/** What the path gives is not asked for again: another value in the body would be refused. */
function wholeBody(catalog: Catalog, schemas: Schemas, route: HttpRoute): readonly [Schema, unknown] {
  const { desc } = route.method.input;
  const inPath = new Set(route.variables.map(({ text }) => text));
  const example = exampleOfMessage(catalog, desc, "request");
  const asked = desc.fields.filter((field) => !inPath.has(field.name)).map((field) => field.jsonName);
  const entries = Object.entries(example as Record<string, unknown>);
  return [
    schemas.ofBody(desc, inPath),
    inPath.size === 0 ? example : Object.fromEntries(entries.filter(([name]) => asked.includes(name))),
  ];
}
