/**
 * Scalars in protobuf's binary format, for values as messages hold them when all is well. What is not as it should be, a number out of range
 * or a text where a number belongs, is left to protobuf-es: it has the words for it, or takes it after all.
 */
import { ScalarType } from "@bufbuild/protobuf";
import type { ByteSink } from "#std/byte-sink.ts";

/** Says that protobuf-es has to write this message. Always the same one: it is caught where it stands for a whole message. */
export const unplanned = new Error("a value that is not planned for");

/** Room that any scalar needs but texts and bytes, which make their own. */
export const scalarBytes = 10;

export interface Scalar {
  readonly wireType: number;
  /** In room that is there. @throws unplanned */
  write(sink: ByteSink, value: unknown): void;
  /** Where a field without presence is not written. @throws unplanned */
  isZero(value: unknown): boolean;
}

const halves = new DataView(new ArrayBuffer(8));
const maxInt64 = 2n ** 63n - 1n;
const minInt64 = -(2n ** 63n);
const maxUint64 = 2n ** 64n - 1n;

/** Texts up to here are copied letter by letter: a call of the runtime costs as much as this (60 ns). */
const shortText = 15;

function isZeroNumber(value: unknown): boolean {
  return value === 0;
}

/** As protobuf-es compares: by value, whether it is held as bigint, number or digits. */
function isZeroLong(value: unknown): boolean {
  if (typeof value === "bigint") return value === 0n;
  if (typeof value !== "string" && typeof value !== "number") throw unplanned;
  return Number(value) === 0;
}

function signed(value: unknown): number {
  if (typeof value !== "number" || (value | 0) !== value) throw unplanned;
  return value;
}

function unsigned(value: unknown): number {
  if (typeof value !== "number" || value >>> 0 !== value) throw unplanned;
  return value;
}

/** Digits too: that is how a field with `jstype = JS_STRING` is held. */
function long(value: unknown, min: bigint, max: bigint): bigint {
  const integer = typeof value === "bigint" ? value : BigInt(value as string | number);
  if (integer < min || integer > max) throw unplanned;
  return integer;
}

function writeInt32(sink: ByteSink, value: unknown): void {
  const integer = signed(value);
  if (integer >= 0) {
    sink.varint(integer);
    return;
  }
  // As if it had 64 bits, all of those in front set: ten bytes.
  const { bytes, at } = sink;
  let rest = integer;
  for (let index = 0; index < 9; index += 1) {
    bytes[at + index] = (rest & 127) | 128;
    rest >>= 7;
  }
  bytes[at + 9] = 1;
  sink.at = at + 10;
}

function writeHalves(sink: ByteSink, lowest: number, highest: number): void {
  const { bytes } = sink;
  let low = lowest >>> 0;
  let high = highest >>> 0;
  let { at } = sink;
  while (high > 0 || low > 127) {
    bytes[at] = (low & 127) | 128;
    at += 1;
    low = ((low >>> 7) | (high << 25)) >>> 0;
    high >>>= 7;
  }
  bytes[at] = low;
  sink.at = at + 1;
}

function writeLong(sink: ByteSink, integer: bigint): void {
  halves.setBigInt64(0, integer, true);
  writeHalves(sink, halves.getUint32(0, true), halves.getUint32(4, true));
}

function writeZigzagLong(sink: ByteSink, integer: bigint): void {
  halves.setBigInt64(0, integer, true);
  const low = halves.getInt32(0, true);
  const high = halves.getInt32(4, true);
  const sign = high >> 31;
  writeHalves(sink, (low << 1) ^ sign, ((high << 1) | (low >>> 31)) ^ sign);
}

function writeText(sink: ByteSink, value: unknown): void {
  if (typeof value !== "string") throw unplanned;
  if (value.length <= shortText && writeShortText(sink, value)) return;
  sink.roomForText(value);
  const { bytes, at } = sink;
  // The length is written when it is known, into as many bytes as it would take if all letters were ASCII.
  const guess = varintBytes(value.length);
  const written = bytes.write(value, at + guess);
  const width = varintBytes(written);
  if (width !== guess) bytes.copyWithin(at + width, at + guess, at + guess + written);
  sink.varint(written);
  sink.at += written;
}

/** False: there are letters that are not ASCII. */
function writeShortText(sink: ByteSink, text: string): boolean {
  sink.room(shortText + 1);
  const { bytes, at } = sink;
  const { length } = text;
  for (let index = 0; index < length; index += 1) {
    const code = text.charCodeAt(index);
    if (code > 127) return false;
    bytes[at + 1 + index] = code;
  }
  bytes[at] = length;
  sink.at = at + 1 + length;
  return true;
}

function writeBytes(sink: ByteSink, value: unknown): void {
  if (!(value instanceof Uint8Array)) throw unplanned;
  sink.room(value.length + 5);
  sink.varint(value.length);
  sink.set(value);
}

export function varintBytes(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  return value < 0x1000_0000 ? 4 : 5;
}

function writeDouble(sink: ByteSink, value: unknown): void {
  if (typeof value !== "number") throw unplanned;
  sink.view.setFloat64(sink.at, value, true);
  sink.at += 8;
}

function writeFloat(sink: ByteSink, value: unknown): void {
  if (typeof value !== "number") throw unplanned;
  // Too large for a float is an error, infinite is not.
  if (Number.isFinite(value) && !Number.isFinite(Math.fround(value))) throw unplanned;
  sink.view.setFloat32(sink.at, value, true);
  sink.at += 4;
}

function fixed32(sink: ByteSink, value: number): void {
  sink.view.setInt32(sink.at, value, true);
  sink.at += 4;
}

function fixed64(sink: ByteSink, value: bigint): void {
  sink.view.setBigInt64(sink.at, value, true);
  sink.at += 8;
}

function varint(write: Scalar["write"], isZero: Scalar["isZero"]): Scalar {
  return { wireType: 0, write, isZero };
}

const scalars: Readonly<Record<ScalarType, Scalar>> = {
  [ScalarType.INT32]: varint(writeInt32, isZeroNumber),
  [ScalarType.UINT32]: varint((sink, value) => sink.varint(unsigned(value)), isZeroNumber),
  [ScalarType.SINT32]: varint((sink, value) => {
    const integer = signed(value);
    sink.varint(((integer << 1) ^ (integer >> 31)) >>> 0);
  }, isZeroNumber),
  [ScalarType.INT64]: varint((sink, value) => writeLong(sink, long(value, minInt64, maxInt64)), isZeroLong),
  [ScalarType.UINT64]: varint((sink, value) => writeLong(sink, long(value, 0n, maxUint64)), isZeroLong),
  [ScalarType.SINT64]: varint(
    (sink, value) => writeZigzagLong(sink, long(value, minInt64, maxInt64)),
    isZeroLong,
  ),
  [ScalarType.BOOL]: varint(
    (sink, value) => sink.varint(value ? 1 : 0),
    (value) => value === false,
  ),
  [ScalarType.FIXED32]: {
    wireType: 5,
    write: (sink, value) => fixed32(sink, unsigned(value)),
    isZero: isZeroNumber,
  },
  [ScalarType.SFIXED32]: {
    wireType: 5,
    write: (sink, value) => fixed32(sink, signed(value)),
    isZero: isZeroNumber,
  },
  [ScalarType.FIXED64]: {
    wireType: 1,
    write: (sink, value) => fixed64(sink, long(value, 0n, maxUint64)),
    isZero: isZeroLong,
  },
  [ScalarType.SFIXED64]: {
    wireType: 1,
    write: (sink, value) => fixed64(sink, long(value, minInt64, maxInt64)),
    isZero: isZeroLong,
  },
  [ScalarType.DOUBLE]: { wireType: 1, write: writeDouble, isZero: (value) => Object.is(value, 0) },
  [ScalarType.FLOAT]: { wireType: 5, write: writeFloat, isZero: (value) => Object.is(value, 0) },
  [ScalarType.STRING]: { wireType: 2, write: writeText, isZero: (value) => value === "" },
  [ScalarType.BYTES]: {
    wireType: 2,
    write: writeBytes,
    isZero: (value) => value instanceof Uint8Array && value.byteLength === 0,
  },
};

export function scalarOf(type: ScalarType): Scalar {
  return scalars[type];
}
