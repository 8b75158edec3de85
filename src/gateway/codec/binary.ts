/**
 * The binary format in, through protobuf-es; before it a scan over the tags, so that a message made of a million empty messages
 * is refused in milliseconds instead of decoded in seconds.
 */
import { type DescField, type DescMessage, fromBinary, type Message, ScalarType } from "@bufbuild/protobuf";
import { RpcError } from "#rpc/error.ts";

export interface BinaryLimits {
  readonly maxElements: number;
  readonly maxDepth: number;
}

/** @throws RpcError `invalid_argument` MESSAGE_MALFORMED, `resource_exhausted` TOO_MANY_ELEMENTS. */
export function decodeBinary(desc: DescMessage, bytes: Uint8Array, limits: BinaryLimits): Message {
  // An element takes a byte at least: a message of fewer bytes cannot hold too many, which spares nearly all the scan (0.6 ms a 100 KB).
  if (bytes.length > limits.maxElements) scanElements(desc, bytes, limits);
  try {
    // Unknown fields stay with the message: extensions are among them, and a reader of an older contract loses nothing.
    return fromBinary(desc, bytes, { recursionLimit: limits.maxDepth });
  } catch (cause) {
    throw malformed(desc, cause);
  }
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

/** Counts fields and list elements, entering the fields that are messages; malformed input is left for the decoder to refuse. */
function scanElements(desc: DescMessage, bytes: Uint8Array, limits: BinaryLimits): void {
  new Scanner(bytes, limits).message(fieldsOf(desc), bytes.length, 0);
}

/** Makes nothing while it goes on: two million elements are two million steps and no object. */
class Scanner {
  readonly #bytes: Uint8Array;
  readonly #limits: BinaryLimits;
  #at = 0;
  #count = 0;

  constructor(bytes: Uint8Array, limits: BinaryLimits) {
    this.#bytes = bytes;
    this.#limits = limits;
  }

  /** The fields from here to `end`; false: malformed. */
  message(outer: Fields, end: number, depth: number): boolean {
    if (depth > this.#limits.maxDepth) return false;
    let fields = outer;
    // Of groups that are open: their fields are those of another message.
    const around: Fields[] = [];
    while (this.#at < end) {
      this.#add(1);
      const tag = this.#varint(end);
      const field = fields.get(tag >>> 3);
      switch (tag < 0 ? 7 : tag & 7) {
        case 0:
          if (!this.#skipVarint(end)) return false;
          break;
        case 1:
          this.#at += 8;
          break;
        case 5:
          this.#at += 4;
          break;
        case 2:
          if (!this.#sized(field, end, depth)) return false;
          break;
        case 3:
          around.push(fields);
          fields = field?.inner === undefined ? nothing : fieldsOf(field.inner);
          break;
        case 4:
          fields = around.pop() ?? nothing;
          break;
        default:
          return false;
      }
    }
    return this.#at === end;
  }

  #sized(field: Inside | undefined, end: number, depth: number): boolean {
    const length = this.#varint(end);
    const to = this.#at + length;
    if (length < 0 || to > end) return false;
    const inside = field?.entry ?? (field?.inner === undefined ? undefined : fieldsOf(field.inner));
    if (inside !== undefined) {
      // What is empty has nothing to enter: most of what floods is.
      if (length > 0 && !this.message(inside, to, depth + 1)) return false;
    } else if (field?.packed !== undefined) this.#add(packedLength(this.#bytes, this.#at, to, field.packed));
    this.#at = to;
    return true;
  }

  #add(more: number): void {
    this.#count += more;
    if (this.#count > this.#limits.maxElements) throw tooMany(this.#limits.maxElements);
  }

  /** The low 32 bits, as decoders read tags and lengths: written with up to ten bytes, however few are needed. -1: none is here. */
  #varint(end: number): number {
    let value = 0;
    for (let shift = 0; this.#at < end && shift < 70; shift += 7) {
      const byte = this.#bytes[this.#at] ?? 0;
      this.#at += 1;
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    return -1;
  }

  #skipVarint(end: number): boolean {
    while (this.#at < end && (this.#bytes[this.#at] ?? 0) >= 0x80) this.#at += 1;
    this.#at += 1;
    return this.#at <= end;
  }
}

/** How a scan goes on inside a field. */
interface Inside {
  readonly inner?: DescMessage | undefined;
  /** Of a map: its value has number 2. */
  readonly entry?: Fields | undefined;
  /** Bytes of one element where several are sent as one value; 0: as many as it takes. Declared so or not, decoders take both forms. */
  readonly packed?: number | undefined;
}
type Fields = ReadonlyMap<number, Inside>;

const nothing: Fields = new Map();
const tables = new WeakMap<DescMessage, Fields>();

function fieldsOf(desc: DescMessage): Fields {
  const known = tables.get(desc);
  if (known !== undefined) return known;
  const table = new Map(desc.fields.map((field) => [field.number, insideOf(field)]));
  tables.set(desc, table);
  return table;
}

function insideOf(field: DescField): Inside {
  switch (field.fieldKind) {
    case "message":
      return { inner: field.message };
    case "map":
      return { entry: field.mapKind === "message" ? new Map([[2, { inner: field.message }]]) : nothing };
    case "list":
      if (field.listKind === "message") return { inner: field.message };
      return { packed: field.listKind === "enum" ? 0 : widths[field.scalar] };
    default:
      return {};
  }
}

/** Scalars that can be packed, with the bytes of one; 0: a varint. */
const widths: Readonly<Partial<Record<ScalarType, number>>> = {
  [ScalarType.DOUBLE]: 8,
  [ScalarType.FIXED64]: 8,
  [ScalarType.SFIXED64]: 8,
  [ScalarType.FLOAT]: 4,
  [ScalarType.FIXED32]: 4,
  [ScalarType.SFIXED32]: 4,
  [ScalarType.BOOL]: 0,
  [ScalarType.INT32]: 0,
  [ScalarType.INT64]: 0,
  [ScalarType.UINT32]: 0,
  [ScalarType.UINT64]: 0,
  [ScalarType.SINT32]: 0,
  [ScalarType.SINT64]: 0,
};

function packedLength(bytes: Uint8Array, from: number, to: number, width: number): number {
  if (width > 0) return Math.floor((to - from) / width);
  let count = 0;
  // Each varint ends with the one byte whose highest bit is not set.
  for (let at = from; at < to; at += 1) if ((bytes[at] ?? 0) < 0x80) count += 1;
  return count;
}
