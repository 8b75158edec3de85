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
  /** Absent where the answer is a file. */
  readonly outputSchema?: Schema;
  readonly annotations: {
    readonly title: string;
    readonly readOnlyHint: boolean;
    readonly destructiveHint: boolean;
    readonly idempotentHint: boolean;
    readonly openWorldHint: boolean;
  };
}

/** @returns undefined where the method's contract does not make it one. */
export function describeTool(catalog: Catalog, method: Method): Tool | undefined {
  const tool = catalog.optionsOf(method).tool;
  if (tool === undefined) return undefined;
  const { name, title } = tool;
  const output = describeMessage(catalog, method.output.desc);
  const isFile = method.output.desc.typeName === "google.api.HttpBody";
  return {
    name,
    title,
    description: splitExample(catalog.commentOf(method.desc)).text || title,
    inputSchema: describeMessage(catalog, method.input.desc),
    ...(isFile ? {} : { outputSchema: hasUnaryReply(method.kind) ? output : listOf(output) }),
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
