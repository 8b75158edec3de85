/**
 * Query parameters to fields. Strict by default: a parameter that is unknown, given twice, bound by the path or body, or whose
 * field a query cannot carry, is an error that names the nearest good one. What is sensitive has no place in a URL.
 *
 * @see https://github.com/googleapis/googleapis/blob/master/google/api/http.proto ("URL query parameters")
 */
import type { DescMessage, Message } from "@bufbuild/protobuf";
import { RpcError } from "#rpc/error.ts";
import { isSensitive } from "#rpc/redact.ts";
import { nearest } from "#std/nearest.ts";
import { fieldError } from "./field-error.ts";
import { compileFieldPath, type FieldPath, isTextField } from "./field-path.ts";

/** Compiled names that are kept; others are compiled each time. */
const maxKnownPaths = 1000;

export interface QueryBinder {
  /**
   * @param rawQuery without `?`, percent-encoding kept; `+` is a space.
   * @throws RpcError `invalid_argument` naming the parameter as it was spelled.
   */
  bind(message: Message, rawQuery: string): void;
}

export interface QueryOptions {
  /** Field paths (proto spelling) that the path or the body binds; parameters of that name are errors. */
  readonly bound: readonly string[];
  /** Only fields below this one, by names that include it: `metadata` allows `metadata.displayName`. */
  readonly prefix?: string;
  /** What to do with parameters that name no field. Default `reject`. */
  readonly unknown?: "reject" | "ignore";
  /** More are refused before any is looked at. Default 200. */
  readonly maxParameters?: number;
}

export function compileQueryBinder(desc: DescMessage, options: QueryOptions): QueryBinder {
  return new CompiledQuery(desc, options);
}

/** The option's default. */
export const defaultMaxParameters = 200;

/**
 * @returns the parameters, as they were written.
 * @throws RpcError FIELD_INVALID where there are more, before any is looked at.
 */
export function checkParameters(rawQuery: string, most = defaultMaxParameters): readonly string[] {
  const pairs = rawQuery.split("&", most + 1);
  if (pairs.length <= most) return pairs;
  throw fieldError("FIELD_INVALID", "query", `has more than the ${most} parameters that are allowed`);
}

class CompiledQuery implements QueryBinder {
  readonly #desc: DescMessage;
  readonly #options: QueryOptions;
  /** By spelling as sent. Bounded: a message that holds itself has no end of names that exist. */
  readonly #paths = new Map<string, FieldPath>();

  constructor(desc: DescMessage, options: QueryOptions) {
    this.#desc = desc;
    this.#options = options;
  }

  bind(message: Message, rawQuery: string): void {
    if (rawQuery === "") return;
    const pairs = checkParameters(rawQuery, this.#options.maxParameters);
    // By path: a message that holds itself has a field more than once.
    const seen = new Set<string>();
    for (const pair of pairs) if (pair !== "") this.#bindPair(message, pair, seen);
  }

  #bindPair(message: Message, pair: string, seen: Set<string>): void {
    const equals = pair.indexOf("=");
    const name = decode(equals === -1 ? pair : pair.slice(0, equals), "query");
    const path = this.#paths.get(name) ?? this.#resolve(name);
    if (path === undefined) return;
    if (path.leaf.fieldKind !== "list") {
      if (seen.has(path.text)) throw fieldError("FIELD_REPEATED", name, "is given more than once");
      seen.add(path.text);
    }
    path.setText(message, equals === -1 ? "" : decode(pair.slice(equals + 1), name), name);
  }

  /** Undefined: unknown, and unknown ones are passed over. */
  #resolve(name: string): FieldPath | undefined {
    const { prefix, bound, unknown } = this.#options;
    const path = compileFieldPath(this.#desc, name);
    const found =
      "problem" in path || (prefix !== undefined && !path.text.startsWith(`${prefix}.`)) ? undefined : path;
    if (found === undefined) {
      if (unknown === "ignore") return undefined;
      const near = nearest(name, this.#known());
      throw fieldError(
        "FIELD_UNKNOWN",
        name,
        near === undefined
          ? "there is no such parameter; this method has none"
          : `there is no such parameter; did you mean ${near}?`,
      );
    }
    if (bound.some((taken) => found.text === taken || found.text.startsWith(`${taken}.`))) {
      throw fieldError("FIELD_REPEATED", name, "is already given by the path or the body");
    }
    if (!isTextField(found.leaf))
      throw fieldError(
        "FIELD_INVALID",
        name,
        "cannot be given in a query; it is a message, a map or a list of messages",
      );
    if (isSensitive(found.leaf))
      throw fieldError(
        "FIELD_INVALID",
        name,
        "is not taken from the URL, which logs and histories keep: send the whole request as a body, to the method's own path or in a batch",
      );
    if (this.#paths.size < maxKnownPaths) this.#paths.set(name, found);
    return found;
  }

  /** Names to suggest: fields of the message and of the messages directly in it, as REST spells them. */
  #known(): string[] {
    const names: string[] = [];
    for (const field of this.#desc.fields) {
      if (isSensitive(field)) continue;
      if (isTextField(field)) names.push(field.jsonName);
      else if (field.fieldKind === "message") {
        for (const inner of field.message.fields)
          if (isTextField(inner)) names.push(`${field.jsonName}.${inner.jsonName}`);
      }
    }
    const { bound, prefix } = this.#options;
    const taken = new Set(bound.map((path) => path.split(".").map(toJsonName).join(".")));
    return names.filter(
      (name) => !taken.has(name) && (prefix === undefined || name.startsWith(`${toJsonName(prefix)}.`)),
    );
  }
}

function toJsonName(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_all, letter: string) => letter.toUpperCase());
}

function decode(raw: string, name: string): string {
  const spaced = raw.includes("+") ? raw.replaceAll("+", " ") : raw;
  if (!spaced.includes("%")) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch (cause) {
    throw new RpcError("invalid_argument", {
      reason: "FIELD_INVALID",
      message: `${name}: has a percent-encoding that is not valid UTF-8 text`,
      metadata: { field: name },
      cause,
    });
  }
}
