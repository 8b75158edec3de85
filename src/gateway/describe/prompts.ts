/**
 * Methods as prompts of the Model Context Protocol.
 *
 * @see https://modelcontextprotocol.io/specification/2026-07-28/server/prompts
 */
import type { Catalog } from "#gateway/catalog/catalog.ts";
import { FieldBehavior } from "#gen/google/api/field_behavior_pb.ts";
import type { Method } from "#rpc/method.ts";
import { behaviours } from "./behaviours.ts";
import { splitExample } from "./examples.ts";

export interface Prompt {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly arguments: readonly {
    /** As in JSON. */
    readonly name: string;
    readonly description: string;
    readonly required: boolean;
  }[];
}

/** @returns undefined where the method's contract does not make it one. */
export function describePrompt(catalog: Catalog, method: Method): Prompt | undefined {
  const options = catalog.optionsOf(method).prompt;
  if (options === undefined) return undefined;
  return {
    name: options.name,
    title: options.title,
    description: splitExample(catalog.commentOf(method.desc)).text || options.title,
    arguments: method.input.desc.fields.map((field) => ({
      name: field.jsonName,
      description: splitExample(catalog.commentOf(field)).text,
      required: behaviours(field).includes(FieldBehavior.REQUIRED),
    })),
  };
}
