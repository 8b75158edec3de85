/** One call among the many of a socket. */
import { create } from "@bufbuild/protobuf";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { toStatus } from "#gateway/wire/error-status.ts";
import { StatusSchema } from "#gen/google/rpc/status_pb.ts";
import {
  type AdapterCall,
  type Call,
  type CallStart,
  clientGone,
  createStreamCall,
  createUnaryCall,
} from "#rpc/call.ts";
import { RpcError, toRpcError } from "#rpc/error.ts";
import type { Metadata } from "#rpc/metadata.ts";
import { hasUnaryRequest } from "#rpc/method.ts";
import { BytesPayload } from "#rpc/payload.ts";
import type { Credit } from "./credit.ts";
import type { FrameCodec, Outgoing } from "./frames.ts";
import { interruptible } from "./interruptible.ts";
import { MessageQueue } from "./message-queue.ts";
import type { Outlet } from "./outlet.ts";

export interface SocketCallOptions {
  /** The client's. */
  readonly id: string;
  readonly start: CallStart;
  readonly runtime: Runtime;
  readonly codec: FrameCodec;
  readonly outlet: Outlet;
  /** What the client takes of this call, and of all calls of its connection. */
  readonly credit: Credit;
  readonly connectionCredit: Credit;
  over(): void;
}

/** Messages that a call takes before its handler has asked for them. */
export const requestCredit = 16;

export class SocketCall {
  readonly #options: SocketCallOptions;
  readonly #queue: MessageQueue;
  readonly credit: Credit;
  #call: AdapterCall<Call> | undefined;
  #taken = 0;
  #over = false;
  #bytesIn = 0;
  #headersSent = false;

  constructor(options: SocketCallOptions) {
    this.#options = options;
    this.credit = options.credit;
    this.#queue = new MessageQueue(() => this.#giveCredit());
    if (!hasUnaryRequest(options.start.method.kind))
      this.#begin(createStreamCall(options.start, this.#queue));
  }

  message(bytes: Uint8Array): void {
    const { start, codec } = this.#options;
    if (this.#over) return;
    this.#bytesIn += bytes.length;
    if (this.#call !== undefined) this.#call.bytesIn = this.#bytesIn;
    const payload = new BytesPayload(start.method.input, bytes, codec.encoding);
    if (!hasUnaryRequest(start.method.kind)) {
      if (this.#queue.length >= requestCredit) this.cancel(creditExceeded());
      else if (!this.#queue.ended) this.#queue.push(payload);
    } else if (this.#call === undefined) this.#begin(createUnaryCall(start, payload));
    else this.cancel(wrongCount("more than one"));
  }

  end(): void {
    this.#queue.end();
    const { kind } = this.#options.start.method;
    if (hasUnaryRequest(kind) && this.#call === undefined) this.cancel(wrongCount("none"));
  }

  /** @param error what the handler hears; the client hears it too, where it is still there. */
  cancel(error: RpcError): void {
    this.#queue.fail(error);
    if (this.#call === undefined) this.fail(error);
    else this.#call.cancel(error);
  }

  fail(error: RpcError): void {
    const { start, runtime } = this.#options;
    // What a refused call tells of itself: its limits, and when to come again.
    if (this.#call !== undefined) this.#headers(this.#call);
    this.#send({ end: { status: toStatus(error, start.id), trailers: this.#trailers() } });
    if (this.#call === undefined && !this.#over) {
      const { id, protocol, method, peer, startedAtMs, metadata } = start;
      runtime.refused({
        id,
        protocol,
        method,
        peer,
        startedAtMs,
        error,
        bytesIn: this.#bytesIn,
        bytesOut: 0,
        trace: { traceparent: metadata.get("traceparent"), tracestate: metadata.get("tracestate") },
      });
    }
    this.#finish(error);
  }

  #begin(call: AdapterCall<Call>): void {
    this.#call = call;
    call.bytesIn = this.#bytesIn;
    call.flushHeaders = () => this.#headers(call);
    call.onCancel((error) => this.#queue.fail(error));
    this.#run(call).catch((thrown: unknown) => {
      // Its handler may be busy with the next message.
      if (!this.#options.outlet.open) call.cancel(clientGone());
      if (!this.#over) this.fail(toRpcError(thrown));
    });
  }

  async #run(call: AdapterCall<Call>): Promise<void> {
    const reply = await this.#options.runtime.dispatch(call);
    const done = create(StatusSchema);
    if (reply.kind === "unary") {
      this.#headers(call);
      this.#send({ message: reply.response, end: { status: done, trailers: this.#trailers() } });
      this.#finish();
      return;
    }
    const { outlet, codec, connectionCredit, id } = this.#options;
    const untilCanceled = interruptible(call);
    for await (const message of reply.responses) {
      this.#headers(call);
      for (const credit of [this.credit, connectionCredit])
        while (!credit.take()) await untilCanceled(credit.more());
      const frame = codec.write({ id, message });
      call.bytesOut += Buffer.byteLength(frame);
      const room = outlet.write(frame);
      if (room !== undefined) await untilCanceled(room);
    }
    this.#headers(call);
    this.#send({ end: { status: done, trailers: this.#trailers() } });
    this.#finish();
  }

  #headers(call: Call): void {
    if (this.#headersSent) return;
    this.#headersSent = true;
    if (call.hasResponseHeaders) this.#send({ headers: textsOf(call.responseHeaders) });
  }

  #trailers(): Record<string, string> {
    return this.#call?.hasResponseTrailers === true ? textsOf(this.#call.responseTrailers) : {};
  }

  /** Half of what was taken at a time: a frame for every message would cost more than it is worth. */
  #giveCredit(): void {
    this.#taken += 1;
    if (this.#taken < requestCredit / 2 || this.#over) return;
    this.#send({ credit: this.#taken });
    this.#taken = 0;
  }

  #send(frame: Omit<Outgoing, "id">): void {
    const { outlet, codec, id } = this.#options;
    const text = codec.write({ id, ...frame });
    if (this.#call !== undefined && frame.message !== undefined)
      this.#call.bytesOut += Buffer.byteLength(text);
    outlet.now(text);
  }

  #finish(error?: RpcError): void {
    if (this.#over) return;
    this.#over = true;
    this.#call?.close(error);
    // Who still waits for messages of a call that is over waits for nothing. Nobody does of one message, and an error costs its stack.
    if (!hasUnaryRequest(this.#options.start.method.kind)) this.#queue.fail(clientGone());
    this.#options.over();
  }
}

function creditExceeded(): RpcError {
  return new RpcError("resource_exhausted", {
    reason: "CREDIT_EXCEEDED",
    message: `a call takes ${requestCredit} messages before it gives credit; more came`,
  });
}

function wrongCount(came: string): RpcError {
  return new RpcError("unimplemented", {
    reason: "MESSAGE_COUNT_INVALID",
    message: `this method takes exactly one message; ${came} came`,
  });
}

function textsOf(metadata: Metadata): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [name, value] of metadata.entries()) {
    const text = typeof value === "string" ? value : Buffer.from(value).toString("base64").replace(/=+$/, "");
    texts[name] = texts[name] === undefined ? text : `${texts[name]}, ${text}`;
  }
  return texts;
}
