/**
 * The frames of a WebSocket with many calls, in both subprotocols.
 *
 * In JSON the messages of calls are part of the frame's text. Integers that a double cannot hold pass through as they were written, so
 * the codec of the method's own type has the last word on them.
 */
import { create, fromBinary, fromJson, type JsonValue, toBinary } from "@bufbuild/protobuf";
import type { Status } from "#gen/google/rpc/status_pb.ts";
import {
  type ClientFrame,
  ClientFrameSchema,
  ServerFrameSchema,
} from "#gen/portico/websocket/v1/websocket_pb.ts";
import type { Payload } from "#rpc/payload.ts";
import { statusToJson } from "../rest/error-body.ts";

/** A frame that came in; `message` is in the subprotocol's encoding. */
export type Incoming = Pick<ClientFrame, "id" | "init" | "call" | "end" | "cancel" | "credit"> & {
  readonly message?: Uint8Array | undefined;
};

export interface Ending {
  readonly status: Status;
  readonly trailers: Readonly<Record<string, string>>;
}

/** What goes out; of one call, or of the connection where the id is empty. */
export interface Outgoing {
  readonly id: string;
  readonly ready?: {
    readonly heartbeatSeconds: number;
    readonly maxFrameBytes: number;
    readonly credit: number;
    readonly maxCalls: number;
  };
  readonly headers?: Readonly<Record<string, string>>;
  readonly message?: Payload;
  readonly end?: Ending;
  readonly credit?: number;
  readonly notice?: { readonly kind: string; readonly message: string };
}

export interface FrameCodec {
  readonly encoding: "json" | "proto";
  /** @throws Error where it is no frame. */
  read(data: Buffer, isBinary: boolean): Incoming;
  write(frame: Outgoing): string | Uint8Array;
}

/** Whether a text may hold a number that reading and writing would change: one that is rounded, or minus zero. */
const inexact = /\d{16}|-0/;

interface JsonFrame {
  readonly message?: unknown;
}

export const jsonFrames: FrameCodec = {
  encoding: "json",
  read: (data, isBinary) => {
    if (isBinary) throw new Error("portico.v1+json has text frames");
    const text = data.toString("utf8");
    const parsed: unknown = inexact.test(text) ? JSON.parse(text, exactNumber) : JSON.parse(text);
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
      throw new Error("a frame is a JSON object");
    const { message, ...rest } = parsed as JsonFrame;
    const frame = fromJson(ClientFrameSchema, rest as JsonValue);
    return message === undefined
      ? frame
      : { ...frame, message: Buffer.from(JSON.stringify(message), "utf8") };
  },
  write: ({ message, end, headers, ...rest }) => {
    const frame: Record<string, unknown> = { ...rest };
    if (rest.id === "") delete frame.id;
    if (headers !== undefined) frame.headers = { entries: headers };
    if (end !== undefined)
      frame.end = {
        status: { code: end.status.code, ...(statusToJson(end.status) as object) },
        trailers: end.trailers,
      };
    const text = JSON.stringify(frame);
    if (message === undefined) return text;
    return `${text.slice(0, -1)}${text === "{}" ? "" : ","}"message":${message.text()}}`;
  },
};

/** A number as it was written, where it is one that a double would change. */
function exactNumber(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  const source = context?.source;
  if (typeof value !== "number" || source === undefined) return value;
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) return value;
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(source);
}

export const protoFrames: FrameCodec = {
  encoding: "proto",
  read: (data, isBinary) => {
    if (!isBinary) throw new Error("portico.v1+proto has binary frames");
    return fromBinary(ClientFrameSchema, data);
  },
  write: ({ message, headers, ...rest }) =>
    toBinary(
      ServerFrameSchema,
      create(ServerFrameSchema, {
        ...rest,
        ...(headers === undefined ? {} : { headers: { entries: headers } }),
        ...(message === undefined ? {} : { message: message.bytesIn("proto") }),
      } as Parameters<typeof create<typeof ServerFrameSchema>>[1]),
    ),
};
