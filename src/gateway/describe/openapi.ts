/**
 * OpenAPI 3.1 from the catalogue's annotated bindings.
 *
 * @see https://spec.openapis.org/oas/v3.1.1.html
 */
import { type DescField, type DescMessage, type DescService, getOption, hasOption } from "@bufbuild/protobuf";
import type { Catalog, HttpRoute } from "#gateway/catalog/catalog.ts";
import { FieldBehavior } from "#gen/google/api/field_behavior_pb.ts";
import { header as headerOption } from "#gen/portico/options/v1/options_pb.ts";
import { hasUnaryReply } from "#rpc/method.ts";
import { behaviours, type Schema, Schemas } from "./schemas.ts";

export interface OpenApiDocument {
  readonly openapi: "3.1.0";
  readonly paths: Readonly<Record<string, Readonly<Record<string, Schema>>>>;
  readonly [member: string]: unknown;
}

export interface OpenApiOptions {
  readonly serverUrl: string;
  readonly version: string;
  /** Full name of the only service to describe; absent: all that have bindings. */
  readonly service?: string;
}

const httpBody = "google.api.HttpBody";
const binary: Schema = { type: "string", format: "binary" };

export function describeOpenApi(catalog: Catalog, options: OpenApiOptions): OpenApiDocument {
  const schemas = new Schemas(catalog);
  const routes = catalog.routes.filter(
    (route) => options.service === undefined || route.method.service === options.service,
  );
  const paths: Record<string, Record<string, Schema>> = {};
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
    security: [],
    tags: services.map((service) => ({
      name: service.name,
      description: catalog.commentOf(service) || service.typeName,
    })),
    paths,
    components: { schemas: schemas.all(), responses: { Error: errorResponse } },
  };
}

function statusOf(catalog: Catalog): DescMessage {
  const desc = catalog.registry.getMessage("google.rpc.Status");
  if (desc === undefined) throw new Error("the descriptor set lacks google/rpc/status.proto");
  return desc;
}

const errorResponse = {
  description: "An error: a code, a message for people, and details of which the first names the reason.",
  content: {
    "application/json": { schema: { $ref: "#/components/schemas/google.rpc.Status" } },
    "application/problem+json": { schema: { type: "object" } },
  },
};

/** `{name=shelves/*}` is a parameter like any other to OpenAPI. */
function toPath(route: HttpRoute, names: readonly string[]): string {
  let index = 0;
  return route.template.replace(/\{[^}]*\}/g, () => `{${names[index++] ?? ""}}`);
}

/** The last part of each variable's path; the whole path, with underscores, where two end alike. */
function parameterNames(route: HttpRoute): readonly string[] {
  const last = route.variables.map((variable) => variable.leaf.jsonName);
  return last.map((name, index) =>
    last.indexOf(name) === last.lastIndexOf(name)
      ? name
      : (route.variables[index]?.text.replaceAll(".", "_") ?? name),
  );
}

interface OperationOptions {
  readonly route: HttpRoute;
  /** Of the path parameters, in template order. */
  readonly names: readonly string[];
  readonly suffix: string;
}

function operation(catalog: Catalog, schemas: Schemas, { route, names, suffix }: OperationOptions): Schema {
  const { method } = route;
  const comment = catalog.commentOf(method.desc) || method.desc.name;
  const service: DescService = method.desc.parent;
  const body = requestBody(catalog, schemas, route);
  return {
    operationId: `${service.name}_${method.desc.name}${suffix}`,
    tags: [service.name],
    summary: (comment.split(/(?<=[.!?])\s/, 1)[0] ?? comment).replace(/\n/g, " ").slice(0, 120),
    description: comment,
    parameters: parameters(schemas, route, names),
    ...(body === undefined ? {} : { requestBody: body }),
    responses: responses(schemas, route),
  };
}

function parameters(schemas: Schemas, route: HttpRoute, names: readonly string[]): Schema[] {
  const fromPath = route.variables.map((variable, index) => ({
    name: names[index] ?? variable.text,
    in: "path",
    required: true,
    ...describedSchema(schemas.ofField(variable.leaf)),
  }));
  const bound = new Set(route.variables.map((variable) => variable.text));
  const { fields } = route.method.input.desc;
  const fromHeaders = fields
    .filter((field) => hasOption(field, headerOption))
    .map((field) => ({
      name: getOption(field, headerOption),
      in: "header",
      ...describedSchema(schemas.ofField(field)),
    }));
  if (route.query === undefined) return [...fromPath, ...fromHeaders];
  const body = route.body.kind === "field" ? route.body.field.name : undefined;
  const inQuery =
    optionsOfUpload(route) ??
    fields
      .filter((field) => field.name !== body && !bound.has(field.name))
      .map((field) => ({ name: field.jsonName, field }));
  const fromQuery = inQuery
    .filter(({ field }) => isQueryable(field))
    .map(({ name, field }) => ({
      name,
      in: "query",
      ...requiredOf(field),
      ...describedSchema(schemas.ofField(field)),
    }));
  return [...fromPath, ...fromQuery, ...fromHeaders];
}

/** An upload's query names the fields of its metadata. */
function optionsOfUpload(route: HttpRoute): { name: string; field: DescField }[] | undefined {
  if (route.body.kind !== "whole") return undefined;
  const metadata = route.method.input.desc.fields.find((field) => field.name === "metadata");
  if (metadata?.fieldKind !== "message") return [];
  return metadata.message.fields.map((field) => ({ name: `${metadata.jsonName}.${field.jsonName}`, field }));
}

function requiredOf(field: DescField): Schema {
  return behaviours(field).includes(FieldBehavior.REQUIRED) ? { required: true } : {};
}

/** Parameters carry their description beside their schema. */
function describedSchema(schema: Schema): Schema {
  const { description, readOnly: _readOnly, ...rest } = schema;
  return { ...(description === undefined ? {} : { description }), schema: rest };
}

function isQueryable(field: DescField): boolean {
  if (field.fieldKind === "scalar" || field.fieldKind === "enum") return true;
  if (field.fieldKind === "message")
    return (
      field.message.typeName.startsWith("google.protobuf.") &&
      !/\.(Struct|Any|Value|ListValue)$/.test(field.message.typeName)
    );
  return field.fieldKind === "list" && field.listKind !== "message";
}

function requestBody(_catalog: Catalog, schemas: Schemas, route: HttpRoute): Schema | undefined {
  if (route.body.kind === "none") return undefined;
  if (route.query !== undefined && route.body.kind === "whole")
    return {
      required: true,
      content: { "application/octet-stream": { schema: binary }, "application/xml": { schema: binary } },
    };
  const schema =
    route.body.kind === "field"
      ? schemas.ofField(route.body.field)
      : schemas.ofMessage(route.method.input.desc);
  return { required: true, content: { "application/json": { schema } } };
}

function responses(schemas: Schemas, route: HttpRoute): Schema {
  const { output, kind } = route.method;
  const error = { $ref: "#/components/responses/Error" };
  if (output.desc.typeName === httpBody) {
    const content = { "*/*": { schema: binary } };
    return {
      "200": { description: "The content.", content },
      "206": { description: "The part that Range asks for.", content },
      "4XX": error,
      "5XX": error,
    };
  }
  const schema =
    route.responseBody === undefined ? schemas.ofMessage(output.desc) : schemas.ofField(route.responseBody);
  if (!hasUnaryReply(kind)) {
    const line = {
      type: "object",
      properties: { result: schema, error: { $ref: "#/components/schemas/google.rpc.Status" } },
    };
    return {
      "200": {
        description: "One JSON object a line.",
        content: { "application/x-ndjson": { schema: line } },
      },
      "4XX": error,
      "5XX": error,
    };
  }
  return {
    "200": { description: "The answer.", content: { "application/json": { schema } } },
    "4XX": error,
    "5XX": error,
  };
}
