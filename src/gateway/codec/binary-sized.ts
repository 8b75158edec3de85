/** Values with their tag in front, and with their length where they have one. */
import type { ByteSink } from "#std/byte-sink.ts";
import { type Scalar, scalarBytes, varintBytes } from "./binary-scalars.ts";

/** Writes one value. @throws `unplanned`, or whatever a value that is none leads to */
export type Writer = (sink: ByteSink, value: unknown) => void;

/** A tag takes five bytes at most, and so does a length. */
export const tagBytes = 5;

export function tagOf(number: number, wireType: number): number {
  return ((number << 3) | wireType) >>> 0;
}

export function tagged(number: number, { wireType, write }: Scalar): Writer {
  const tag = tagOf(number, wireType);
  return (sink, value) => {
    sink.room(tagBytes + scalarBytes);
    sink.varint(tag);
    write(sink, value);
  };
}

export function sized(number: number, write: Writer): Writer {
  const tag = tagOf(number, 2);
  // Bytes that the last length took: what is of one kind tends to be of one size, and then nothing has to be moved.
  let usual = 1;
  return (sink, value) => {
    const reserved = usual;
    sink.room(tagBytes + reserved);
    sink.varint(tag);
    const from = sink.at;
    sink.at = from + reserved;
    write(sink, value);
    const length = sink.at - from - reserved;
    const width = varintBytes(length);
    if (width !== reserved) {
      sink.room(tagBytes);
      sink.bytes.copyWithin(from + width, from + reserved, from + reserved + length);
      usual = width;
    }
    sink.at = from;
    sink.varint(length);
    sink.at += length;
  };
}

/** Between a tag that begins it and one that ends it, without a length. */
export function delimited(number: number, write: Writer): Writer {
  const [start, end] = [tagOf(number, 3), tagOf(number, 4)];
  return (sink, value) => {
    sink.room(tagBytes);
    sink.varint(start);
    write(sink, value);
    sink.room(tagBytes);
    sink.varint(end);
  };
}

export function packed({ write }: Scalar): Writer {
  return (sink, value) => {
    const items = value as readonly unknown[];
    for (let index = 0; index < items.length; index += 1) {
      sink.room(scalarBytes);
      write(sink, items[index]);
    }
  };
}
