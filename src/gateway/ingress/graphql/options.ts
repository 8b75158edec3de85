/** What GraphQL is served with. */
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import type { Door } from "#rpc/door.ts";
import type { GraphqlLimits } from "./limits.ts";

export interface GraphqlOptions {
  /** What each request passes before it is read. Default: nothing. */
  readonly door?: Door;
  /** The runtime of the moment; an operation keeps the one it began with. */
  runtime(): Runtime;
  readonly limits?: Partial<GraphqlLimits>;
  /** Whether clients may ask for the schema. Default true. */
  readonly introspection?: boolean;
  /** Whether browsers are shown GraphiQL. Default false. */
  readonly page?: boolean;
  /** Largest body of a request, as declared and inflated, in bytes. Default 1 MiB. */
  readonly maxBodyBytes?: number;
  /** How many times its size a compressed body may inflate to, above `inflationFreeBytes`. Default 100. */
  readonly maxInflation?: number;
  /** What it may inflate to whatever its size, in bytes. Default 65 536. */
  readonly inflationFreeBytes?: number;
  /** Operations in one request. Default 10. */
  readonly maxBatch?: number;
  /** Nesting of arrays and objects in a body, and how many keys and list elements it has. Defaults 64 and 100 000. */
  readonly maxJsonDepth?: number;
  readonly maxElements?: number;
  /** Keys and list elements of a request beside its variables. Default 1000. */
  readonly maxEnvelope?: number;
  /** Parameters of a query by GET. Default 200. */
  readonly maxQueryParameters?: number;
  /** Largest server-sent event, in bytes. Default 256 KiB. */
  readonly maxEventBytes?: number;
  /** How often a stream of events without any says that it lives, in milliseconds. Default 15 000. */
  readonly heartbeatMs?: number;
  /** Longest silence of a socket before its first message, in milliseconds. Default 10 000. */
  readonly initMs?: number;
}
