/** Two tools that reach every method, where the operator wants that: find one, call it. Who may is decided by the policies, as ever. */
import type { JsonObject } from "@bufbuild/protobuf";
import type { Catalog } from "#gateway/catalog/catalog.ts";
import { checkKeys } from "#gateway/codec/json-keys.ts";
import { describeMessage, type Tool } from "#gateway/describe/describe.ts";
import { hasUnaryRequest, type Method } from "#rpc/method.ts";
import { toBytes } from "./use.ts";

export interface MetaTools {
  readonly tools: readonly Tool[];
  /** Undefined: it is none of these. @param given arguments in JSON. */
  call(name: string, given: Uint8Array, use: MetaUse): Promise<object | undefined>;
}

interface MetaUse {
  readonly catalog: Catalog;
  run(method: Method, request: Uint8Array): Promise<object>;
}

const maxFound = 20;
const text = { type: "string" };

const search: Tool = {
  name: "search_methods",
  title: "Search methods",
  description:
    "Finds methods of this installation by words of their names and descriptions. The answer has their request's JSON Schema; call_method calls them.",
  inputSchema: {
    type: "object",
    properties: {
      query: { ...text, maxLength: 200, description: "Words, for example: revisions of a document." },
      limit: { type: "integer", minimum: 1, maximum: maxFound, description: "Default 5." },
    },
    required: ["query"],
    additionalProperties: false,
  },
  outputSchema: {
    type: "object",
    properties: {
      methods: {
        type: "array",
        items: {
          type: "object",
          properties: { method: text, description: text, request: { type: "object" } },
          required: ["method", "description", "request"],
        },
      },
    },
    required: ["methods"],
  },
  annotations: {
    title: "Search methods",
    readOnlyHint: true,
    destructiveHint: false,
    idempotentHint: true,
    openWorldHint: false,
  },
};

const call: Tool = {
  name: "call_method",
  title: "Call a method",
  description: "Calls a method that search_methods found.",
  inputSchema: {
    type: "object",
    properties: {
      method: { ...text, description: "package.Service/Method" },
      arguments: { type: "object", description: "The request, as its JSON Schema says." },
    },
    required: ["method"],
    additionalProperties: false,
  },
  annotations: {
    title: "Call a method",
    readOnlyHint: false,
    destructiveHint: true,
    idempotentHint: false,
    openWorldHint: false,
  },
};

export const metaTools: MetaTools = {
  tools: [search, call],
  call: async (name, given, use) => {
    const tool = [search, call].find((one) => one.name === name);
    if (tool === undefined) return undefined;
    // The request stays as it was written, for the codec of its own type.
    const inner = checkKeys(given, { free: ["arguments"] });
    const text = inner?.around ?? Buffer.from(given).toString("utf8");
    const asked = JSON.parse(text) as Readonly<Record<string, unknown>>;
    const wrong = problemOf(tool, asked);
    if (wrong !== undefined) return failed(wrong);
    if (tool === search) return found(use.catalog, asked);
    const method = use.catalog.methods.get(`/${String(asked.method)}`);
    if (method === undefined || !hasUnaryRequest(method.kind))
      return failed(
        `METHOD_UNKNOWN: there is no method ${String(asked.method).slice(0, 200)} that takes one message; search_methods finds them`,
      );
    const request = inner === undefined ? toBytes(asked.arguments) : Buffer.from(inner.written, "utf8");
    return await use.run(method, request);
  },
};

/** A request under another name than `arguments` would be an empty one. */
function problemOf({ inputSchema }: Tool, asked: Readonly<Record<string, unknown>>): string | undefined {
  const { properties, required } = inputSchema as {
    readonly properties: Readonly<Record<string, unknown>>;
    readonly required: readonly string[];
  };
  const known = Object.keys(properties);
  const other = Object.keys(asked).find((key) => !known.includes(key));
  if (other !== undefined)
    return `FIELD_UNKNOWN: ${other.slice(0, 100)}: there is no such argument; there are ${known.join(" and ")}`;
  const missing = required.find((key) => typeof asked[key] !== "string");
  return missing === undefined ? undefined : `FIELD_INVALID: ${missing}: is missing, or is no text`;
}

function found(catalog: Catalog, asked: Readonly<Record<string, unknown>>): object {
  const query = String(asked.query);
  if (query.length > 200) return failed("FIELD_INVALID: query: has more than 200 characters");
  // Of what is left "revisions" and "revision" are one.
  const words = (query.toLowerCase().match(/[a-z0-9]{3,}/g) ?? []).map((word) => word.replace(/s$/, ""));
  const limit = Math.min(maxFound, Math.max(1, Number(asked.limit ?? 5) || 5));
  const methods = [...catalog.methods.values()]
    .filter((method) => hasUnaryRequest(method.kind))
    .map((method) => {
      const name = method.name.toLowerCase();
      const about =
        `${catalog.commentOf(method.desc)} ${catalog.commentOf(method.desc.parent)}`.toLowerCase();
      const score = words.reduce(
        (sum, word) => sum + (name.includes(word) ? 3 : 0) + (about.includes(word) ? 1 : 0),
        0,
      );
      return { method, score };
    })
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score)
    .slice(0, limit)
    .map(({ method }) => ({
      method: method.name,
      description: catalog.commentOf(method.desc),
      request: describeMessage(catalog, method.input.desc) as JsonObject,
    }));
  return { content: [{ type: "text", text: JSON.stringify({ methods }) }], structuredContent: { methods } };
}

function failed(message: string): object {
  return { content: [{ type: "text", text: message }], isError: true };
}
