/** The contract that this program was built with, for commands that need it without a server. */
import { readFileSync } from "node:fs";
import { type Catalog, loadCatalog } from "#gateway/catalog/catalog.ts";
import type { Method } from "#rpc/method.ts";
import { nearest } from "#std/nearest.ts";
import { CommandError } from "./terminal.ts";

export function loadContract(): Catalog {
  return loadCatalog({
    descriptorSet: readFileSync(new URL("../gen/contract.binpb", import.meta.url)),
    policyRequired: ["portico."],
  });
}

/**
 * A method by its full name, by `Service/Method`, or by `Method` alone where only one service has it.
 * @throws CommandError 4 with the nearest name, 2 when the name is ambiguous.
 */
export function findMethod(catalog: Catalog, name: string): Method {
  const wanted = name.replace(/^\//, "");
  const all = [...catalog.methods.values()];
  const hits = all.filter(
    (method) =>
      method.name === wanted || method.name.endsWith(`.${wanted}`) || method.name.endsWith(`/${wanted}`),
  );
  const [hit, other] = hits;
  if (hit !== undefined && other === undefined) return hit;
  if (hit !== undefined)
    throw new CommandError(2, `"${name}" is ambiguous: ${hits.map((method) => method.name).join(", ")}`);
  const short = wanted.includes("/")
    ? all.map((method) => method.name)
    : all.map((method) => method.desc.name);
  throw new CommandError(
    4,
    `there is no method "${name}"; did you mean ${nearest(wanted, short)}? (portico routes lists them)`,
  );
}
