/**
 * Values of an argument while people type: what its list names, or the values of its enum, that begin with what was typed.
 *
 * @see https://modelcontextprotocol.io/specification/2026-07-28/server/utilities/completion
 */
import type { DescField } from "@bufbuild/protobuf";
import type { ValueSource } from "#gateway/catalog/catalog.ts";
import { RpcError } from "#rpc/error.ts";
import { offersOf } from "./offers.ts";
import type { Use } from "./use.ts";
import { readValues } from "./values.ts";

export type Reference =
  | { readonly type: "ref/prompt"; readonly name: string }
  | { readonly type: "ref/resource"; readonly uri: string };

/** The protocol's own limit. */
const maxValues = 100;
const page = 500;
/** What is looked through for one key that somebody pressed. */
const maxPages = 2;

export async function complete(
  options: Use,
  reference: Reference,
  argument: { readonly name: string; readonly value: string },
): Promise<object> {
  const { field, sources } = argumentOf(options, reference, argument.name);
  const typed = argument.value.toLowerCase();
  const source = sources.get(field.name);
  const { values, all } =
    source === undefined ? { values: enumValues(field), all: true } : await listed(options, source);
  const found = values.filter((value) => value.toLowerCase().startsWith(typed));
  return {
    completion: {
      values: found.slice(0, maxValues),
      ...(all ? { total: found.length } : {}),
      hasMore: !all || found.length > maxValues,
    },
  };
}

async function listed(options: Use, source: ValueSource): Promise<{ values: string[]; all: boolean }> {
  const values: string[] = [];
  let token = "";
  for (let pages = 0; pages < maxPages; pages += 1) {
    const read = await readValues(options, source, { size: page, token });
    values.push(...read.values.map(({ value }) => value));
    token = read.next;
    if (token === "") return { values, all: true };
  }
  return { values, all: false };
}

function enumValues(field: DescField): string[] {
  return field.fieldKind === "enum" ? field.enum.values.map(({ name }) => name) : [];
}

/** @throws RpcError where nothing has this argument. */
function argumentOf(
  { runtime }: Use,
  reference: Reference,
  name: string,
): { readonly field: DescField; readonly sources: ReadonlyMap<string, ValueSource> } {
  const { prompts, resources } = offersOf(runtime);
  const offer =
    reference.type === "ref/prompt"
      ? prompts.get(reference.name)
      : resources.find(({ options }) => options.template.text === reference.uri);
  // Arguments of prompts have JSON's names, variables of addresses those of the contract.
  const field = offer?.method.input.desc.fields.find((one) => one.jsonName === name || one.name === name);
  if (offer !== undefined && field !== undefined) return { field, sources: offer.options.sources };
  throw new RpcError("invalid_argument", {
    reason: "FIELD_INVALID",
    message:
      `${reference.type === "ref/prompt" ? reference.name : reference.uri} has no argument ${name}`.slice(
        0,
        300,
      ),
  });
}
