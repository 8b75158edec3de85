/**
 * Messages to bytes and back: protobuf binary and ProtoJSON, one compiled type per message, cached.
 *
 * Refuses what would cost more than it is worth before decoding it: too many elements, too deep. Errors name the field in the
 * caller's spelling and never repeat a library's words.
 */
import {
  createRegistry,
  type DescField,
  type DescMessage,
  type Message,
  type Registry,
} from "@bufbuild/protobuf";
import { file_google_rpc_error_details } from "#gen/google/rpc/error_details_pb.ts";
import { file_google_rpc_status } from "#gen/google/rpc/status_pb.ts";
import { file_portico_mcp_v1_mcp } from "#gen/portico/mcp/v1/mcp_pb.ts";
import type { Encoding, MessageType } from "#rpc/payload.ts";
import type { ByteSink } from "#std/byte-sink.ts";
import { decodeBinary } from "./binary.ts";
import { encodeBinary, writeBinary } from "./binary-writer.ts";
import { defaultMaxJsonDepth } from "./json-depth.ts";
import { JsonReader } from "./json-reader.ts";
import { JsonWriter } from "./json-writer.ts";
import { requiredCheck } from "./required.ts";

/** The options' defaults. */
export const defaultMaxElements = 100_000;
export const defaultMaxDepth = 100;

export interface CodecOptions {
  /** Fields and list elements in one message, nested ones included. Default 100 000. */
  readonly maxElements?: number;
  /** Nesting of messages in binary. Default 100. */
  readonly maxDepth?: number;
  /** Nesting of JSON arrays and objects. Default 64. */
  readonly jsonMaxDepth?: number;
  /** JSON keys that the message does not have. Default `reject`. */
  readonly unknownFields?: "reject" | "ignore";
  /** Fields without presence that hold their default, in JSON. Default `write`: a client finds every one that there is. */
  readonly defaults?: "write" | "omit";
}

/** What any answer may hold in an Any, whether or not the services' own descriptors know it. */
const always = createRegistry(file_google_rpc_error_details, file_google_rpc_status, file_portico_mcp_v1_mcp);

export interface CompiledType extends MessageType {
  /**
   * The JSON body of a PATCH: the message in `field`, and the leaf paths (proto names, relative to that message) that its
   * keys name. Output-only fields and `etag` are read but not named; maps, lists and messages with a JSON form of their own
   * are named whole.
   */
  decodeJsonFieldWithPaths(field: DescField, bytes: Uint8Array): { message: Message; paths: string[] };
  /** The JSON of one field alone, for `body: "field"`: what a message's property of that name would hold. */
  decodeJsonField(field: DescField, bytes: Uint8Array): unknown;
  /** The JSON of one field alone, for `response_body: "field"`. */
  encodeJsonField(message: Message, field: DescField): string;
}

export interface Codec {
  typeOf(desc: DescMessage): CompiledType;
  /** JSON keys that a message does not have. */
  readonly unknownFields: "reject" | "ignore";
}

/** @param services resolves Any and extensions; the google.rpc error details are known besides. */
export function createCodec(services: Registry, options: CodecOptions = {}): Codec {
  const registry = createRegistry(always, services);
  const unknownFields = options.unknownFields ?? "reject";
  const types = new Map<DescMessage, CompiledType>();
  const limits = {
    maxElements: options.maxElements ?? defaultMaxElements,
    maxDepth: options.maxDepth ?? defaultMaxDepth,
  };
  const writer = new JsonWriter(registry, options.defaults ?? "write");
  const reader = new JsonReader(registry, {
    maxDepth: options.jsonMaxDepth ?? defaultMaxJsonDepth,
    maxElements: limits.maxElements,
    unknown: unknownFields,
  });
  const make = (desc: DescMessage): CompiledType => {
    const check = requiredCheck(desc);
    return {
      desc,
      ...(check === undefined ? {} : { check }),
      decode: (bytes: Uint8Array, encoding: Encoding) =>
        encoding === "proto" ? decodeBinary(desc, bytes, limits) : reader.read(desc, bytes),
      encode: (message: Message, encoding: Encoding) =>
        encoding === "proto" ? encodeBinary(desc, message) : writer.write(desc, message),
      encodeTo: (sink: ByteSink, message: Message, encoding: Encoding) => {
        if (encoding === "proto") writeBinary(sink, desc, message);
        else sink.text(writer.writeText(desc, message));
      },
      encodeText: (message: Message) => writer.writeText(desc, message),
      decodeJsonFieldWithPaths: (field, bytes) => reader.readFieldWithPaths(field, bytes),
      decodeJsonField: (field, bytes) => reader.readField(field, bytes),
      encodeJsonField: (message, field) => writer.writeField(message, field),
    };
  };
  return {
    unknownFields,
    typeOf: (desc) => {
      const known = types.get(desc);
      if (known !== undefined) return known;
      const made = make(desc);
      types.set(desc, made);
      return made;
    },
  };
}
