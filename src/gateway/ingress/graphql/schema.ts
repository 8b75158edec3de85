/**
 * The catalogue as a GraphQL schema: methods without side effects are queries, other unary ones mutations, server streams subscriptions. A
 * method that takes a stream has no form in GraphQL. The request's fields are the arguments.
 */
import {
  GraphQLBoolean,
  type GraphQLFieldConfig,
  GraphQLNonNull,
  GraphQLObjectType,
  GraphQLSchema,
} from "graphql";
import type { Catalog } from "#gateway/catalog/catalog.ts";
import { hasUnaryReply, hasUnaryRequest, type Method } from "#rpc/method.ts";
import { joinsOf } from "./joins.ts";
import type { Operation } from "./operation.ts";
import { Types } from "./types.ts";
import { toProtoJson } from "./values.ts";

type Field = GraphQLFieldConfig<unknown, Operation, Record<string, unknown>>;

export function createSchema(catalog: Catalog): GraphQLSchema {
  const types = new Types(catalog, joinsOf(catalog));
  const roots: Record<"Query" | "Mutation" | "Subscription", Record<string, Field>> = {
    Query: {},
    Mutation: {},
    Subscription: {},
  };
  const methods = [...catalog.methods.values()].filter(
    ({ kind, service }) => hasUnaryRequest(kind) && !service.startsWith("grpc."),
  );
  for (const method of methods) {
    const root = hasUnaryReply(method.kind) ? (method.sideEffectFree ? "Query" : "Mutation") : "Subscription";
    roots[root][nameOf(method, methods)] = fieldOf(catalog, types, method);
  }
  // A schema has a query, whatever the contract has.
  if (Object.keys(roots.Query).length === 0) roots.Query._empty = { type: GraphQLBoolean };
  const rootType = (name: keyof typeof roots): GraphQLObjectType | undefined =>
    Object.keys(roots[name]).length === 0 ? undefined : new GraphQLObjectType({ name, fields: roots[name] });
  return new GraphQLSchema({
    query: rootType("Query") as GraphQLObjectType,
    mutation: rootType("Mutation"),
    subscription: rootType("Subscription"),
  });
}

/** `getUser`; where two services have it, `UserService_getUser`. */
function nameOf(method: Method, all: readonly Method[]): string {
  const { name, parent } = method.desc;
  const plain = name.slice(0, 1).toLowerCase() + name.slice(1);
  const isUnique = all.filter((other) => other.desc.name === name).length === 1;
  if (isUnique) return plain;
  const isServiceUnique =
    all.filter(({ desc }) => desc.parent.name === parent.name && desc.name === name).length === 1;
  return isServiceUnique ? `${parent.name}_${plain}` : `${parent.typeName.replaceAll(".", "_")}_${plain}`;
}

function fieldOf(catalog: Catalog, types: Types, method: Method): Field {
  const answer = types.answer(method.output.desc);
  const about: Omit<Field, "type"> = {
    description: catalog.commentOf(method.desc) || null,
    args: types.inputFields(method.input.desc),
    deprecationReason: method.desc.deprecated ? "Its contract says so." : null,
    extensions: { method, cost: catalog.optionsOf(method).rateCost },
  };
  const request = (args: Record<string, unknown>): unknown => toProtoJson(method.input.desc, args);
  if (hasUnaryReply(method.kind))
    return {
      ...about,
      // Each method fails on its own: what the others did is told.
      type: answer,
      resolve: (_source, args, operation, { path }) =>
        operation.unary(method, request(args), String(path.key)),
    };
  return {
    ...about,
    type: new GraphQLNonNull(answer),
    subscribe: (_source, args, operation) => operation.stream(method, request(args)),
    resolve: (message) => message,
  };
}
