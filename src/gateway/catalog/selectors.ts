/**
 * Policies that an operator writes for contracts of others: by selector, `shop.v1.Orders.Cancel`, `shop.v1.Orders.*`, `shop.*` or `*`; of
 * several that fit a method the most specific one wins, as in Google's service configuration.
 */
import type { Method } from "#rpc/method.ts";
import { nearest } from "#std/nearest.ts";
import type { MethodOptions, SelectedPolicy } from "./shape.ts";

export interface Selection {
  /** The policy of a method; undefined: none is for it. */
  of(method: Method): Pick<MethodOptions, "access" | "rateCost" | "audited"> | undefined;
  /** What is wrong with selectors, one line each. */
  readonly problems: readonly string[];
}

/** @param ours beginnings of service names whose contract has their policies. */
export function selectPolicies(
  policies: readonly SelectedPolicy[],
  methods: readonly Method[],
  ours: readonly string[],
): Selection {
  const isOurs = (method: Method): boolean => ours.some((begin) => method.service.startsWith(begin));
  const foreign = methods.filter((method) => !isOurs(method));
  // The longest first: of those that fit one name, it says most.
  const inOrder = [...policies].sort((a, b) => b.selector.length - a.selector.length);
  const problems = policies.flatMap(({ selector }, index) => {
    const where = `the policy for "${selector}"`;
    if (policies.findIndex((other) => other.selector === selector) !== index)
      return [`${where} is given twice`];
    if (foreign.some((method) => fits(selector, method))) return [];
    if (methods.some((method) => fits(selector, method)))
      return [`${where} is for methods whose contract has one; a policy there is changed in the contract`];
    const names = foreign.flatMap(({ service, desc }) => [`${service}.${desc.name}`, `${service}.*`]);
    return [`${where} fits no method; did you mean ${nearest(selector, names) ?? "another"}?`];
  });
  return {
    problems,
    of: (method) => {
      if (isOurs(method)) return undefined;
      const found = inOrder.find(({ selector }) => fits(selector, method));
      return (
        found && {
          access: { public: found.public === true, scopes: found.scopes ?? [], rule: found.rule ?? "" },
          rateCost: found.rateCost ?? 1,
          audited: found.audit === true,
        }
      );
    },
  };
}

function fits(selector: string, { service, desc }: Method): boolean {
  const name = `${service}.${desc.name}`;
  if (selector === "*" || selector === name) return true;
  return selector.endsWith(".*") && name.startsWith(selector.slice(0, -1));
}
