/** One use of a tool: a call of its method, and its reply as what a model reads. */
import type { JsonObject } from "@bufbuild/protobuf";
import { toStatus } from "#gateway/wire/error-status.ts";
import { type HttpBody, HttpBodySchema } from "#gen/google/api/httpbody_pb.ts";
import { type ToolResult as ToolResultMessage, ToolResultSchema } from "#gen/portico/mcp/v1/mcp_pb.ts";
import { clientGone, type UnaryCall } from "#rpc/call.ts";
import { type RpcError, toRpcError } from "#rpc/error.ts";
import type { Method } from "#rpc/method.ts";
import type { Payload } from "#rpc/payload.ts";
import type { Reply } from "#rpc/reply.ts";
import { statusToJson } from "../rest/error-body.ts";
import { fileContent, joined, sizeOf, type ToolResult, toContent } from "./content.ts";
import { questionsIn } from "./input.ts";
import { type Use, use } from "./use.ts";

export interface ToolCall extends Use {
  readonly method: Method;
  /** In JSON. */
  readonly request: Uint8Array;
  /** Tells of a message of a stream; undefined: nobody asked to be told. */
  readonly progress?: ((count: number, message: string) => Promise<void>) | undefined;
}

/** A model's attention is small: streams are cut there. */
const maxMessages = 100;
const maxStreamBytes = 256 * 1024;
/** A stream that goes on is answered after so long with what came, in milliseconds. */
const maxStreamMs = 25_000;

/**
 * A call that fails is an answer too: the model reads why, and what to do.
 *
 * @throws RpcError INPUT_REQUIRED alone: what is asked is not the model's to answer.
 */
export async function callTool(options: ToolCall): Promise<ToolResult> {
  const { method, request } = options;
  try {
    return await use(options, { method, request }, (reply, call) =>
      reply.kind === "unary" ? sized(call, resultOf(method, reply.response)) : collect(options, reply, call),
    );
  } catch (thrown) {
    const error = toRpcError(thrown);
    if (questionsIn(error) !== undefined) throw error;
    return failure(error, options.caller.id);
  }
}

async function collect(
  { method, progress }: ToolCall,
  reply: Extract<Reply, { readonly kind: "stream" }>,
  call: UnaryCall,
): Promise<ToolResult> {
  const stream = new Collected();
  const late = setTimeout(() => {
    stream.truncated = true;
    call.cancel(clientGone());
  }, maxStreamMs);
  try {
    for await (const message of reply.responses) {
      const text = message.text();
      call.bytesOut += Buffer.byteLength(text);
      await progress?.(stream.add(message, text), text.slice(0, 1000));
      if (stream.full) break;
    }
  } catch (thrown) {
    // The end that was set here is none of the method's.
    if (!stream.truncated) throw thrown;
  } finally {
    clearTimeout(late);
  }
  return stream.result(method);
}

class Collected {
  truncated = false;
  readonly #messages: Payload[] = [];
  #bytes = 0;

  add(message: Payload, text: string): number {
    this.#bytes += text.length;
    return this.#messages.push(message);
  }

  get full(): boolean {
    if (this.#messages.length >= maxMessages || this.#bytes >= maxStreamBytes) this.truncated = true;
    return this.truncated;
  }

  result(method: Method): ToolResult {
    if (method.output.desc.typeName === HttpBodySchema.typeName) {
      const parts = this.#messages.map((message) => message.message() as HttpBody);
      return { content: [fileContent(joined(parts))] };
    }
    const messages = this.#messages.map((message) => JSON.parse(message.text()) as JsonObject);
    return asJson({ messages, ...(this.truncated ? { truncated: true } : {}) });
  }
}

/** Of what a model reads; the same again in `structuredContent` is not counted. */
function sized(call: UnaryCall, result: ToolResult): ToolResult {
  for (const one of result.content) call.bytesOut += sizeOf(one);
  return result;
}

function resultOf(method: Method, reply: Payload): ToolResult {
  switch (method.output.desc.typeName) {
    case HttpBodySchema.typeName:
      return { content: [fileContent(reply.message() as HttpBody)] };
    case ToolResultSchema.typeName:
      return { content: (reply.message() as ToolResultMessage).contents.map(toContent) };
    default: {
      const text = reply.text();
      return { content: [{ type: "text", text }], structuredContent: JSON.parse(text) as JsonObject };
    }
  }
}

function asJson(value: JsonObject): ToolResult {
  return { content: [{ type: "text", text: JSON.stringify(value) }], structuredContent: value };
}

function failure(error: RpcError, id: string): ToolResult {
  const status = toStatus(error, id);
  const json = statusToJson(status) as JsonObject;
  return {
    content: [{ type: "text", text: `${error.reason}: ${error.message}\n${JSON.stringify(json)}` }],
    isError: true,
  };
}
