/** A socket with many calls: `/ws`. */
import type { WebSocket } from "ws";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { toStatus } from "#gateway/wire/error-status.ts";
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import type { Call as CallFrame } from "#gen/portico/websocket/v1/websocket_pb.ts";
import { clientGone } from "#rpc/call.ts";
import { RpcError, toRpcError } from "#rpc/error.ts";
import { Metadata } from "#rpc/metadata.ts";
import type { Peer } from "#rpc/peer.ts";
import { localPrincipal, type Principal } from "#rpc/principal.ts";
import { type TraceHeaders, traceHeadersOf } from "#rpc/refusal.ts";
import type { Clock } from "#std/clock.ts";
import { checkBinaries, isWithheld } from "../client-headers.ts";
import { tooManyHeaders } from "../precheck.ts";
import { closeCodes, shortened } from "./close-codes.ts";
import { closedFor } from "./closed-for.ts";
import { Credit } from "./credit.ts";
import type { FrameCodec, Incoming, Outgoing } from "./frames.ts";
import { Outlet } from "./outlet.ts";
import { requestCredit, SocketCall } from "./socket-call.ts";

export interface SessionOptions {
  readonly socket: WebSocket;
  readonly codec: FrameCodec;
  readonly peer: Peer;
  /** The credential that came with the upgrade; empty: none did. */
  readonly headers: Readonly<Record<string, string>>;
  readonly clock: Clock;
  runtime(): Runtime;
  /** Undefined: nobody asks who calls. */
  readonly authenticator: SocketAuthenticator | undefined;
  readonly heartbeatMs: number;
  readonly maxFrameBytes: number;
  readonly maxWaitingBytes: number;
  /** Of a call's metadata, as of a request's headers. */
  readonly maxHeaders: number;
  readonly maxHeaderBytes: number;
  /** What came with the upgrade. */
  readonly trace: TraceHeaders;
}

/** Who a connection's credential stands for. */
export interface SocketAuthenticator {
  /** @throws RpcError `unauthenticated`. */
  principalOf(caller: Caller): Principal | Promise<Principal>;
  /** Milliseconds since 1970; undefined: it does not end. */
  expiryOf(caller: Caller): number | undefined;
}

interface Caller {
  readonly metadata: Metadata;
  readonly peer: Peer;
}

export const maxCalls = 100;
/** Credential that ends soon: its client is told so long before, in milliseconds. */
const noticeMs = 60_000;
const idForm = /^[A-Za-z0-9._:-]{1,64}$/;

export class Session {
  readonly #options: SessionOptions;
  readonly #outlet: Outlet;
  readonly #calls = new Map<string, SocketCall>();
  readonly #peer: Peer;
  #headers: Readonly<Record<string, string>>;
  #credit = new Credit(0);
  /** A first frame came. */
  spoke = false;
  #noticed = false;
  /** As far as it is known. */
  #principal: Principal | undefined;
  /** Frames that wait for the check of a credential before them. */
  #checking: Promise<void> | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#peer = { ...options.peer, connection: this };
    this.#headers = options.headers;
    this.#outlet = new Outlet(options.socket, {
      maxWaitingBytes: options.maxWaitingBytes,
      onLag: () => this.cancelAll(),
    });
    if (Object.keys(options.headers).length > 0) {
      this.spoke = true;
      this.#ready();
    }
    options.socket.on("message", (data: Buffer, isBinary) => this.#onData(data, isBinary));
    options.socket.on("close", () => this.cancelAll());
  }

  get running(): number {
    return this.#calls.size;
  }

  notice(kind: string, message: string): void {
    this.#send({ id: "", notice: { kind, message } });
  }

  /** The first look at a credential that came with the handshake. */
  begin(): void {
    if (Object.keys(this.#headers).length > 0) this.#hold(this.checkAgain());
  }

  /** Looks at the credential again; closes where it is no longer good. */
  async checkAgain(): Promise<void> {
    if (Object.keys(this.#headers).length === 0) return;
    try {
      const expiresAt = await this.#check();
      if (expiresAt === undefined || this.#noticed) return;
      if (expiresAt - this.#options.clock.now() > noticeMs) return;
      this.#noticed = true;
      this.notice("token_expiring", "send init with a newer token");
    } catch (thrown) {
      const error = toRpcError(thrown);
      // A database that is away now is asked again at the next look.
      if (error.code === "unauthenticated") this.#closeFor(error);
    }
  }

  /** When the credential ends. @throws RpcError `unauthenticated`. */
  async #check(): Promise<number | undefined> {
    const caller = { metadata: this.#metadata({}), peer: this.#peer };
    this.#principal = await this.#options.authenticator?.principalOf(caller);
    return this.#options.authenticator?.expiryOf(caller);
  }

  #onData(data: Buffer, isBinary: boolean): void {
    // What was on its way when we closed.
    if (!this.#outlet.open) return;
    this.spoke = true;
    let frame: Incoming;
    try {
      frame = this.#options.codec.read(data, isBinary);
    } catch (thrown) {
      this.#close(closeCodes.badFrame, thrown instanceof Error ? thrown.message : "no frame");
      return;
    }
    if (this.#checking === undefined) {
      const checking = this.#onFrame(frame);
      if (checking !== undefined) this.#hold(checking);
      return;
    }
    // A check may take its time, and what waits for it is bounded by what one read of the socket brings.
    this.#options.socket.pause();
    this.#hold(this.#checking.then(() => (this.#outlet.open ? this.#onFrame(frame) : undefined)));
  }

  /** Frames that come meanwhile wait: who calls has to be known before what is called is begun. */
  #hold(checking: Promise<void>): void {
    const held = checking.finally(() => {
      if (this.#checking !== held) return;
      this.#checking = undefined;
      if (this.#outlet.open) this.#options.socket.resume();
    });
    this.#checking = held;
  }

  /** A promise where what comes behind the frame has to wait for it. */
  #onFrame(frame: Incoming): Promise<void> | undefined {
    if (frame.init !== undefined) {
      if (frame.call !== undefined || frame.message !== undefined) {
        this.#close(closeCodes.badFrame, "init has a frame of its own; send the call in the next");
        return undefined;
      }
      return this.#onInit(frame.init);
    }
    if (frame.id === "") {
      if (frame.credit > 0) this.#credit.add(frame.credit);
      else this.#close(closeCodes.badFrame, "a frame without an id is init or credit");
      return undefined;
    }
    try {
      this.#onCallFrame(frame);
    } catch (thrown) {
      if (thrown instanceof BadFrame) this.#close(thrown.closeCode, thrown.message);
      else this.#fail(frame, toRpcError(thrown));
    }
    return undefined;
  }

  async #onInit(init: NonNullable<Incoming["init"]>): Promise<void> {
    const before = this.#headers;
    if (init.token !== "") this.#headers = { authorization: `Bearer ${init.token}` };
    try {
      if (Object.keys(this.#headers).length > 0) await this.#check();
    } catch (thrown) {
      this.#headers = before;
      this.#closeFor(toRpcError(thrown));
      return;
    }
    this.#noticed = false;
    if (init.credit > 0) this.#credit = new Credit(init.credit);
    this.#ready();
  }

  #onCallFrame(frame: Incoming): void {
    const { id } = frame;
    let call = this.#calls.get(id);
    if (frame.call !== undefined) {
      if (!idForm.test(id))
        throw new BadFrame(closeCodes.badFrame, "an id is 1 to 64 letters, digits and . _ : -");
      if (call !== undefined) throw new BadFrame(closeCodes.duplicateId, `the call ${id} is running`);
      if (this.#calls.size >= maxCalls) throw tooMany();
      call = this.#begin(id, frame.call);
    }
    // A frame of a call that is over crossed the end on its way.
    if (call === undefined) return;
    if (frame.cancel) {
      call.cancel(clientGone());
      return;
    }
    if (frame.credit > 0) call.credit.add(frame.credit);
    if (frame.message !== undefined) call.message(frame.message);
    if (frame.end) call.end();
  }

  /** @throws RpcError METHOD_UNKNOWN, HEADERS_TOO_MANY, METADATA_INVALID. */
  #begin(id: string, frame: CallFrame): SocketCall {
    const { clock, codec } = this.#options;
    if (isTooMuch(frame.metadata, this.#options)) throw tooManyHeaders(this.#options).error;
    const runtime = this.#options.runtime();
    const method = runtime.catalog.methods.get(`/${frame.method}`);
    if (method === undefined) {
      throw new RpcError("unimplemented", {
        reason: "METHOD_UNKNOWN",
        message: `there is no method ${frame.method.slice(0, 200)}; /asyncapi.json lists the methods that are here`,
      });
    }
    const call = new SocketCall({
      id,
      ...{ runtime, codec, outlet: this.#outlet, connectionCredit: this.#credit },
      credit: new Credit(frame.credit),
      start: {
        ...{ method, protocol: "websocket", peer: this.#peer, principal: localPrincipal },
        id: requestIdFrom(frame.metadata["x-request-id"]),
        metadata: this.#metadata(frame.metadata),
        timeoutMs: frame.timeoutMs === 0 ? undefined : frame.timeoutMs,
        startedAtMs: clock.monotonic(),
      },
      over: () => this.#calls.delete(id),
    });
    this.#calls.set(id, call);
    return call;
  }

  /** The connection's credential, unless a call has one of its own. */
  #metadata(given: Readonly<Record<string, string>>): Metadata {
    const entries: Record<string, string> = {};
    for (const [key, value] of Object.entries(given)) {
      const name = key.toLowerCase();
      if (!isWithheld(name)) entries[name] = value;
    }
    checkBinaries(entries);
    const own = entries.authorization !== undefined || entries["x-api-key"] !== undefined;
    const all = own ? entries : { ...entries, ...this.#headers };
    return new Metadata(function* () {
      for (const [name, value] of Object.entries(all))
        yield [name, name.endsWith("-bin") ? new Uint8Array(Buffer.from(value, "base64")) : value];
    }, all);
  }

  #ready(): void {
    const { heartbeatMs, maxFrameBytes } = this.#options;
    const heartbeatSeconds = Math.ceil(heartbeatMs / 1000);
    this.#send({ id: "", ready: { heartbeatSeconds, maxFrameBytes, credit: requestCredit, maxCalls } });
  }

  /** Of a call that runs, or of one that does not even begin. */
  #fail({ id, call }: Incoming, error: RpcError): void {
    const running = this.#calls.get(id);
    if (running !== undefined) {
      running.cancel(error);
      return;
    }
    const requestId = requestIdFrom(call?.metadata["x-request-id"]);
    this.#send({ id, end: { status: toStatus(error, requestId), trailers: {} } });
    this.#tell(error, requestId, call?.metadata);
  }

  /** What never became a call, for those who watch. */
  #tell(error: RpcError, id: string, metadata: Readonly<Record<string, string>> = {}): void {
    const { runtime, clock, trace } = this.#options;
    runtime().refused({
      ...{
        id,
        error,
        method: undefined,
        protocol: "websocket",
        peer: this.#peer,
        principal: this.#principal,
      },
      trace: metadata.traceparent === undefined ? trace : traceHeadersOf(metadata),
      ...{ startedAtMs: clock.monotonic(), bytesIn: 0, bytesOut: 0 },
    });
  }

  #send(frame: Outgoing): void {
    this.#outlet.now(this.#options.codec.write(frame));
  }

  #close(code: number, reason: string): void {
    this.#options.socket.close(code, shortened(reason));
    const error = closedFor(code, reason);
    if (error !== undefined) this.#tell(error, requestIdFrom(undefined));
  }

  /** A credential that is not good, or no longer. */
  #closeFor(error: RpcError): void {
    this.#options.socket.close(closeCodes.unauthenticated, shortened(error.message));
    this.#tell(error, requestIdFrom(undefined));
  }

  cancelAll(error: RpcError = clientGone()): void {
    for (const call of [...this.#calls.values()]) call.cancel(error);
    this.#calls.clear();
  }
}

function isTooMuch(
  metadata: Readonly<Record<string, string>>,
  { maxHeaders, maxHeaderBytes }: SessionOptions,
): boolean {
  const entries = Object.entries(metadata);
  if (entries.length > maxHeaders) return true;
  return entries.reduce((sum, [name, value]) => sum + name.length + value.length, 0) > maxHeaderBytes;
}

/** The two sides no longer agree about what was said: the connection is over. */
class BadFrame extends Error {
  readonly closeCode: number;

  constructor(closeCode: number, message: string) {
    super(message);
    this.closeCode = closeCode;
  }
}

function tooMany(): RpcError {
  return new RpcError("resource_exhausted", {
    reason: "SOCKET_CALLS_LIMITED",
    message: `${maxCalls} calls are running on this connection; end one, or open another connection`,
  });
}
