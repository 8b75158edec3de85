/** What models read: files as they are, and the contract's own contents, in the protocol's words. */
import { create, type JsonObject } from "@bufbuild/protobuf";
import { type HttpBody, HttpBodySchema } from "#gen/google/api/httpbody_pb.ts";
import type { Content as ContentMessage, Resource as ResourceMessage } from "#gen/portico/mcp/v1/mcp_pb.ts";

export type Text = { readonly text: string };
export type Body = Text | { readonly blob: string };

export type Content =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "image" | "audio"; readonly data: string; readonly mimeType: string }
  | {
      readonly type: "resource";
      readonly resource: { readonly uri: string; readonly mimeType: string } & Body;
    }
  | {
      readonly type: "resource_link";
      readonly uri: string;
      readonly name: string;
      readonly mimeType?: string;
      readonly description?: string;
    };

export interface ToolResult {
  readonly content: readonly Content[];
  readonly structuredContent?: JsonObject;
  readonly isError?: true;
}

/** Of an answer that is a file, by its media type. */
export function fileContent({ contentType, data }: HttpBody): Content {
  const type = mediaType(contentType);
  if (type === "text/plain") return { type: "text", text: bytesOf(data).toString("utf8") };
  const kind = /^(image|audio)\//.exec(type)?.[1] as "image" | "audio" | undefined;
  if (kind !== undefined) return { type: kind, data: bytesOf(data).toString("base64"), mimeType: type };
  return { type: "resource", resource: { uri: "portico://answer", ...fileBody({ contentType, data }) } };
}

/** Of a resource that is a file. */
export function fileBody({
  contentType,
  data,
}: Pick<HttpBody, "contentType" | "data">): { readonly mimeType: string } & Body {
  const mimeType = mediaType(contentType) || "application/octet-stream";
  const bytes = bytesOf(data);
  return /^text\/|[/+](json|xml|yaml)$/.test(mimeType)
    ? { mimeType, text: bytes.toString("utf8") }
    : { mimeType, blob: bytes.toString("base64") };
}

/** The pieces of a stream as one. */
export function joined(parts: readonly HttpBody[]): HttpBody {
  const data = Buffer.concat(parts.map((part) => part.data));
  return create(HttpBodySchema, { contentType: parts[0]?.contentType ?? "", data });
}

/** Bytes of what a model reads, as they are on the wire: files are base64 there. */
export function sizeOf(content: Content): number {
  switch (content.type) {
    case "text":
      return Buffer.byteLength(content.text);
    case "resource":
      return sizeOfBody(content.resource);
    case "resource_link":
      return Buffer.byteLength(content.uri);
    default:
      return content.data.length;
  }
}

export function sizeOfBody(body: Body): number {
  return "text" in body ? Buffer.byteLength(body.text) : body.blob.length;
}

export function toContent({ kind }: ContentMessage): Content {
  switch (kind.case) {
    case "image":
    case "audio":
      return {
        type: kind.case,
        data: bytesOf(kind.value.data).toString("base64"),
        mimeType: kind.value.mimeType,
      };
    case "resource":
      return { type: "resource", resource: toResource(kind.value) };
    case "link": {
      const { uri, name, mimeType, description } = kind.value;
      return {
        ...{ type: "resource_link", uri, name: name || uri },
        ...(mimeType === "" ? {} : { mimeType }),
        ...(description === "" ? {} : { description }),
      };
    }
    case "text":
      return { type: "text", text: kind.value };
    case undefined:
      return { type: "text", text: "" };
  }
}

function toResource({
  uri,
  mimeType,
  body,
}: ResourceMessage): { readonly uri: string; readonly mimeType: string } & Body {
  if (body.case === "blob")
    return {
      uri,
      mimeType: mimeType || "application/octet-stream",
      blob: bytesOf(body.value).toString("base64"),
    };
  return { uri, mimeType: mimeType || "text/plain", text: body.value ?? "" };
}

function mediaType(contentType: string): string {
  return contentType.split(";", 1)[0]?.trim() ?? "";
}

function bytesOf(data: Uint8Array): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.length);
}
