/**
 * Rules beyond scopes: a CEL expression in the contract over `principal` and `request`. True lets the call pass; false, an error and
 * anything else is a refusal.
 *
 *     principal.name    users/ana      principal.tenant    default
 *     principal.scopes  list of texts  principal.credential  sessions/…, apiKeys/…
 *     request           the message of the call
 *
 * @see https://github.com/google/cel-spec
 */

import { celEnv, parse, plan } from "@bufbuild/cel";
import type { Message, Registry } from "@bufbuild/protobuf";
import type { Call, UnaryCall } from "#rpc/call.ts";
import { hasUnaryRequest, type Method } from "#rpc/method.ts";
import type { Principal } from "#rpc/principal.ts";

/** @throws Error naming the method, when the expression is none. */
export function compileRule(method: Method, expression: string, registry: Registry): (call: Call) => boolean {
  if (!hasUnaryRequest(method.kind))
    throw new Error(`${method.name}: a rule needs one request, and this method takes a stream of them`);
  const evaluate = planOf(method, expression, registry);
  return (call) => {
    try {
      return (
        evaluate({ principal: factsOf(call.principal), request: (call as UnaryCall).request.message() }) ===
        true
      );
    } catch {
      // An expression that fails has not said yes. The message is read again by the handler, which says what is wrong with it.
      return false;
    }
  };
}

type Evaluate = (facts: { readonly principal: Map<string, unknown>; readonly request: Message }) => unknown;

function planOf(method: Method, expression: string, registry: Registry): Evaluate {
  try {
    return plan(celEnv({ registry }), parse(expression)) as unknown as Evaluate;
  } catch (error) {
    throw new Error(
      `${method.name}: the rule ${JSON.stringify(expression)} is no CEL expression: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function factsOf(principal: Principal): Map<string, unknown> {
  return new Map<string, unknown>([
    ["name", principal.name],
    ["tenant", principal.tenant],
    ["scopes", [...principal.scopes]],
    ["credential", principal.credential],
  ]);
}
