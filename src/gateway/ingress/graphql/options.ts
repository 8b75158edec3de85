/** What GraphQL is served with. */
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import type { GraphqlLimits } from "./limits.ts";

export interface GraphqlOptions {
  runtime(): Runtime;
  readonly limits?: Partial<GraphqlLimits>;
  /** Whether clients may ask for the schema. Default true. */
  readonly introspection?: boolean;
}
