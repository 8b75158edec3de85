/** What runs GraphQL operations, by whichever way they came. */
import {
  type ExecutionArgs,
  type ExecutionResult,
  execute,
  type GraphQLError,
  type GraphQLSchema,
  subscribe,
} from "graphql";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { Documents, type Ready, type Refusal, refused, withReason } from "./documents.ts";
import { leavable } from "./leavable.ts";
import { defaultLimits, type GraphqlLimits } from "./limits.ts";
import type { Operation } from "./operation.ts";
import type { Asked } from "./request.ts";
import { createSchema } from "./schema.ts";

export interface EngineOptions {
  readonly limits?: Partial<GraphqlLimits> | undefined;
  readonly introspection: boolean;
}

export type Results = AsyncGenerator<ExecutionResult, void, undefined>;

export class Engine {
  readonly schema: GraphQLSchema;
  readonly #documents: Documents;

  constructor(runtime: Runtime, { limits, introspection }: EngineOptions) {
    this.schema = createSchema(runtime.catalog);
    this.#documents = new Documents(this.schema, { limits: { ...defaultLimits, ...limits }, introspection });
  }

  /** @param readOnly whether it came by GET. */
  prepare(asked: Asked, readOnly: boolean): Ready | Refusal {
    const prepared = this.#documents.prepare(asked);
    if (prepared.kind === "refused" || !readOnly || prepared.operation !== "mutation") return prepared;
    const about = {
      reason: "MUTATION_BY_GET",
      message: "a mutation changes something: send it with POST",
    };
    return refused("unimplemented", about, 405);
  }

  /** Several that came together may cost no more than one. */
  prepareAll(all: readonly Asked[]): readonly Ready[] | Refusal {
    const ready: Ready[] = [];
    let cost = 0;
    for (const asked of all) {
      const one = this.prepare(asked, false);
      if (one.kind === "refused") return one;
      ready.push(one);
      cost += one.cost;
    }
    return this.#documents.tooDear(cost) ?? ready;
  }

  /** A query or a mutation; at once where no call had to be waited for. */
  execute(ready: Ready, operation: Operation): ExecutionResult | Promise<ExecutionResult> {
    return executeAndTell(this.argumentsOf(ready, operation));
  }

  subscribe(ready: Ready, operation: Operation): Promise<Results | ExecutionResult> {
    return subscribeAndTell(this.argumentsOf(ready, operation));
  }

  argumentsOf({ document, asked }: Ready, operation: Operation): ExecutionArgs {
    return {
      ...{ schema: this.schema, document, contextValue: operation, hideSuggestions: true },
      variableValues: asked.variables ?? null,
      operationName: asked.operationName ?? null,
    };
  }
}

/** At once where no call had to be waited for. */
export function executeAndTell(args: ExecutionArgs): ExecutionResult | Promise<ExecutionResult> {
  const result = execute(args) as ExecutionResult | Promise<ExecutionResult>;
  return result instanceof Promise ? result : told(result);
}

/** Variables are looked at before anything runs: what is wrong with them is wrong with the request. */
function told(result: ExecutionResult): ExecutionResult {
  if (result.data !== undefined || result.errors === undefined) return result;
  const errors = result.errors.map((error) =>
    error.extensions.code === undefined ? withReason(error) : error,
  );
  return { ...result, errors };
}

/** A subscription that fails ends with a result that says why: the protocols would cut the connection, and nobody would know. */
export async function subscribeAndTell(args: ExecutionArgs): Promise<Results | ExecutionResult> {
  const results = await subscribe(args);
  if (!(Symbol.asyncIterator in results)) return told(results);
  let failed = false;
  return leavable(
    () => void results.return(undefined).catch(ended),
    async () => {
      if (failed) return { done: true, value: undefined };
      try {
        const { done, value } = await results.next();
        return done === true ? { done, value: undefined } : { value };
      } catch (error) {
        failed = true;
        return { value: { errors: [error as GraphQLError] } };
      }
    },
  );
}

/** Nobody waits for how it ended. */
function ended(): void {}
