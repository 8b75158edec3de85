/** How an option is declared; the table is options.ts. */
import type * as z from "zod";

export interface Option<T = unknown> {
  /** Dotted key in `portico.config.ts`. */
  readonly key: string;
  readonly env: string;
  /** A variable of a standard that means the same; ours wins. */
  readonly standardEnv?: string;
  readonly flag: string;
  /** Placeholder in the help text; absent for switches. */
  readonly value?: string;
  /** Reads text (flags, environment) and values (file) alike. */
  readonly schema: z.ZodType<T>;
  /** As people write it in the reference. */
  readonly default: string;
  readonly range: string;
  readonly doc: string;
}
