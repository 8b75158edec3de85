/** What GraphQL is served with. */
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import type { GraphqlLimits } from "./limits.ts";

export interface GraphqlOptions {
  /** The runtime of the moment; an operation keeps the one it began with. */
  runtime(): Runtime;
  readonly limits?: Partial<GraphqlLimits>;
  /** Whether clients may ask for the schema. Default true. */
  readonly introspection?: boolean;
  /** Whether browsers are shown GraphiQL. Default false. */
  readonly page?: boolean;
  /** Largest body of a request, as declared and inflated, in bytes. Default 1 MiB. */
  readonly maxBodyBytes?: number;
  /** How many times its size a compressed body may inflate to, above 64 KiB. Default 100. */
  readonly maxInflation?: number;
  /** Largest server-sent event, in bytes. Default 256 KiB. */
  readonly maxEventBytes?: number;
  /** How often a stream of events without any says that it lives, in milliseconds. Default 15 000. */
  readonly heartbeatMs?: number;
}
