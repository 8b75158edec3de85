/**
 * From a service that runs in this process to a handler: messages are passed as they are, nothing is serialised between
 * the protocol and the service.
 */
import { create, type DescMessage, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import type { Call, StreamCall, UnaryCall } from "#rpc/call.ts";
import { type RpcError, toRpcError } from "#rpc/error.ts";
import type { Handler } from "#rpc/interceptor.ts";
import { hasUnaryRequest, type Method } from "#rpc/method.ts";
import { MessagePayload, type Payload } from "#rpc/payload.ts";
import type { Reply } from "#rpc/reply.ts";
import type { HostedService } from "#rpc/service.ts";
import type { Clock } from "#std/clock.ts";

type UnaryFunction = (request: Message, call: Call) => object | Promise<object>;
type StreamFunction = (request: unknown, call: Call) => AsyncIterable<object>;
type CollectFunction = (requests: AsyncIterable<Message>, call: Call) => Promise<object>;

/**
 * @param clock tells the call when the service began and when it was done; reading the message is not the service's time.
 * @throws Error when the implementation lacks the method: a mistake of the program, seen at start.
 */
export function localHandler(method: Method, service: HostedService, clock: Clock | undefined): Handler {
  const name = method.desc.localName;
  const implementation = service.implementation[name];
  if (typeof implementation !== "function")
    throw new Error(`${method.name}: the service has no function "${name}"`);
  const bound = implementation.bind(service.implementation);
  switch (method.kind) {
    case "unary":
      return unary(method, bound as UnaryFunction, clock);
    case "client_stream":
      return collect(method, bound as CollectFunction, clock);
    case "server_stream":
    case "bidi_stream":
      return stream(method, bound as StreamFunction, clock);
  }
}

function unary(method: Method, run: UnaryFunction, clock: Clock | undefined): Handler {
  const toReply = (answer: object): Reply => unaryReply(method, answer);
  if (clock === undefined)
    return (call) => {
      const answer = run((call as UnaryCall).request.message(), call);
      return answer instanceof Promise ? answer.then(toReply) : unaryReply(method, answer);
    };
  return (call) => {
    const message = (call as UnaryCall).request.message();
    call.serviceStartedAtMs = clock.monotonic();
    let answer: object | Promise<object>;
    try {
      answer = run(message, call);
    } catch (thrown) {
      call.serviceEndedAtMs = clock.monotonic();
      throw thrown;
    }
    if (answer instanceof Promise) return timed(answer, call, clock).then(toReply);
    call.serviceEndedAtMs = clock.monotonic();
    return unaryReply(method, answer);
  };
}

function collect(method: Method, run: CollectFunction, clock: Clock | undefined): Handler {
  const toReply = (answer: object): Reply => unaryReply(method, answer);
  return (call) => {
    if (clock !== undefined) call.serviceStartedAtMs = clock.monotonic();
    const answer = run(messages((call as StreamCall).requests), call);
    return (clock === undefined ? answer : timed(answer, call, clock)).then(toReply);
  };
}

function timed(answer: Promise<object>, call: Call, clock: Clock): Promise<object> {
  const ended = (): void => {
    call.serviceEndedAtMs = clock.monotonic();
  };
  answer.then(ended, ended);
  return answer;
}

function stream(method: Method, run: StreamFunction, clock: Clock | undefined): Handler {
  const single = hasUnaryRequest(method.kind);
  return (call) => {
    const request = single ? (call as UnaryCall).request.message() : messages((call as StreamCall).requests);
    if (clock !== undefined) call.serviceStartedAtMs = clock.monotonic();
    return { kind: "stream", responses: new Responses(method, run(request, call), { call, clock }) };
  };
}

function unaryReply(method: Method, answer: object): Reply {
  return { kind: "unary", response: payloadOf(method, answer) };
}

/** Handlers may answer with a whole message or with the fields of one. */
function payloadOf(method: Method, answer: object): Payload {
  const message =
    "$typeName" in answer
      ? (answer as Message)
      : create(method.output.desc, answer as MessageInitShape<DescMessage>);
  return new MessagePayload(method.output, message);
}

async function* messages(requests: AsyncIterable<Payload>): AsyncGenerator<Message> {
  for await (const request of requests) yield request.message();
}

/**
 * The replies of a streaming handler. Settles as soon as the call is cancelled, whether or not the handler watches its
 * signal, and turns whatever the handler throws into an RpcError.
 */
class Responses implements AsyncIterableIterator<Payload> {
  readonly #method: Method;
  readonly #source: AsyncIterator<object>;
  readonly #call: Call;
  readonly #clock: Clock | undefined;
  /** Rejects the pull under way; set while one is, cleared when it settles. */
  #interrupt: ((error: RpcError) => void) | undefined;

  constructor(
    method: Method,
    source: AsyncIterable<object>,
    { call, clock }: { readonly call: Call; readonly clock: Clock | undefined },
  ) {
    this.#clock = clock;
    this.#method = method;
    this.#source = source[Symbol.asyncIterator]();
    this.#call = call;
    call.onCancel((error) => {
      this.#interrupt?.(error);
      this.#close();
    });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Payload>> {
    const canceledBy = this.#call.canceledBy;
    if (canceledBy !== undefined) return Promise.reject(canceledBy);
    return new Promise((resolve, reject) => {
      this.#interrupt = reject;
      this.#source.next().then(
        (result) => {
          this.#interrupt = undefined;
          if (result.done === true) this.#ended();
          resolve(
            result.done
              ? { done: true, value: undefined }
              : { done: false, value: payloadOf(this.#method, result.value) },
          );
        },
        (thrown: unknown) => {
          this.#interrupt = undefined;
          this.#ended();
          reject(this.#call.canceledBy ?? toRpcError(thrown));
        },
      );
    });
  }

  async return(): Promise<IteratorResult<Payload>> {
    this.#close();
    return { done: true, value: undefined };
  }

  #ended(): void {
    if (this.#clock !== undefined) this.#call.serviceEndedAtMs = this.#clock.monotonic();
  }

  /** Lets the handler run its `finally`; not awaited, because a handler in the middle of a step answers only after it. */
  #close(): void {
    this.#ended();
    this.#source.return?.().catch(() => {
      // The client is gone: an error in the handler's clean-up has nobody left to reach.
    });
  }
}
