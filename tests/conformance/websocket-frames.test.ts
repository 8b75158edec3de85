/**
 * RFC 6455 byte by byte, after the sections 1-7, 9 and 10 of Autobahn's test suite: framing, pings, reserved bits, opcodes, fragments, UTF-8,
 * closing, large messages, pieces.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type EchoServer, startEcho } from "../support/echo.ts";
import {
  binary,
  close,
  closing,
  frame,
  more,
  ping,
  pong,
  Raw,
  type Received,
  text,
} from "../support/websocket-bytes.ts";

/** A text message of so many bytes that the echo method gives back. */
const message = (bytes: number, fill = "x"): string => JSON.stringify({ text: fill.repeat(bytes) });

type Expected =
  /** The texts come back as messages. */
  | { readonly echoes: readonly string[] }
  /** Pongs with these payloads, and the connection goes on. */
  | { readonly pongs: readonly (Buffer | string)[]; readonly echoes?: readonly string[] }
  /** Closed with one of these codes, undefined: without any frame; and exactly these texts came before, where they are said. */
  | { readonly closes: readonly (number | undefined)[]; readonly echoes?: readonly string[] };

const textsOf = (frames: readonly Received[]): string[] =>
  frames.flatMap(({ opcode, payload }) =>
    opcode === text ? [(JSON.parse(payload.toString()) as { text?: string }).text ?? ""] : [],
  );

interface Row {
  readonly name: string;
  readonly sends: readonly Buffer[];
  /** In pieces of so many bytes. */
  readonly pieces?: number;
  readonly expect: Expected;
}

const pieces = (opcode: number, parts: readonly (Buffer | string)[]): Buffer[] =>
  parts.map((part, at) => frame(at === 0 ? opcode : more, part, { fin: at === parts.length - 1 }));

const euro = Buffer.from('{"text":"κόσμε €\u{1F600}"}');
const badUtf8: readonly [string, string][] = [
  ["a lone continuation", "80"],
  ["the last continuation", "bf"],
  ["an overlong slash", "c0af"],
  ["an overlong slash of three", "e080af"],
  ["an overlong slash of four", "f08080af"],
  ["an overlong of five", "f8808080af"],
  ["an overlong NUL", "c080"],
  ["a surrogate", "eda080"],
  ["a pair of surrogates", "eda080edb080"],
  ["beyond U+10FFFF", "f4908080"],
  ["the byte fe", "fe"],
  ["the byte ff", "ff"],
  ["a sequence without its end", "e282"],
  ["good, then bad", "cebae1bdb9cf83cebcceb5eda080656469746564"],
  ["all 64 continuations", Array.from({ length: 64 }, (_, n) => (0x80 + n).toString(16)).join("")],
  ...["c020", "df20", "e020", "ef20", "f020", "f720", "f820", "fb20", "fc20", "fd20"].map(
    (hex): [string, string] => [`a beginning alone, ${hex}`, hex],
  ),
  ...["c3", "e0a0", "f09080", "f8808080", "fc80808080", "df", "efbf", "f48fbf"].map(
    (hex): [string, string] => [`a sequence without its last byte, ${hex}`, hex],
  ),
  ...["c1bf", "e09fbf", "f08fbfbf", "f887bfbfbf", "fc83bfbfbfbf"].map((hex): [string, string] => [
    `the greatest overlong, ${hex}`,
    hex,
  ]),
  ...["e08080", "f0808080", "f880808080", "fc8080808080"].map((hex): [string, string] => [
    `an overlong NUL, ${hex}`,
    hex,
  ]),
  ...["edadbf", "edae80", "edafbf", "edb080", "edbe80", "edbfbf"].map((hex): [string, string] => [
    `a surrogate alone, ${hex}`,
    hex,
  ]),
  ...["edadbfedb080", "edae80edbfbf", "edafbfedbfbf"].map((hex): [string, string] => [
    `surrogates in a pair, ${hex}`,
    hex,
  ]),
  ...["f888808080", "fc8480808080", "f7bfbfbf", "fbbfbfbfbf", "fdbfbfbfbfbf"].map((hex): [string, string] => [
    `the first or last of a length that is not used, ${hex}`,
    hex,
  ]),
];

/** First and last of every length, and the borders inside. */
const goodUtf8 =
  "7f c280 dfbf e0a080 ed9fbf ee8080 efbfbd efbfbf f0908080 f48fbfbf cebae1bdb9cf83cebcceb5".split(" ");
const quoted = (hex: string): Buffer =>
  Buffer.concat([Buffer.from('{"text":"'), Buffer.from(hex, "hex"), Buffer.from('"}')]);
const bytesOf = (whole: Buffer): Buffer[] => [...whole].map((byte) => Buffer.from([byte]));

const rows: readonly Row[] = [
  // 1: framing.
  // Bodies of 125, 126, 127 and 128 bytes, and of 65 535 and 65 536: where the length takes another form.
  ...[0, 100, 110, 114, 115, 116, 117, 65_510, 65_520, 65_521, 65_522, 65_523, 65_524, 65_525].map(
    (bytes): Row => {
      const body = message(bytes);
      return {
        name: `1: a text of ${body.length} bytes`,
        sends: [frame(text, body)],
        expect: { echoes: ["x".repeat(bytes)] },
      };
    },
  ),
  {
    name: "1: a text of 70 000 bytes in pieces of 997",
    sends: [frame(text, message(70_000))],
    pieces: 997,
    expect: { echoes: ["x".repeat(70_000)] },
  },
  {
    name: "1: a binary message, where messages are texts",
    sends: [frame(binary, message(1))],
    expect: { closes: [4400] },
  },
  { name: "1: an empty text, which ends what is sent", sends: [frame(text)], expect: { closes: [1000] } },
  ...[0, 125, 126, 127, 128, 65_535, 65_536].map(
    (bytes): Row => ({
      name: `1: ${bytes} bytes of a binary message, where messages are texts`,
      sends: [frame(binary, Buffer.alloc(bytes, 0xfe))],
      expect: { closes: [4400] },
    }),
  ),
  // 2: pings.
  { name: "2: an empty ping", sends: [frame(ping)], expect: { pongs: [""] } },
  { name: "2: a ping with a text", sends: [frame(ping, "Hello")], expect: { pongs: ["Hello"] } },
  {
    name: "2: a ping with bytes",
    sends: [frame(ping, Buffer.from("00fffefdfcfb00ff", "hex"))],
    expect: { pongs: [Buffer.from("00fffefdfcfb00ff", "hex")] },
  },
  {
    name: "2: a ping of 125",
    sends: [frame(ping, Buffer.alloc(125, 0xfe))],
    expect: { pongs: [Buffer.alloc(125, 0xfe)] },
  },
  { name: "2: a ping of 126", sends: [frame(ping, Buffer.alloc(126, 0xfe))], expect: { closes: [1002] } },
  {
    name: "2: a ping byte by byte",
    sends: [frame(ping, Buffer.alloc(125, 0xfe))],
    pieces: 1,
    expect: { pongs: [Buffer.alloc(125, 0xfe)] },
  },
  {
    name: "2: a pong that nobody asked for",
    sends: [frame(pong), frame(text, message(1))],
    expect: { echoes: ["x"] },
  },
  {
    name: "2: a pong and a ping",
    sends: [frame(pong, "unasked"), frame(ping, "asked")],
    expect: { pongs: ["asked"] },
  },
  {
    name: "2: ten pings",
    sends: Array.from({ length: 10 }, (_, n) => frame(ping, `ping ${n}`)),
    expect: { pongs: Array.from({ length: 10 }, (_, n) => `ping ${n}`) },
  },
  {
    name: "2: ten pings byte by byte",
    sends: Array.from({ length: 10 }, (_, n) => frame(ping, `ping ${n}`)),
    pieces: 1,
    expect: { pongs: Array.from({ length: 10 }, (_, n) => `ping ${n}`) },
  },
  // 3: reserved bits.
  ...[1, 2, 3, 4, 5, 6, 7].map(
    (rsv): Row => ({
      name: `3: reserved bits ${rsv}`,
      sends: [frame(text, message(1), { rsv })],
      expect: { closes: [1002] },
    }),
  ),
  { name: "3: reserved bits of a ping", sends: [frame(ping, "a", { rsv: 4 })], expect: { closes: [1002] } },
  { name: "3: reserved bits of a close", sends: [frame(close, "", { rsv: 1 })], expect: { closes: [1002] } },
  ...[undefined, 1].map(
    (size): Row => ({
      name: `3: a text, then one with reserved bits, then a ping${size === undefined ? "" : ", byte by byte"}`,
      sends: [frame(text, message(1)), frame(text, message(2), { rsv: 2 }), frame(ping)],
      ...(size === undefined ? {} : { pieces: size }),
      expect: { closes: [1002] },
    }),
  ),
  {
    name: "3: reserved bits of a binary message",
    sends: [frame(binary, "a", { rsv: 5 })],
    expect: { closes: [1002] },
  },
  // 4: opcodes.
  ...[3, 7, 11, 15].flatMap((opcode): Row[] => [
    { name: `4: the opcode ${opcode}, empty`, sends: [frame(opcode)], expect: { closes: [1002] } },
    {
      name: `4: a text, then the opcode ${opcode}, then a ping, byte by byte`,
      sends: [frame(text, message(1)), frame(opcode, "a"), frame(ping)],
      pieces: 1,
      expect: { closes: [1002] },
    },
  ]),
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map(
    (opcode): Row => ({
      name: `4: the opcode ${opcode}`,
      sends: [frame(opcode, "a")],
      expect: { closes: [1002] },
    }),
  ),
  // 5: fragments.
  {
    name: "5: a ping in two",
    sends: [frame(ping, "a", { fin: false }), frame(more, "b")],
    expect: { closes: [1002] },
  },
  {
    name: "5: a pong in two",
    sends: [frame(pong, "a", { fin: false }), frame(more, "b")],
    expect: { closes: [1002] },
  },
  { name: "5: a text in two", sends: pieces(text, ['{"text":', '"a"}']), expect: { echoes: ["a"] } },
  {
    name: "5: a text in two, byte by byte",
    sends: pieces(text, ['{"text":', '"a"}']),
    pieces: 1,
    expect: { echoes: ["a"] },
  },
  {
    name: "5: a ping in the middle of a text",
    sends: [frame(text, '{"text":', { fin: false }), frame(ping, "now"), frame(more, '"a"}')],
    expect: { pongs: ["now"], echoes: ["a"] },
  },
  { name: "5: a continuation of nothing", sends: [frame(more, "a")], expect: { closes: [1002] } },
  {
    name: "5: a continuation of nothing, not the last",
    sends: [frame(more, "a", { fin: false })],
    expect: { closes: [1002] },
  },
  {
    name: "5: a continuation after the last",
    sends: [...pieces(text, ['{"text":', '"a"}']), frame(more, "b")],
    expect: { closes: [1002] },
  },
  {
    name: "5: a new text before the last of the one before",
    sends: [frame(text, '{"text":', { fin: false }), frame(text, '"a"}')],
    expect: { closes: [1002] },
  },
  {
    name: "5: empty fragments",
    sends: pieces(text, ["", '{"text":', "", '"a"}', ""]),
    expect: { echoes: ["a"] },
  },
  ...[undefined, 1].map(
    (size): Row => ({
      name: `5: a text in five, two pings between${size === undefined ? "" : ", byte by byte"}`,
      sends: [
        frame(text, '{"te', { fin: false }),
        frame(more, 'xt":"', { fin: false }),
        frame(ping, "one"),
        frame(more, "a", { fin: false }),
        frame(more, "b", { fin: false }),
        frame(ping, "two"),
        frame(more, '"}'),
      ],
      ...(size === undefined ? {} : { pieces: size }),
      expect: { pongs: ["one", "two"], echoes: ["ab"] },
    }),
  ),
  {
    name: "5: continuations of nothing around a text in two",
    sends: [
      frame(more, "a", { fin: false }),
      frame(text, '{"text":', { fin: false }),
      frame(more, '"a"}'),
      frame(more, "b", { fin: false }),
    ],
    expect: { closes: [1002], echoes: [] },
  },
  // 6: UTF-8.
  ...goodUtf8.flatMap((hex): Row[] => {
    const echoes = [Buffer.from(hex, "hex").toString()];
    return [
      { name: `6: ${hex} as a text`, sends: [frame(text, quoted(hex))], expect: { echoes } },
      { name: `6: ${hex}, a byte a fragment`, sends: pieces(text, bytesOf(quoted(hex))), expect: { echoes } },
    ];
  }),
  ...["f4908080", "eda080", "c0af"].map(
    (hex): Row => ({
      name: `6: ${hex}, a byte a fragment`,
      sends: pieces(text, bytesOf(quoted(hex))),
      expect: { closes: [1007], echoes: [] },
    }),
  ),
  {
    name: "6: all lengths of characters",
    sends: [frame(text, euro)],
    expect: { echoes: ["κόσμε €\u{1F600}"] },
  },
  {
    name: "6: all lengths of characters, a byte a fragment",
    sends: pieces(
      text,
      [...euro].map((byte) => Buffer.from([byte])),
    ),
    expect: { echoes: ["κόσμε €\u{1F600}"] },
  },
  {
    name: "6: noncharacters and the last character",
    sends: [
      frame(
        text,
        Buffer.concat([
          Buffer.from('{"text":"'),
          Buffer.from("efbfbfefbfbef48fbfbf", "hex"),
          Buffer.from('"}'),
        ]),
      ),
    ],
    expect: { echoes: ["\uffff\ufffe\u{10FFFF}"] },
  },
  ...badUtf8.map(
    ([what, hex]): Row => ({
      name: `6: ${what}`,
      sends: [
        frame(text, Buffer.concat([Buffer.from('{"text":"'), Buffer.from(hex, "hex"), Buffer.from('"}')])),
      ],
      expect: { closes: [1007] },
    }),
  ),
  // 7: closing.
  { name: "7: a close without a code", sends: [frame(close)], expect: { closes: [1005] } },
  { name: "7: a close with 1000", sends: [closing(1000)], expect: { closes: [1000] } },
  { name: "7: a close with a reason", sends: [closing(1000, "Bye")], expect: { closes: [1000] } },
  {
    name: "7: a close with the longest reason",
    sends: [closing(1000, "*".repeat(123))],
    expect: { closes: [1000] },
  },
  {
    name: "7: a close that is too long",
    sends: [closing(1000, "*".repeat(124))],
    expect: { closes: [1002] },
  },
  { name: "7: a close with one byte", sends: [frame(close, "a")], expect: { closes: [1002] } },
  {
    name: "7: a close with a reason that is no text",
    sends: [closing(1000, Buffer.from("ceba80", "hex"))],
    expect: { closes: [1007] },
  },
  { name: "7: two closes", sends: [closing(1000), closing(1000)], expect: { closes: [1000] } },
  {
    name: "7: a ping after the close",
    sends: [closing(1000), frame(ping, "late")],
    expect: { closes: [1000] },
  },
  ...[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999].map(
    (code): Row => ({ name: `7: a close with ${code}`, sends: [closing(code)], expect: { closes: [code] } }),
  ),
  ...[0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535].map(
    (code): Row => ({
      name: `7: a close with ${code}, which is none to be sent`,
      sends: [closing(code)],
      expect: { closes: [1002] },
    }),
  ),
  {
    name: "7: a text after the close",
    sends: [closing(1000), frame(text, message(1))],
    expect: { closes: [1000], echoes: [] },
  },
  {
    name: "7: a close between two fragments",
    sends: [frame(text, '{"text":', { fin: false }), closing(1000), frame(more, '"a"}')],
    expect: { closes: [1000], echoes: [] },
  },
  {
    name: "7: a large text, a close and a ping",
    sends: [frame(text, message(256 * 1024)), closing(1000), frame(ping)],
    expect: { closes: [1000] },
  },
  // 5.1 of the RFC: a client's frames are masked.
  {
    name: "a frame that is not masked",
    sends: [frame(text, message(1), { masked: false })],
    expect: { closes: [1002] },
  },
  // 9: large messages.
  ...[256, 512, 1000].map(
    (kib): Row => ({
      name: `9: a text of ${kib} KiB`,
      sends: [frame(text, message(kib * 1024))],
      expect: { echoes: ["x".repeat(kib * 1024)] },
    }),
  ),
  {
    name: "9: 1000 KiB in fragments of 2 KiB",
    sends: pieces(text, (message(1000 * 1024).match(/.{1,2048}/g) ?? []) as string[]),
    expect: { echoes: ["x".repeat(1000 * 1024)] },
  },
  {
    name: "9: one byte over the limit",
    sends: [frame(text, message(1024 * 1024))],
    expect: { closes: [1009] },
  },
  {
    name: "9: fragments over the limit",
    sends: pieces(text, (message(1024 * 1024).match(/.{1,4096}/g) ?? []) as string[]),
    expect: { closes: [1009, undefined] },
  },
  {
    name: "9: a length of 2^63, of which nothing comes",
    sends: [Buffer.from("81ff8000000000000000", "hex")],
    expect: { closes: [1009, 1002] },
  },
  {
    name: "9: a length of 2^40, of which nothing comes",
    sends: [Buffer.from("81ff0000010000000000", "hex")],
    expect: { closes: [1009] },
  },
  ...[64, 256, 1024].map(
    (size): Row => ({
      name: `9: 256 KiB in pieces of ${size} bytes`,
      sends: [frame(text, message(256 * 1024))],
      pieces: size,
      expect: { echoes: ["x".repeat(256 * 1024)] },
    }),
  ),
  ...[0, 16, 256, 1024, 4096].map(
    (bytes): Row => ({
      name: `9: 1000 texts of ${bytes} bytes, one after another`,
      sends: Array.from({ length: 1000 }, () => frame(text, message(bytes))),
      expect: { echoes: Array.from({ length: 1000 }, () => "x".repeat(bytes)) },
    }),
  ),
  {
    name: "9: 64 KiB in 1001 fragments",
    sends: pieces(
      text,
      (message(64 * 1024)
        .padEnd(70_070)
        .match(/.{1,70}/g) ?? []) as string[],
    ),
    expect: { closes: [1008] },
  },
  // 10: many fragments.
  {
    name: "10: 64 KiB in fragments of 1300 bytes",
    sends: pieces(text, (message(65_536).match(/.{1,1300}/g) ?? []) as string[]),
    expect: { echoes: ["x".repeat(65_536)] },
  },
];

describe("WebSocket frames", () => {
  let echo: EchoServer;
  before(async () => {
    echo = await startEcho();
  });
  after(() => echo.close());

  for (const { name, sends, pieces: size, expect } of rows)
    test(name, { timeout: 10_000 }, async () => {
      const raw = await new Raw(echo.httpPort, "/test.v1.Echo/BidiStream").opened();
      try {
        const bytes = Buffer.concat(sends);
        if (size === undefined) raw.socket.write(bytes);
        else for (let at = 0; at < bytes.length; at += size) raw.socket.write(bytes.subarray(at, at + size));
        if ("closes" in expect) {
          await raw.until(() => raw.ended);
          const last = raw.frames.filter(({ opcode }) => opcode === close);
          assert.ok(last.length <= 1, "it closed twice");
          const code = last[0] && (last[0].payload.length === 0 ? 1005 : last[0].payload.readUInt16BE(0));
          assert.ok(expect.closes.includes(code), `closed with ${code}`);
          if (expect.echoes !== undefined) assert.deepEqual(textsOf(raw.frames), expect.echoes);
          return;
        }
        const echoes = expect.echoes ?? [];
        const pongs = "pongs" in expect ? expect.pongs : [];
        await raw.until(() => raw.frames.length >= echoes.length + pongs.length);
        assert.deepEqual(
          raw.frames.filter(({ opcode }) => opcode === pong).map(({ payload }) => payload.toString("hex")),
          pongs.map((one) => Buffer.from(one as string).toString("hex")),
        );
        assert.deepEqual(textsOf(raw.frames), echoes);
        // It goes on.
        raw.socket.write(frame(ping, "still"));
        await raw.until(() => raw.frames.at(-1)?.payload.toString() === "still");
      } finally {
        raw.socket.destroy();
      }
    });
});
