/** The interceptor: sees every call from outside every other, and is told by its adapter when the answer is written. */
import type { Call, StreamCall } from "#rpc/call.ts";
import { type RpcError, toRpcError } from "#rpc/error.ts";
import type { Handler } from "#rpc/interceptor.ts";
import { hasUnaryReply, hasUnaryRequest, type Method } from "#rpc/method.ts";
import type { Payload } from "#rpc/payload.ts";
import type { Reply } from "#rpc/reply.ts";
import type { CallSpan, Tracing } from "./tracing.ts";

/** What is kept of a call until its end, where its own fields are not enough: streams, traced calls and those whose bodies are written. */
export class Watched {
  span: CallSpan | undefined = undefined;
  messagesIn = 0;
  messagesOut = 0;
  /** Bodies are written. */
  readonly sampled: boolean;
  firstIn: Payload | undefined = undefined;
  firstOut: Payload | undefined = undefined;

  constructor(sampled: boolean) {
    this.sampled = sampled;
  }
}

export interface WatchOptions {
  /** Undefined: nothing is traced. */
  readonly tracing: Tracing | undefined;
  begin(call: Call): void;
  /** Whether the bodies of a call are to be written. */
  sample(): boolean;
  /** Runs once a call. */
  finish(call: Call): void;
}

export function watch(next: Handler, method: Method, options: WatchOptions): Handler {
  const { tracing, begin, sample, finish } = options;
  const streams = !hasUnaryRequest(method.kind) || !hasUnaryReply(method.kind);
  const run = streams ? countMessages(next) : next;
  const traced: Handler =
    tracing === undefined ? run : (call) => tracing.run((call.watched as Watched).span, run, call);
  const done = (reply: Reply, call: Call): Reply => {
    const watched = call.watched as Watched | undefined;
    if (watched?.sampled === true && reply.kind === "unary") watched.firstOut = reply.response;
    return reply;
  };
  return (call) => {
    begin(call);
    const sampled = sample();
    if (streams || sampled || tracing !== undefined) call.watched = new Watched(sampled);
    if (tracing !== undefined) (call.watched as Watched).span = tracing.begin(call);
    call.onClose(finish);
    let reply: Reply | Promise<Reply>;
    try {
      reply = traced(call);
    } catch (thrown) {
      throw failed(thrown, call);
    }
    if (!(reply instanceof Promise)) return done(reply, call);
    return reply.then(
      (value) => done(value, call),
      (thrown: unknown) => {
        throw failed(thrown, call);
      },
    );
  };
}

function failed(thrown: unknown, call: Call): RpcError {
  const error = toRpcError(thrown);
  // A fault that came to light while it was cancelled is what is to be found, not that it was cancelled.
  call.failedBy ??= error;
  return error;
}

function countMessages(next: Handler): Handler {
  const counted = (reply: Reply, call: Call): Reply => {
    if (reply.kind === "stream") return { kind: "stream", responses: new Followed(reply.responses, call) };
    return reply;
  };
  return (call) => {
    const watched = call.watched as Watched;
    if (call.kind === "stream") call.requests = received((call as StreamCall).requests, watched);
    else watched.messagesIn = 1;
    const reply = next(call);
    return reply instanceof Promise ? reply.then((made) => counted(made, call)) : counted(reply, call);
  };
}

async function* received(requests: AsyncIterable<Payload>, watched: Watched): AsyncGenerator<Payload> {
  for await (const request of requests) {
    watched.messagesIn += 1;
    if (watched.sampled) watched.firstIn ??= request;
    yield request;
  }
}

/** Answers that are counted. No generator: a pull is one promise more, not a machine of its own. */
class Followed implements AsyncIterableIterator<Payload> {
  readonly #source: AsyncIterator<Payload>;
  readonly #call: Call;
  readonly #watched: Watched;

  constructor(responses: AsyncIterable<Payload>, call: Call) {
    this.#source = responses[Symbol.asyncIterator]();
    this.#call = call;
    this.#watched = call.watched as Watched;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Payload>> {
    return this.#source.next().then(this.#passed, this.#thrown);
  }

  return(): Promise<IteratorResult<Payload>> {
    return this.#source.return?.() ?? Promise.resolve({ done: true, value: undefined });
  }

  readonly #passed = (result: IteratorResult<Payload>): IteratorResult<Payload> => {
    if (result.done === true) return result;
    const watched = this.#watched;
    watched.messagesOut += 1;
    if (watched.sampled) watched.firstOut ??= result.value;
    return result;
  };

  readonly #thrown = (thrown: unknown): never => {
    throw failed(thrown, this.#call);
  };
}
