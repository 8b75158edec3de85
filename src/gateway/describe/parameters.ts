/** What a request is bound from besides its body: path, query and headers. */
import type { DescField } from "@bufbuild/protobuf";
import { type Catalog, type HttpRoute, requestHeaders } from "#gateway/catalog/catalog.ts";
import { FieldBehavior } from "#gen/google/api/field_behavior_pb.ts";
import { hasUnaryReply } from "#rpc/method.ts";
import { isSensitive } from "#rpc/redact.ts";
import { behaviours } from "./behaviours.ts";
import { exampleOfField, splitExample } from "./examples.ts";
import { takesIfMatch, takesIfNoneMatch } from "./responses.ts";
import { takesIdempotencyKey } from "./rest-headers.ts";
import type { Schema, Schemas } from "./schemas.ts";

export interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly required?: true;
  readonly description?: string;
  readonly schema: Schema;
  readonly example?: unknown;
}

/** A route, and what its path parameters are called, in template order. */
interface NamedRoute {
  readonly route: HttpRoute;
  readonly names: readonly string[];
}

/** `{name=shelves/*}` is a parameter like any other to OpenAPI. */
export function toPath(route: HttpRoute, names: readonly string[]): string {
  let index = 0;
  return route.template.replace(/\{[^}]*\}/g, () => `{${names[index++] ?? ""}}`);
}

/** The last part of each variable's path; the whole path, with underscores, where two end alike. */
export function parameterNames(route: HttpRoute): readonly string[] {
  const last = route.variables.map((variable) => variable.leaf.jsonName);
  return last.map((name, index) =>
    last.indexOf(name) === last.lastIndexOf(name)
      ? name
      : (route.variables[index]?.text.replaceAll(".", "_") ?? name),
  );
}

/** @param about.http of a request; absent: of a socket that is opened at the path. */
export function parameters(
  catalog: Catalog,
  schemas: Schemas,
  { route, names, http }: NamedRoute & { readonly http?: { readonly limited: boolean } },
): Parameter[] {
  const parameter = (field: DescField, name: string, where: Parameter["in"]): Parameter => ({
    name,
    in: where,
    ...(where === "path" || behaviours(field).includes(FieldBehavior.REQUIRED) ? { required: true } : {}),
    ...describedSchema(schemas.ofField(field)),
    ...exampleOfParameter(catalog, field),
  });
  const fromPath = route.variables.map((variable, index) =>
    parameter(variable.leaf, names[index] ?? variable.text, "path"),
  );
  const bound = new Set(route.variables.map((variable) => variable.text));
  const { fields } = route.method.input.desc;
  const fromHeaders = [
    ...requestHeaders(route.method.input.desc).map(({ field, spelling }) =>
      parameter(field, spelling, "header"),
    ),
    ...(takesIfMatch(route) ? [ifMatch] : []),
    ...(takesIfNoneMatch(route) ? [ifNoneMatch] : []),
    ...(http === undefined || route.rest?.wait === undefined ? [] : [prefer]),
    ...(http?.limited === true && takesIdempotencyKey(route) ? [idempotencyKey] : []),
  ];
  const layout = http !== undefined && hasJsonReply(route) ? [prettyPrint] : [];
  if (route.query === undefined) return [...fromPath, ...layout, ...fromHeaders];
  const body = route.body.kind === "field" ? route.body.field.name : undefined;
  const inQuery =
    optionsOfUpload(route) ??
    fields
      .filter((field) => field.name !== body && !bound.has(field.name))
      .map((field) => ({ name: field.jsonName, field }));
  const fromQuery = inQuery
    .filter(({ field }) => isQueryable(field) && !isSensitive(field))
    .map(({ name, field }) => parameter(field, name, "query"));
  return [...fromPath, ...fromQuery, ...layout, ...fromHeaders];
}

/** One JSON text, which can be laid out. */
function hasJsonReply({ method, rest }: HttpRoute): boolean {
  const { kind, output } = method;
  return hasUnaryReply(kind) && output.desc.typeName !== "google.api.HttpBody" && rest?.status !== 204;
}

const ifMatch: Parameter = {
  name: "If-Match",
  in: "header",
  description: "Refuse with 412 unless this is the current ETag.",
  schema: { type: "string" },
};
const ifNoneMatch: Parameter = {
  name: "If-None-Match",
  in: "header",
  description: "Answer 304 without a body if this is the current ETag.",
  schema: { type: "string" },
};

const idempotencyKey: Parameter = {
  name: "Idempotency-Key",
  in: "header",
  description: "Sent again with the same key within a day, the call is done once.",
  schema: { type: "string", minLength: 1, maxLength: 128, pattern: "^[!-~]+$" },
};

const prefer: Parameter = {
  name: "Prefer",
  in: "header",
  description: "`wait=10`: how long to wait at most, in seconds, for what is not there yet. The query wins.",
  schema: { type: "string" },
};

const prettyPrint: Parameter = {
  name: "$prettyPrint",
  in: "query",
  description: "Lays the JSON out for people.",
  schema: { type: "boolean" },
};

/** Only what the contract itself gives as an example: made-up values of optional parameters would mislead. */
function exampleOfParameter(catalog: Catalog, field: DescField): { example?: unknown } {
  const { example } = splitExample(catalog.commentOf(field));
  return example === undefined || example === "none"
    ? {}
    : { example: exampleOfField(catalog, field, "request") };
}

/** An upload's query, or its form before the file, names the fields of its metadata. */
export function optionsOfUpload(route: HttpRoute): { name: string; field: DescField }[] | undefined {
  if (route.body.kind !== "whole") return undefined;
  const metadata = route.method.input.desc.fields.find((field) => field.name === "metadata");
  if (metadata?.fieldKind !== "message") return [];
  return metadata.message.fields.map((field) => ({ name: `${metadata.jsonName}.${field.jsonName}`, field }));
}

/** Parameters carry their description beside their schema. */
function describedSchema(schema: Schema): Pick<Parameter, "description" | "schema"> {
  const { description, readOnly: _readOnly, ...rest } = schema;
  return { ...(typeof description === "string" ? { description } : {}), schema: rest };
}

export function isQueryable(field: DescField): boolean {
  if (field.fieldKind === "scalar" || field.fieldKind === "enum") return true;
  if (field.fieldKind === "message")
    return (
      field.message.typeName.startsWith("google.protobuf.") &&
      !/\.(Struct|Any|Value|ListValue)$/.test(field.message.typeName)
    );
  return field.fieldKind === "list" && field.listKind !== "message";
}
