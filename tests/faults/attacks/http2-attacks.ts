/** Attacks on HTTP/2, byte by byte: each is what one client writes, and how it must end. */
import { frameBytes } from "../http2-bytes.ts";

const [data, headers, priority, reset, settings, ping, windowUpdate, continuation] = [0, 1, 2, 3, 4, 6, 8, 9];
const endStream = 1;
const endHeaders = 4;
const none = Buffer.alloc(0);

export interface Attack {
  readonly name: string;
  /** Written after the preface and SETTINGS, as fast as the server reads. */
  readonly sends: readonly Buffer[];
  /** Whether the client reads what comes. Default true. */
  readonly reads?: boolean;
  /** closed: the connection; refused: a stream, with this error code at the latest. */
  readonly ends: "closed" | { readonly refused: number };
}

/** Fields that are sent as literals without an index (RFC 7541 section 6.2.2). */
function block(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([name, value]) => [
      Buffer.from([0, name.length]),
      Buffer.from(name, "latin1"),
      Buffer.from([value.length]),
      Buffer.from(value, "latin1"),
    ]),
  );
}

const call = block([
  [":method", "POST"],
  [":scheme", "http"],
  [":path", "/portico.bpmn.v1.BPMNService/UploadBPMN"],
  [":authority", "a"],
  ["content-type", "application/grpc"],
  ["te", "trailers"],
]);

/** A call that waits for its first message. */
const open = (stream: number): Buffer => frameBytes(headers, endHeaders, stream, call);
const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
/** @param make of the n-th stream's id. */
function streams(count: number, make: (stream: number) => readonly Buffer[]): Buffer[] {
  return Array.from({ length: count }, (_unused, at) => Buffer.concat(make(2 * at + 1)));
}
const repeat = (count: number, frame: Buffer): Buffer[] =>
  Array.from({ length: Math.ceil(count / 1000) }, () =>
    Buffer.concat(Array(Math.min(1000, count)).fill(frame)),
  );

/** One entry of 4 KiB in the table (RFC 7541 section 6.2.1), and then 8000 references to it, one byte each. */
const bomb = Buffer.concat([
  call,
  Buffer.from([0x40, 1]),
  Buffer.from("x"),
  // 4000 as an integer with a prefix of seven bits.
  Buffer.from([0x7f, 0xa1, 0x1e]),
  Buffer.alloc(4000, 97),
  Buffer.alloc(8000, 0xbe),
]);

export const attacks: readonly Attack[] = [
  {
    name: "rapid reset of 100,000 streams",
    sends: streams(100_000, (stream) => [open(stream), frameBytes(reset, 0, stream, uint32(8))]),
    ends: "closed",
  },
  {
    name: "a CONTINUATION flood",
    sends: [
      frameBytes(headers, 0, 1, call),
      ...repeat(2000, frameBytes(continuation, 0, 1, block([["x", "a".repeat(100)]]))),
    ],
    ends: "closed",
  },
  {
    name: "a flood of empty CONTINUATIONs",
    sends: [frameBytes(headers, 0, 1, call), ...repeat(100_000, frameBytes(continuation, 0, 1, none))],
    ends: "closed",
  },
  {
    name: "MadeYouReset by zero increments",
    sends: streams(20_000, (stream) => [open(stream), frameBytes(windowUpdate, 0, stream, uint32(0))]),
    ends: "closed",
  },
  {
    name: "MadeYouReset by overflowing windows",
    sends: streams(20_000, (stream) => [
      open(stream),
      frameBytes(windowUpdate, 0, stream, uint32(2 ** 31 - 1)),
    ]),
    ends: "closed",
  },
  {
    name: "MadeYouReset by DATA on half-closed streams",
    sends: streams(20_000, (stream) => [
      frameBytes(headers, endHeaders | endStream, stream, call),
      frameBytes(data, 0, stream, Buffer.from("x")),
    ]),
    ends: "closed",
  },
  { name: "a SETTINGS flood", sends: repeat(100_000, frameBytes(settings, 0, 0, none)), ends: "closed" },
  {
    name: "a SETTINGS flood that reads nothing",
    sends: repeat(100_000, frameBytes(settings, 0, 0, none)),
    reads: false,
    ends: "closed",
  },
  { name: "a PING flood", sends: repeat(100_000, frameBytes(ping, 0, 0, Buffer.alloc(8))), ends: "closed" },
  {
    name: "a PING flood that reads nothing",
    sends: repeat(100_000, frameBytes(ping, 0, 0, Buffer.alloc(8))),
    reads: false,
    ends: "closed",
  },
  {
    name: "a PRIORITY flood",
    sends: [open(1), ...repeat(200_000, frameBytes(priority, 0, 3, Buffer.from([0, 0, 0, 0, 1])))],
    ends: "closed",
  },
  {
    name: "a flood of frames of an unknown type",
    sends: repeat(100_000, frameBytes(0xbe, 0, 0, Buffer.alloc(8))),
    ends: "closed",
  },
  {
    name: "a flood of empty DATA",
    sends: [open(1), ...repeat(100_000, frameBytes(data, 0, 1, none))],
    ends: "closed",
  },
  {
    name: "an HPACK bomb",
    sends: [frameBytes(headers, endHeaders, 1, bomb)],
    ends: { refused: 11 },
  },
  {
    name: "a window overflow of the connection",
    sends: [frameBytes(windowUpdate, 0, 0, uint32(2 ** 31 - 1)), open(1)],
    ends: "closed",
  },
  {
    name: "a window overflow of a stream",
    sends: [open(1), frameBytes(windowUpdate, 0, 1, uint32(2 ** 31 - 1))],
    ends: "closed",
  },
  { name: "50,000 streams", sends: streams(50_000, (stream) => [open(stream)]), ends: "closed" },
  { name: "the 101st stream", sends: streams(101, (stream) => [open(stream)]), ends: { refused: 7 } },
  { name: "a preface and nothing more", sends: [], ends: "closed" },
  {
    name: "headers without their end",
    sends: [frameBytes(headers, 0, 1, call.subarray(0, 20))],
    ends: "closed",
  },
  {
    name: "half a header block beside a call",
    sends: [
      frameBytes(headers, endHeaders | endStream, 1, call),
      frameBytes(headers, 0, 3, call.subarray(0, 20)),
    ],
    ends: "closed",
  },
];
