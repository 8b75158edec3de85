/**
 * The frames of a WebSocket with many calls, in both subprotocols.
 *
 * In JSON the messages of calls are part of the frame's text. Integers that a double cannot hold pass through as they were written, so
 * the codec of the method's own type has the last word on them.
 */
import { create, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { decodeBinary } from "#gateway/codec/binary.ts";
import { encodeBinary } from "#gateway/codec/binary-writer.ts";
import { defaultMaxDepth, defaultMaxElements } from "#gateway/codec/codec.ts";
import { defaultMaxJsonDepth } from "#gateway/codec/json-depth.ts";
import { JsonText } from "#gateway/codec/json-text.ts";
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

/** What a message may hold, as its own codec has it: a frame holds that and a little of its own. */
export interface FrameLimits {
  /** Nesting of messages in binary. Default 100. */
  readonly maxDepth: number;
  /** Nesting of arrays and objects in JSON. Default 64. */
  readonly maxJsonDepth: number;
  /** Fields and list elements. Default 100 000. */
  readonly maxElements: number;
}

export const defaultFrameLimits: FrameLimits = {
  maxDepth: defaultMaxDepth,
  maxJsonDepth: defaultMaxJsonDepth,
  maxElements: defaultMaxElements,
};

/** Of a JSON frame around its message: levels, and keys. */
const frameLevels = 2;
const frameElements = 1000;

/** By subprotocol. */
export function createFrameCodecs(limits: FrameLimits = defaultFrameLimits): {
  readonly json: FrameCodec;
  readonly proto: FrameCodec;
} {
  return { json: jsonFrames(limits), proto: protoFrames(limits) };
}

/**
 * The frame without its message, and the message as it was written: digits, keys given twice and all, for the codec of its type to judge.
 * @throws RpcError MESSAGE_MALFORMED.
 */
function takeApart(text: JsonText): { readonly rest: string; readonly message: string | undefined } {
  if (!text.isObject()) throw new Error("a frame is a JSON object");
  let message: string | undefined;
  let rest: string | undefined;
  const keys = new Set<string>();
  text.openObject();
  for (let key = text.key(); key !== undefined; key = text.key()) {
    if (keys.has(key)) throw new Error(`a frame has one ${JSON.stringify(key.slice(0, 50))}`);
    keys.add(key);
    const from = text.mark().at;
    text.pass();
    if (key !== "message") continue;
    const to = text.mark().at;
    message = text.written(from, to);
    rest = `${text.written(0, from)}null${text.written(to)}`;
  }
  text.end();
  return { rest: rest ?? text.written(0), message };
}

function jsonFrames(limits: FrameLimits): FrameCodec {
  const around = {
    maxDepth: limits.maxJsonDepth + frameLevels,
    maxElements: limits.maxElements + frameElements,
  };
  return {
    encoding: "json",
    read: (data, isBinary) => {
      if (isBinary) throw new Error("portico.v1+json has text frames");
      const { rest, message } = takeApart(new JsonText(data, around));
      const frame = fromJson(ClientFrameSchema, JSON.parse(rest) as JsonValue);
      return message === undefined ? frame : { ...frame, message: Buffer.from(message, "utf8") };
    },
    write: writeJson,
  };
}

const writeJson: FrameCodec["write"] = ({ message, end, headers, ...rest }) => {
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
};

function protoFrames(limits: FrameLimits): FrameCodec {
  return {
    encoding: "proto",
    read: (data, isBinary) => {
      if (!isBinary) throw new Error("portico.v1+proto has binary frames");
      return decodeBinary(ClientFrameSchema, data, limits) as ClientFrame;
    },
    write: ({ message, headers, ...rest }) =>
      encodeBinary(
        ServerFrameSchema,
        create(ServerFrameSchema, {
          ...rest,
          ...(headers === undefined ? {} : { headers: { entries: headers } }),
          ...(message === undefined ? {} : { message: message.bytesIn("proto") }),
        } as Parameters<typeof create<typeof ServerFrameSchema>>[1]),
      ),
  };
}
