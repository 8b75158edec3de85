/**
 * The binary format, through protobuf-es; before it a scan over the tags, so that a message made of a million empty messages
 * is refused in milliseconds instead of decoded in seconds.
 */
import { type DescMessage, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { RpcError } from "#rpc/error.ts";

export interface BinaryLimits {
  readonly maxElements: number;
  readonly maxDepth: number;
}

/**
 * Whether a message, or one in it, can be extended. Extensions are where protobuf-es keeps what it does not know: such messages keep that
 * too. In all others a field that the contract does not have is dropped.
 */
export function isExtendable(desc: DescMessage, seen = new Set<DescMessage>()): boolean {
  if (seen.has(desc)) return false;
  seen.add(desc);
  return (
    desc.proto.extensionRange.length > 0 ||
    desc.fields.some((field) => field.message !== undefined && isExtendable(field.message, seen))
  );
}

/** @throws RpcError `invalid_argument` MESSAGE_MALFORMED, `resource_exhausted` TOO_MANY_ELEMENTS. */
export function decodeBinary(
  desc: DescMessage,
  bytes: Uint8Array,
  limits: BinaryLimits & { readonly readUnknownFields: boolean },
): Message {
  // An element takes two bytes at least: most messages are too short to need the scan.
  if (bytes.length > limits.maxElements * 2) scanElements(desc, bytes, limits);
  try {
    return fromBinary(desc, bytes, {
      readUnknownFields: limits.readUnknownFields,
      recursionLimit: limits.maxDepth,
    });
  } catch (cause) {
    throw malformed(desc, cause);
  }
}

export function encodeBinary(desc: DescMessage, message: Message): Uint8Array {
  return toBinary(desc, message);
}

function malformed(desc: DescMessage, cause: unknown): RpcError {
  return new RpcError("invalid_argument", {
    reason: "MESSAGE_MALFORMED",
    message: `the body is not a ${desc.typeName} in protobuf's binary format`,
    metadata: { type: desc.typeName },
    cause,
  });
}

function tooMany(limit: number): RpcError {
  return new RpcError("resource_exhausted", {
    reason: "TOO_MANY_ELEMENTS",
    message: `the message holds more than ${limit} elements; send less at a time`,
    metadata: { limit: String(limit) },
  });
}

/** Counts fields, entering the fields that are messages; malformed input is left for the decoder to refuse. */
function scanElements(desc: DescMessage, bytes: Uint8Array, limits: BinaryLimits): void {
  let count = 0;
  const scan = (at: DescMessage | undefined, start: number, end: number, depth: number): void => {
    if (depth > limits.maxDepth) return;
    let offset = start;
    while (offset < end) {
      count += 1;
      if (count > limits.maxElements) throw tooMany(limits.maxElements);
      const tag = readVarint(bytes, offset, end);
      if (tag === undefined) return;
      offset = tag.next;
      const length = skipLength(bytes, offset, end, tag.value & 7);
      if (length === undefined) return;
      if ((tag.value & 7) === 2) {
        const field = at?.field === undefined ? undefined : fieldOf(at, tag.value >>> 3);
        if (field?.message !== undefined) scan(field.message, length.from, length.to, depth + 1);
        else if (field?.packed === true) count += length.to - length.from;
      }
      offset = length.to;
    }
  };
  scan(desc, 0, bytes.length, 0);
}

const fieldTables = new WeakMap<
  DescMessage,
  Map<number, { message: DescMessage | undefined; packed: boolean }>
>();

function fieldOf(desc: DescMessage, number: number) {
  let table = fieldTables.get(desc);
  if (table === undefined) {
    table = new Map(
      desc.fields.map((field) => [
        field.number,
        {
          message:
            field.fieldKind === "message" || (field.fieldKind === "list" && field.listKind === "message")
              ? field.message
              : undefined,
          packed: field.fieldKind === "list" && field.listKind !== "message" && field.packed,
        },
      ]),
    );
    fieldTables.set(desc, table);
  }
  return table.get(number);
}

/** Only the low 32 bits matter: tags and lengths of messages under 4 GiB. */
function readVarint(
  bytes: Uint8Array,
  offset: number,
  end: number,
): { value: number; next: number } | undefined {
  let value = 0;
  for (let at = offset, shift = 0; at < end && shift < 35; at += 1, shift += 7) {
    const byte = bytes[at] ?? 0;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return { value: value >>> 0, next: at + 1 };
  }
  return undefined;
}

/** Where the value after a tag begins and ends; undefined when it does not fit. */
function skipLength(
  bytes: Uint8Array,
  offset: number,
  end: number,
  wireType: number,
): { from: number; to: number } | undefined {
  switch (wireType) {
    case 0: {
      let at = offset;
      while (at < end && (bytes[at] ?? 0) >= 0x80) at += 1;
      return at < end ? { from: offset, to: at + 1 } : undefined;
    }
    case 1:
      return offset + 8 <= end ? { from: offset, to: offset + 8 } : undefined;
    case 5:
      return offset + 4 <= end ? { from: offset, to: offset + 4 } : undefined;
    case 2: {
      const length = readVarint(bytes, offset, end);
      if (length === undefined || length.next + length.value > end) return undefined;
      return { from: length.next, to: length.next + length.value };
    }
    case 3:
    case 4:
      return { from: offset, to: offset };
    default:
      return undefined;
  }
}
