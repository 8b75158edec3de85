/** One use of a tool: a call of its method, and its reply as what a model reads. */
import { create, type JsonObject } from "@bufbuild/protobuf";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { toStatus } from "#gateway/wire/error-status.ts";
import { type HttpBody, HttpBodySchema } from "#gen/google/api/httpbody_pb.ts";
import { clientGone, createUnaryCall } from "#rpc/call.ts";
import { type RpcError, toRpcError } from "#rpc/error.ts";
import type { Metadata } from "#rpc/metadata.ts";
import type { Method } from "#rpc/method.ts";
import { BytesPayload, type Payload } from "#rpc/payload.ts";
import type { Peer } from "#rpc/peer.ts";
import { localPrincipal } from "#rpc/principal.ts";
import type { ResponseHeaders } from "../exchange.ts";
import { statusToJson } from "../rest/error-body.ts";
import { hearCall } from "../told-headers.ts";

export interface ToolCall {
  readonly runtime: Runtime;
  readonly method: Method;
  readonly arguments: unknown;
  readonly id: string;
  readonly metadata: Metadata;
  readonly peer: Peer;
  readonly startedAtMs: number;
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal;
  /** Where its headers are kept for the answer. */
  readonly told: ResponseHeaders;
  /** Tells of a message of a stream; undefined: nobody asked to be told. */
  readonly progress?: ((count: number, message: string) => Promise<void>) | undefined;
}

export type Content =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "image" | "audio"; readonly data: string; readonly mimeType: string }
  | {
      readonly type: "resource";
      readonly resource: { readonly uri: string; readonly mimeType: string } & (
        | { readonly text: string }
        | { readonly blob: string }
      );
    };

export interface ToolResult {
  readonly content: readonly Content[];
  readonly structuredContent?: JsonObject;
  readonly isError?: true;
}

/** A model's attention is small: streams are cut there. */
const maxMessages = 100;
const maxStreamBytes = 256 * 1024;
/** A stream that goes on is answered after so long with what came, in milliseconds. */
const maxStreamMs = 25_000;

/** A call that fails is an answer too: the model reads why, and what to do. */
export async function callTool(options: ToolCall): Promise<ToolResult> {
  const { runtime, method, id, metadata, peer, startedAtMs, timeoutMs, signal } = options;
  const json = Buffer.from(JSON.stringify(options.arguments ?? {}), "utf8");
  const call = createUnaryCall(
    {
      method,
      id,
      protocol: "mcp",
      peer,
      principal: localPrincipal,
      metadata,
      timeoutMs,
      startedAtMs,
    },
    new BytesPayload(method.input, json, "json"),
  );
  call.bytesIn = json.length;
  const leave = (): void => call.cancel(clientGone());
  if (signal.aborted) leave();
  signal.addEventListener("abort", leave);
  try {
    const reply = await runtime.dispatch(call);
    hearCall(call, options.told);
    if (reply.kind === "unary") {
      const result = resultOf(method, reply.response);
      call.bytesOut = sizeOf(result);
      return result;
    }
    const stream = new Collected();
    const late = setTimeout(() => {
      stream.truncated = true;
      call.cancel(clientGone());
    }, maxStreamMs);
    try {
      for await (const message of reply.responses) {
        const text = message.text();
        call.bytesOut += text.length;
        await options.progress?.(stream.add(message, text), text.slice(0, 1000));
        if (stream.full) break;
      }
    } catch (thrown) {
      // The end that was set here is none of the method's.
      if (!stream.truncated) throw thrown;
    } finally {
      clearTimeout(late);
    }
    return stream.result(method);
  } catch (thrown) {
    hearCall(call, options.told);
    const error = toRpcError(thrown);
    call.failedBy ??= error;
    return failure(error, id);
  } finally {
    call.close();
    signal.removeEventListener("abort", leave);
  }
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
      const data = Buffer.concat(parts.map((part) => part.data));
      return {
        content: [fileContent(create(HttpBodySchema, { contentType: parts[0]?.contentType ?? "", data }))],
      };
    }
    const messages = this.#messages.map((message) => JSON.parse(message.text()) as JsonObject);
    return asJson({ messages, ...(this.truncated ? { truncated: true } : {}) });
  }
}

/** Of what a model reads; the same again in `structuredContent` is not counted. */
function sizeOf({ content }: ToolResult): number {
  return content.reduce((size, one) => size + (one.type === "text" ? one.text.length : 0), 0);
}

function resultOf(method: Method, reply: Payload): ToolResult {
  if (method.output.desc.typeName === HttpBodySchema.typeName)
    return { content: [fileContent(reply.message() as HttpBody)] };
  const text = reply.text();
  return { content: [{ type: "text", text }], structuredContent: JSON.parse(text) as JsonObject };
}

function asJson(value: JsonObject): ToolResult {
  return { content: [{ type: "text", text: JSON.stringify(value) }], structuredContent: value };
}

function fileContent({ contentType, data }: HttpBody): Content {
  const [type = ""] = contentType.split(";", 1);
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
  if (type === "text/plain") return { type: "text", text: bytes.toString("utf8") };
  if (type.startsWith("image/")) return { type: "image", data: bytes.toString("base64"), mimeType: type };
  if (type.startsWith("audio/")) return { type: "audio", data: bytes.toString("base64"), mimeType: type };
  const isText = /^text\/|[/+](json|xml|yaml)$/.test(type);
  const content = isText ? { text: bytes.toString("utf8") } : { blob: bytes.toString("base64") };
  return {
    type: "resource",
    resource: { uri: "portico://answer", mimeType: type || "application/octet-stream", ...content },
  };
}

function failure(error: RpcError, id: string): ToolResult {
  const status = toStatus(error, id);
  const json = statusToJson(status) as JsonObject;
  return {
    content: [{ type: "text", text: `${error.reason}: ${error.message}\n${JSON.stringify(json)}` }],
    isError: true,
  };
}
