/**
 * What is around the variables of a request: the query, a name, `extensions`. Variables are the requests of methods, which may be large; of the rest few have
 * ten elements, and nobody else counts them.
 */
import { defaultMaxElements } from "#gateway/codec/codec.ts";
import type { JsonCheck } from "#gateway/codec/json-depth.ts";
import { RpcError } from "#rpc/error.ts";

export interface EnvelopeLimits {
  /** Keys and list elements beside the variables. */
  readonly maxEnvelope?: number | undefined;
  /** Keys and list elements of the variables. */
  readonly maxElements?: number | undefined;
  /** Nesting of arrays and objects. */
  readonly maxJsonDepth?: number | undefined;
}

/** Of the option: MCP's default, for the same reason. */
const defaultMaxEnvelope = 1000;

/** @param variables where they are; absent: nowhere. */
export function envelopeOf(limits: EnvelopeLimits, variables?: readonly string[]): JsonCheck {
  const { maxEnvelope = defaultMaxEnvelope, maxElements = defaultMaxElements, maxJsonDepth } = limits;
  return {
    ...{ maxElements: maxEnvelope, maxFreeElements: maxElements, maxDepth: maxJsonDepth },
    ...(variables === undefined ? {} : { free: variables, freeInLists: true }),
    tooMany: (most) =>
      new RpcError("resource_exhausted", {
        reason: "QUERY_TOO_LARGE",
        message: `the request has more than ${most} keys and list elements beside its variables; send fewer`,
      }),
  };
}
