/** WebSockets byte by byte: frames as a client writes them, rules or not. @see https://www.rfc-editor.org/rfc/rfc6455 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { dial, type Where } from "./dial.ts";

export const text = 1;
export const binary = 2;
export const close = 8;
export const ping = 9;
export const pong = 10;
export const more = 0;

export interface FrameOptions {
  readonly fin?: boolean;
  readonly rsv?: number;
  readonly masked?: boolean;
  /** Says another length than the payload's. */
  readonly length?: number;
}

/** As a client writes it. @see https://www.rfc-editor.org/rfc/rfc6455#section-5.2 */
export function frame(opcode: number, payload: Buffer | string = "", options: FrameOptions = {}): Buffer {
  const { fin = true, rsv = 0, masked = true } = options;
  const data = Buffer.from(payload as string);
  const length = options.length ?? data.length;
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  const mark = masked ? 0x80 : 0;
  let long = Buffer.alloc(0);
  if (length < 126) head.push(mark | length);
  else if (length < 65_536) {
    head.push(mark | 126);
    long = Buffer.alloc(2);
    long.writeUInt16BE(length);
  } else {
    head.push(mark | 127);
    long = Buffer.alloc(8);
    long.writeBigUInt64BE(BigInt(length));
  }
  if (!masked) return Buffer.concat([Buffer.from(head), long, data]);
  const mask = randomBytes(4);
  return Buffer.concat([Buffer.from(head), long, mask, data.map((byte, at) => byte ^ mask[at % 4]!)]);
}

export function closing(code: number, reason: Buffer | string = ""): Buffer {
  const body = Buffer.alloc(2);
  body.writeUInt16BE(code);
  return frame(close, Buffer.concat([body, Buffer.from(reason as string)]));
}

export interface Received {
  readonly opcode: number;
  readonly payload: Buffer;
}

/** A client that knows nothing of rules. */
export class Raw {
  readonly frames: Received[] = [];
  ended = false;
  readonly socket: Socket;
  #held = Buffer.alloc(0);
  #open = false;

  /** @param early written together with the handshake. @param headers further lines of it. */
  constructor(where: Where, path: string, early: Buffer = Buffer.alloc(0), headers: readonly string[] = []) {
    this.socket = dial(where, () =>
      this.socket.write(
        Buffer.concat([
          Buffer.from(
            [
              `GET ${path} HTTP/1.1`,
              "Host: 127.0.0.1",
              "Connection: Upgrade",
              "Upgrade: websocket",
              "Sec-WebSocket-Version: 13",
              `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}`,
              ...headers,
              "\r\n",
            ].join("\r\n"),
          ),
          early,
        ]),
      ),
    );
    this.socket.on("data", (data) => {
      this.#held = Buffer.concat([this.#held, data]);
      this.#read();
    });
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      this.ended = true;
    });
  }

  async until(look: () => boolean, ms = 3000): Promise<void> {
    for (const late = Date.now() + ms; !look(); ) {
      if (Date.now() > late) throw new Error(`it did not come: ${JSON.stringify(this.frames).slice(0, 300)}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  async opened(): Promise<this> {
    await this.until(() => this.#open);
    return this;
  }

  #read(): void {
    if (!this.#open) {
      const end = this.#held.indexOf("\r\n\r\n");
      if (end === -1) return;
      assert.match(this.#held.toString("latin1", 0, end), /^HTTP\/1.1 101 /);
      this.#open = true;
      this.#held = this.#held.subarray(end + 4);
    }
    for (;;) {
      const held = this.#held;
      if (held.length < 2) return;
      // Frames of a server are not masked, section 5.1, and we never ask for extensions.
      assert.equal(held[0]! & 0x70, 0);
      assert.equal(held[1]! & 0x80, 0);
      let length = held[1]! & 0x7f;
      let at = 2;
      if (length === 126) {
        if (held.length < 4) return;
        length = held.readUInt16BE(2);
        at = 4;
      } else if (length === 127) {
        if (held.length < 10) return;
        length = Number(held.readBigUInt64BE(2));
        at = 10;
      }
      if (held.length < at + length) return;
      const received = { opcode: held[0]! & 0x0f, payload: held.subarray(at, at + length) };
      this.frames.push(received);
      // Who hears a close says it back, section 5.5.1.
      if (received.opcode === close) this.socket.write(frame(close, received.payload));
      this.#held = held.subarray(at + length);
    }
  }
}
