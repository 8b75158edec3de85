/**
 * Every boot option, declared once: key in the file, environment variable, flag, type, default, and why the default is
 * what it is. The parser, the help text and docs/reference/configuration.md all come from this table, whose groups are files of their own.
 */
import type * as z from "zod";
import { accessOptions } from "./access.ts";
import { capacityOptions } from "./capacity.ts";
import { installationOptions } from "./installation.ts";
import { limitOptions } from "./limits.ts";
import { observationOptions } from "./observation.ts";
import type { Option } from "./option.ts";
import { protocolOptions } from "./protocols.ts";

export const options = {
  ...installationOptions,
  ...accessOptions,
  ...protocolOptions,
  ...capacityOptions,
  ...observationOptions,
  ...limitOptions,
} as const satisfies Record<string, Option>;

export type OptionName = keyof typeof options;

/** Parsed values by option name; absent where nobody said anything. */
export type Given = { -readonly [K in OptionName]?: z.output<(typeof options)[K]["schema"]> };
