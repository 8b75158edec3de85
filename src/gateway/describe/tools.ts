/**
 * Methods as tools of the Model Context Protocol.
 *
 * @see https://modelcontextprotocol.io/specification/2026-07-28/server/tools
 */
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import type { Catalog } from "#gateway/catalog/catalog.ts";
import { hasUnaryReply, type Method } from "#rpc/method.ts";
import { splitExample } from "./examples.ts";
import { describeMessage } from "./json-schema.ts";
import type { Schema } from "./schemas.ts";

export interface Tool {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly inputSchema: Schema;
  /** Absent where the answer is a file, or contents. */
  readonly outputSchema?: Schema;
  readonly annotations: {
    readonly title: string;
    readonly readOnlyHint: boolean;
    readonly destructiveHint: boolean;
    readonly idempotentHint: boolean;
    readonly openWorldHint: boolean;
  };
}

/** Answers that have a form of their own in the protocol. */
const contentTypes: ReadonlySet<string> = new Set(["google.api.HttpBody", "portico.mcp.v1.ToolResult"]);

/** @returns undefined where the method's contract does not make it one. */
export function describeTool(catalog: Catalog, method: Method): Tool | undefined {
  const tool = catalog.optionsOf(method).tool;
  if (tool === undefined) return undefined;
  const { name, title } = tool;
  const output = describeMessage(catalog, method.output.desc);
  const isContent = contentTypes.has(method.output.desc.typeName);
  return {
    name,
    title,
    description: splitExample(catalog.commentOf(method.desc)).text || title,
    inputSchema: inputOf(catalog, method),
    ...(isContent ? {} : { outputSchema: hasUnaryReply(method.kind) ? output : listOf(output) }),
    annotations: {
      title,
      readOnlyHint: method.sideEffectFree,
      destructiveHint: !method.sideEffectFree && tool.destructive,
      idempotentHint:
        method.desc.idempotency !== MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN || tool.destructive,
      openWorldHint: tool.openWorld,
    },
  };
}

/** Closed where keys that a message does not have are refused: a model that makes one up is told before it calls. */
function inputOf(catalog: Catalog, method: Method): Schema {
  const schema = describeMessage(catalog, method.input.desc);
  if (catalog.codec.unknownFields !== "reject") return schema;
  const { $defs } = schema as { readonly $defs?: Readonly<Record<string, Schema>> };
  const defs = Object.entries($defs ?? {}).map(([name, def]) => [name, closed(def)]);
  return { ...closed(schema), ...($defs === undefined ? {} : { $defs: Object.fromEntries(defs) }) };
}

function closed(schema: Schema): Schema {
  return "properties" in schema && !("additionalProperties" in schema)
    ? { ...schema, additionalProperties: false }
    : schema;
}

/** What a stream's messages are collected in. */
function listOf({ $schema, $defs, ...items }: Schema): Schema {
  return {
    $schema,
    type: "object",
    properties: {
      messages: { type: "array", items },
      truncated: { type: "boolean", description: "There were more messages than a tool answers with." },
    },
    required: ["messages"],
    ...($defs === undefined ? {} : { $defs }),
  };
}
