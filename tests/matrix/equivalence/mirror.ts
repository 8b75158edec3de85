/** The mirror's message, what it is compared by, and what an answer of any protocol is. */
import {
  createRegistry,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonValue,
  type Message,
  type Registry,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { file_google_rpc_error_details } from "#gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "#gen/google/rpc/status_pb.ts";
import { frame } from "../../support/grpc-driver.ts";

export interface Failure {
  readonly code: number;
  readonly message: string;
  /** Without RequestInfo, which names the one request. */
  readonly details: readonly JsonValue[];
}

export type Answer =
  | { readonly kind: "message"; readonly message: Message }
  | { readonly kind: "failure"; readonly failure: Failure };

export class Mirror {
  readonly desc: DescMessage;
  readonly registry: Registry;
  readonly #details: Registry;

  constructor(registry: Registry) {
    this.registry = registry;
    this.desc = registry.getMessage("test.v1.Specimen")!;
    this.#details = createRegistry(file_google_rpc_error_details);
  }

  fromJson(json: JsonValue): Message {
    return fromJson(this.desc, json, { registry: this.registry });
  }

  /** What two messages are compared by: ProtoJSON by their descriptors, which knows neither the order of fields nor that of maps. */
  canonical(message: Message): JsonValue {
    // Through binary first: what is held for a float may have more digits than a float has.
    const held = fromBinary(this.desc, toBinary(this.desc, message));
    return toJson(this.desc, held, { registry: this.registry });
  }

  bytes(message: Message, encoding: "proto" | "json"): Buffer {
    return encoding === "proto"
      ? Buffer.from(toBinary(this.desc, message))
      : Buffer.from(printJson(this.canonical(message)));
  }

  answer(bytes: Uint8Array, encoding: "proto" | "json"): Answer {
    const message =
      encoding === "proto"
        ? fromBinary(this.desc, bytes)
        : this.fromJson(JSON.parse(Buffer.from(bytes).toString()) as JsonValue);
    return { kind: "message", message };
  }

  /** google.rpc.Status in binary. */
  status(bytes: Uint8Array): Answer {
    const { code, message, details } = fromBinary(StatusSchema, bytes);
    return this.failure(
      code,
      message,
      details.map((detail) => {
        const unpacked = anyUnpack(detail, this.#details);
        if (unpacked === undefined) throw new Error(`a detail of type ${detail.typeUrl}`);
        const json = toJson(this.#details.getMessage(unpacked.$typeName)!, unpacked) as object;
        return { "@type": detail.typeUrl, ...json };
      }),
    );
  }

  /** One detail as Connect writes it. */
  detail({ type, value }: { readonly type: string; readonly value: string }): JsonValue {
    const desc = this.#details.getMessage(type)!;
    const json = toJson(desc, fromBinary(desc, Buffer.from(value, "base64"))) as object;
    return { "@type": `type.googleapis.com/${type}`, ...json };
  }

  failure(code: number, message: string, details: readonly JsonValue[]): Answer {
    const kept = details.filter(
      (detail) => !String((detail as { "@type": string })["@type"]).endsWith("RequestInfo"),
    );
    return { kind: "failure", failure: { code, message, details: kept } };
  }
}

/** JSON.stringify knows no minus zero. */
export function printJson(value: JsonValue): string {
  if (typeof value === "number") return Object.is(value, -0) ? "-0.0" : JSON.stringify(value);
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(printJson).join(",")}]`;
  const fields = Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}:${printJson(one)}`);
  return `{${fields.join(",")}}`;
}

export { frame };

/** The frames of an answer, each with its flag. */
export function unframe(bytes: Buffer): { readonly flag: number; readonly bytes: Buffer }[] {
  const frames: { flag: number; bytes: Buffer }[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    frames.push({ flag: bytes[at] ?? 0, bytes: bytes.subarray(at + 5, end) });
    at = end;
  }
  return frames;
}
