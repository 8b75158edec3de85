/**
 * A message of a call, lazy: policies that judge by metadata never decode it, equal encodings are never re-encoded,
 * and a hosted service called in process never serialises at all.
 */
import type { DescMessage, Message } from "@bufbuild/protobuf";
import type { ByteSink } from "#std/byte-sink.ts";

/** `proto` is the binary format, `json` is ProtoJSON as UTF-8 bytes. */
export type Encoding = "proto" | "json";

/** What the codec compiled for one message type; implemented in gateway/codec, used through this shape everywhere. */
export interface MessageType {
  readonly desc: DescMessage;
  /** @throws RpcError `invalid_argument` or `resource_exhausted`, naming the field. */
  decode(bytes: Uint8Array, encoding: Encoding): Message;
  /** Whether a request that is whole lacks nothing; absent: nothing can be missing. @throws RpcError `invalid_argument`, naming the field. */
  check?(message: Message): void;
  encode(message: Message, encoding: Encoding): Uint8Array;
  /** Appends what `encode` gives: nothing is allocated for it. */
  encodeTo(sink: ByteSink, message: Message, encoding: Encoding): void;
  /** ProtoJSON as text: what HTTP/1 writes together with its head in one go. */
  encodeText(message: Message): string;
}

export interface Payload {
  readonly type: MessageType;
  /** The message; decoded on first use. The caller must not change it: others may hold it too. */
  message(): Message;
  /** The message's bytes; the ones that came in where the encoding is the same. */
  bytesIn(encoding: Encoding): Uint8Array;
  /** Appends what `bytesIn` gives. */
  writeTo(sink: ByteSink, encoding: Encoding): void;
  /** The message in ProtoJSON, as text. */
  text(): string;
}

/** What was already made of a message that many replies share. */
interface Encodings {
  text: string | undefined;
  proto: Uint8Array | undefined;
}

const shared = new WeakMap<Message, Encodings>();

/**
 * Says that a message is answered many times and never changes: its encodings are made once and kept as long as the message
 * itself. The caller bounds how many such messages there are.
 */
export function shareEncodings(message: Message): void {
  if (!shared.has(message)) shared.set(message, { text: undefined, proto: undefined });
}

/** A payload made from a message in memory: a handler's reply, or a request bound from a path and query. */
export class MessagePayload implements Payload {
  readonly type: MessageType;
  readonly #message: Message;

  constructor(type: MessageType, message: Message) {
    this.type = type;
    this.#message = message;
  }

  message(): Message {
    return this.#message;
  }

  bytesIn(encoding: Encoding): Uint8Array {
    const kept = encoding === "proto" ? shared.get(this.#message) : undefined;
    if (kept === undefined) return this.type.encode(this.#message, encoding);
    // Alone in its memory: what is encoded may share some with others, and would keep all of it.
    kept.proto ??= new Uint8Array(this.type.encode(this.#message, "proto"));
    return kept.proto;
  }

  writeTo(sink: ByteSink, encoding: Encoding): void {
    if (shared.has(this.#message)) sink.set(this.bytesIn(encoding));
    else this.type.encodeTo(sink, this.#message, encoding);
  }

  text(): string {
    const kept = shared.get(this.#message);
    if (kept === undefined) return this.type.encodeText(this.#message);
    kept.text ??= this.type.encodeText(this.#message);
    return kept.text;
  }
}

/** A payload made when somebody asks for it: policies that judge by metadata have had their say by then. */
export class LazyPayload implements Payload {
  readonly type: MessageType;
  readonly #make: () => Message;
  #message: Message | undefined;

  /** @param make what it throws, asking throws. */
  constructor(type: MessageType, make: () => Message) {
    this.type = type;
    this.#make = make;
  }

  message(): Message {
    if (this.#message !== undefined) return this.#message;
    const message = this.#make();
    this.type.check?.(message);
    this.#message = message;
    return message;
  }

  bytesIn(encoding: Encoding): Uint8Array {
    return this.type.encode(this.message(), encoding);
  }

  writeTo(sink: ByteSink, encoding: Encoding): void {
    this.type.encodeTo(sink, this.message(), encoding);
  }

  text(): string {
    return this.type.encodeText(this.message());
  }
}

/** A payload made from bytes off the wire. */
export class BytesPayload implements Payload {
  readonly type: MessageType;
  readonly #bytes: Uint8Array;
  readonly #encoding: Encoding;
  #message: Message | undefined;

  constructor(type: MessageType, bytes: Uint8Array, encoding: Encoding) {
    this.type = type;
    this.#bytes = bytes;
    this.#encoding = encoding;
  }

  message(): Message {
    if (this.#message !== undefined) return this.#message;
    const message = this.type.decode(this.#bytes, this.#encoding);
    this.type.check?.(message);
    this.#message = message;
    return message;
  }

  bytesIn(encoding: Encoding): Uint8Array {
    return encoding === this.#encoding ? this.#bytes : this.type.encode(this.message(), encoding);
  }

  writeTo(sink: ByteSink, encoding: Encoding): void {
    if (encoding === this.#encoding) sink.set(this.#bytes);
    else this.type.encodeTo(sink, this.message(), encoding);
  }

  text(): string {
    return this.type.encodeText(this.message());
  }
}
