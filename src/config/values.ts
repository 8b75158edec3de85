/** What options are made of: each reads text (flags, environment) and values (the file) alike. */
import * as z from "zod";

const wholeNumber = "must be a whole number";
/** Decimal digits only: `""`, `0x50` and `1e3` are more likely mistakes than numbers. */
const digits = z.union(
  [
    z.number(),
    z
      .string()
      .regex(/^\d{1,9}$/)
      .transform(Number),
  ],
  wholeNumber,
);

export const wholeNumberOf = (least: number, most: number) =>
  digits.pipe(
    z.number().int(wholeNumber).min(least, `must be at least ${least}`).max(most, `must be at most ${most}`),
  );

export const port = digits.pipe(
  z.number().int(wholeNumber).min(0, "must be 0 to 65535").max(65_535, "must be 0 to 65535"),
);

export const text = z.string().min(1, "must not be empty");
export const onOff = z.enum(["on", "off"], "must be on or off");
export const trueFalse = z.union([z.boolean(), z.stringbool()], "must be true or false");
export const httpUrl = z.url({ protocol: /^https?$/, error: "must be an http or https URL" });

/** A list, in a variable or a flag separated by commas or blanks. */
export const separated = <T extends z.ZodType>(list: T) =>
  z.preprocess(
    (given) => (typeof given === "string" ? given.split(/[\s,]+/).filter((one) => one !== "") : given),
    list,
  );

/** JSON in a variable or a flag. @param what the value is a list of. */
export const listOf = <T extends z.ZodType>(what: string, item: T) =>
  z.preprocess(
    (given, context): unknown => {
      try {
        return typeof given === "string" ? JSON.parse(given) : given;
      } catch {
        context.issues.push({ code: "custom", message: `must be a list of ${what}, as JSON`, input: given });
        return z.NEVER;
      }
    },
    z.array(item, `must be a list of ${what}`),
  );

/** Undefined: off. */
function parseRate(rate: string): { readonly burst: number; readonly intervalMs: number } | undefined {
  const match = /^(\d+)\/s(?::(\d+))?$/.exec(rate);
  if (match === null) return undefined;
  const perSecond = Number(match[1]);
  return { intervalMs: 1000 / perSecond, burst: match[2] === undefined ? 2 * perSecond : Number(match[2]) };
}

export const rate = z
  .string()
  .regex(/^(off|[1-9]\d{0,6}\/s(:[1-9]\d{0,6})?)$/, 'must be a rate such as 100/s or 100/s:200, or "off"')
  .transform(parseRate);

/** A part of the whole, as people write it: 0.1. */
export const ratio = z
  .union(
    [
      z.number(),
      z
        .string()
        .regex(/^(\d+(\.\d+)?|\.\d+)$/)
        .transform(Number),
    ],
    "must be a number from 0 to 1",
  )
  .pipe(z.number().min(0, "must be at least 0").max(1, "must be at most 1"));

const wrongHeaders = "must be name=value, several separated by commas";
/** `name=value,name=value` as OpenTelemetry has it: values are percent-encoded. */
export const headerList = z.union(
  [
    z.record(z.string(), z.string()),
    z.string().transform((list, context) => {
      try {
        return Object.fromEntries(
          list
            .split(",")
            .filter((one) => one.trim() !== "")
            .map(parseHeader),
        );
      } catch {
        context.issues.push({ code: "custom", message: wrongHeaders, input: list });
        return z.NEVER;
      }
    }),
  ],
  wrongHeaders,
);

/** @throws URIError, SyntaxError */
function parseHeader(text: string): [string, string] {
  const match = /^\s*([\w!#$%&'*+.^`|~-]+)\s*=(.*)$/.exec(text);
  if (match === null) throw new SyntaxError("not name=value");
  return [String(match[1]).toLowerCase(), decodeURIComponent(String(match[2]).trim())];
}
