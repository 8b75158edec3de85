/** Headers that operations take and answer with besides those of their fields: what the contract's options and the gateway's policies add. */
import type { Catalog, HttpRoute } from "#gateway/catalog/catalog.ts";
import type { Schema, Schemas } from "./schemas.ts";

type Headers = Readonly<Record<string, Schema>>;

function header(description: string, schema: Schema = { type: "string" }): Schema {
  return { description, schema };
}

export const requestId: Schema = header(
  "The request's id: the client's own, or one made here. It is in every log line.",
);
export const etag: Schema = header("The version of what was answered.");

/** Of every answer where callers have a rate. */
export const rateLimit: Headers = {
  RateLimit: header("What is left of the caller's rate, and when it is whole again."),
  "RateLimit-Policy": header("The caller's rate."),
};
export const retryAfter: Headers = {
  "Retry-After": header("When to try again, in seconds.", { type: "integer", minimum: 1 }),
};

/** Of a successful answer, as the contract has it. */
export function plannedHeaders(route: HttpRoute, schemas: Schemas): Headers {
  const { rest } = route;
  if (rest === undefined) return {};
  return {
    ...(rest.location === undefined ? {} : { Location: header("Where it is read.", uri) }),
    ...(rest.nextPage === undefined
      ? {}
      : { Link: header('`rel="next"`: the same request for the next page; absent on the last one.') }),
    ...(rest.wait === undefined
      ? {}
      : { "Preference-Applied": header("The wait of `Prefer`, where it decided.") }),
    ...Object.fromEntries(
      rest.headers.map(({ spelling, field }) => {
        const { description, readOnly: _readOnly, ...schema } = schemas.ofField(field);
        // A Timestamp is HTTP's date there.
        const date = field.fieldKind === "message";
        return [spelling, header(`${description ?? field.jsonName}`, date ? { type: "string" } : schema)];
      }),
    ),
  };
}

const uri: Schema = { type: "string", format: "uri" };

/** Of every answer of a method that is deprecated. */
export function deprecationHeaders(catalog: Catalog, { method }: HttpRoute): Headers {
  const notice = catalog.optionsOf(method).deprecation;
  if (notice === undefined) return {};
  const names = new Set(notice.headers.map(([name]) => name));
  return {
    Deprecation: header("Since when it is not to be used any more: `@` and seconds since 1970."),
    ...(names.has("sunset") ? { Sunset: header("Until when it is there.") } : {}),
    ...(names.has("link") ? { Link: header("Where to read more.") } : {}),
  };
}

/** What a call can be done once with: everything that changes something and has one request. */
export function takesIdempotencyKey({ method }: HttpRoute): boolean {
  return method.kind === "unary" && !method.sideEffectFree;
}

export const idempotentReplayed: Headers = {
  "Idempotent-Replayed": header("`true`: it was done before, and this is the answer of then."),
};
