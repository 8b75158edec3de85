/**
 * What the echo service does: it answers with what it was sent, unless the `echo-plan` header tells it to do otherwise.
 * What happened inside a call is kept under its request id, so that a test can ask afterwards.
 */
import { randomBytes } from "node:crypto";
import {
  create,
  type DescMessage,
  fromJson,
  type JsonValue,
  type Message,
  type Registry,
} from "@bufbuild/protobuf";
import * as details from "#gen/google/rpc/error_details_pb.ts";
import type { CallHead } from "#rpc/call.ts";
import type { ErrorCode } from "#rpc/code.ts";
import { RpcError } from "#rpc/error.ts";
import type { HostedService } from "#rpc/service.ts";

/** The `echo-plan` header: JSON. */
export interface Plan {
  /** What the call is known by afterwards; default its request id. */
  readonly id?: string;
  /** While it waits the handler itself cancels its call, with this code. */
  readonly cancels?: ErrorCode;
  /** Fail with this code, after `after` messages (of the reply; of the request where the reply is one). */
  readonly code?: ErrorCode;
  readonly reason?: string;
  readonly message?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  /** ProtoJSON with `@type`: the name of a google.rpc detail, such as `RetryInfo`. */
  readonly details?: readonly ({ readonly "@type": string } & Readonly<Record<string, JsonValue>>)[];
  /** Throw an ordinary Error with this text. */
  readonly throws?: string;
  readonly after?: number;
  /** Wait until the call is cancelled. */
  readonly wait?: boolean;
  /** Response metadata; values of names ending in -bin are hexadecimal. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly trailers?: Readonly<Record<string, string>>;
  /** Send the headers before anything else. */
  readonly early?: boolean;
  /** Answer this many messages; default 1. */
  readonly count?: number;
  /** Replace `text` in every answer by this many random characters. */
  readonly size?: number;
}

/** Headers that clients send to be taken for somebody else, and those of one connection. */
export const asked = [
  ...["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-real-ip", "x-user-id", "x-tenant-id"],
  ...["x-envoy-external-address", "connection", "keep-alive", "te", "upgrade", "host", "x-named"],
  ...["transfer-encoding", "content-length", "proxy-authorization", "grpc-status", "grpc-message"],
] as const;

/** What a call has done so far. */
export class Probe {
  readonly plan: Plan;
  /** Messages the handler has made and read. */
  produced = 0;
  consumed = 0;
  /** Settles when the call's signal fires. */
  readonly canceled: Promise<RpcError>;
  /** Settles when the handler is over, by whatever way. */
  readonly over: Promise<void>;
  readonly finish: () => void;
  /** Values of the withheld names that a service finds when it asks for them one by one, before it looks at all. */
  readonly found: readonly string[];
  readonly #call: CallHead;

  constructor(call: CallHead, plan: Plan) {
    this.plan = plan;
    this.#call = call;
    this.found = asked.filter((name) => call.metadata.get(name) !== undefined);
    this.canceled = new Promise((resolve) => call.onCancel(resolve));
    const { promise, resolve } = Promise.withResolvers<void>();
    this.over = promise;
    this.finish = resolve;
  }

  get signal(): AbortSignal {
    return this.#call.signal;
  }

  /** Until the call is cancelled. */
  async wait(): Promise<never> {
    const { cancels } = this.plan;
    if (cancels !== undefined) setImmediate(() => this.#call.cancel(planned(this.plan, cancels)));
    throw await this.canceled;
  }

  /** What a service sees of the caller. */
  get caller(): {
    readonly protocol: string;
    readonly address: string;
    readonly names: readonly string[];
    get(name: string): string | undefined;
  } {
    const { protocol, peer, metadata } = this.#call;
    const names = [...metadata.entries()].map(([name]) => name);
    return { protocol, address: peer.address, names, get: (name) => metadata.get(name) };
  }

  fail(): void {
    const { plan } = this;
    if (plan.throws !== undefined) throw new Error(plan.throws);
    if (plan.code !== undefined) throw planned(plan, plan.code);
  }
}

const schemas: Readonly<Record<string, DescMessage>> = {
  BadRequest: details.BadRequestSchema,
  Help: details.HelpSchema,
  LocalizedMessage: details.LocalizedMessageSchema,
  PreconditionFailure: details.PreconditionFailureSchema,
  QuotaFailure: details.QuotaFailureSchema,
  ResourceInfo: details.ResourceInfoSchema,
  RetryInfo: details.RetryInfoSchema,
};

function planned(plan: Plan, code: ErrorCode): RpcError {
  return new RpcError(code, {
    reason: plan.reason ?? "PLANNED",
    message: plan.message ?? "as planned",
    ...(plan.metadata === undefined ? {} : { metadata: plan.metadata }),
    details: (plan.details ?? []).map(({ "@type": type, ...fields }) => fromJson(schemas[type]!, fields)),
  });
}

export class EchoService {
  readonly #registry: Registry;
  readonly #probes = new Map<string, Probe>();
  readonly #waiting = new Map<string, (probe: Probe) => void>();

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  /** The call with this request id, as soon as its handler runs. */
  probe(requestId: string): Promise<Probe> {
    const known = this.#probes.get(requestId);
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((resolve) => this.#waiting.set(requestId, resolve));
  }

  /** The call whose handler began last. */
  latest(): Probe {
    return [...this.#probes.values()].at(-1)!;
  }

  /** Whether a handler ever ran for this request id. */
  ran(requestId: string): boolean {
    return this.#probes.has(requestId);
  }

  services(): HostedService[] {
    return ["test.v1.Echo", "test.v1.Routes", "test.v1.Rest", "test.v1.Mirror"].map((name) => {
      const desc = this.#registry.getService(name)!;
      const implementation: Record<string, unknown> = {};
      for (const method of desc.methods) {
        const run = {
          unary: this.#unary,
          server_streaming: this.#serverStream,
          client_streaming: this.#clientStream,
          bidi_streaming: this.#bidi,
        };
        implementation[method.localName] = run[method.methodKind].bind(this);
      }
      return { desc, implementation };
    });
  }

  #begin(call: CallHead): Probe {
    const text = call.metadata.get("echo-plan");
    const probe = new Probe(call, text === undefined ? {} : (JSON.parse(text) as Plan));
    const id = probe.plan.id ?? call.id;
    this.#probes.set(id, probe);
    this.#waiting.get(id)?.(probe);
    this.#waiting.delete(id);
    for (const [name, value] of Object.entries(probe.plan.headers ?? {}))
      call.responseHeaders.append(name, bytesOf(name, value));
    for (const [name, value] of Object.entries(probe.plan.trailers ?? {}))
      call.responseTrailers.append(name, bytesOf(name, value));
    if (probe.plan.early === true) call.sendHeaders();
    return probe;
  }

  async #unary(request: Message, call: CallHead): Promise<Message> {
    const probe = this.#begin(call);
    try {
      if (probe.plan.wait === true) await probe.wait();
      probe.fail();
      return request;
    } finally {
      probe.finish();
    }
  }

  async *#serverStream(request: Message, call: CallHead): AsyncGenerator<object> {
    const probe = this.#begin(call);
    const { plan } = probe;
    const text = plan.size === undefined ? undefined : noise(plan.size);
    const fails = plan.code !== undefined || plan.throws !== undefined;
    try {
      const count = plan.count ?? (fails || plan.wait === true ? (plan.after ?? 0) : 1);
      for (let index = 0; index < count; index += 1) {
        if (fails && index === (plan.after ?? 0)) break;
        probe.produced += 1;
        yield text === undefined ? request : { ...request, text };
      }
      if (plan.wait === true) await probe.wait();
      probe.fail();
    } finally {
      probe.finish();
    }
  }

  /** Joins the texts and counts the messages; for uploads, the bytes. */
  async #clientStream(requests: AsyncIterable<Message>, call: CallHead): Promise<object> {
    const probe = this.#begin(call);
    try {
      let text = "";
      let size = 0;
      if (probe.plan.wait === true && probe.plan.after === undefined) await probe.wait();
      for await (const request of requests as AsyncIterable<Loose>) {
        probe.consumed += 1;
        text += request.text ?? request.payload?.value?.text ?? "";
        size += request.payload?.value?.length ?? 0;
        if (probe.consumed === probe.plan.after) {
          if (probe.plan.wait === true) await probe.wait();
          probe.fail();
        }
      }
      probe.fail();
      return { text, i32: probe.consumed, sizeBytes: BigInt(size) };
    } finally {
      probe.finish();
    }
  }

  async *#bidi(requests: AsyncIterable<Message>, call: CallHead): AsyncGenerator<object> {
    const probe = this.#begin(call);
    const { plan } = probe;
    const text = plan.size === undefined ? undefined : noise(plan.size);
    try {
      if (plan.wait === true && plan.after === undefined) await probe.wait();
      if (plan.after === undefined) probe.fail();
      for await (const request of requests) {
        probe.consumed += 1;
        for (let index = 0; index < (plan.count ?? 1); index += 1) {
          probe.produced += 1;
          yield text === undefined ? request : { ...request, text };
        }
        if (probe.consumed === plan.after) {
          if (plan.wait === true) await probe.wait();
          probe.fail();
        }
      }
    } finally {
      probe.finish();
    }
  }
}

/** Text that gzip cannot make much smaller. */
export function noise(length: number): string {
  return randomBytes(length).toString("base64").slice(0, length);
}

interface Loose {
  readonly text?: string;
  readonly payload?: { readonly value?: { readonly text?: string; readonly length?: number } };
}

function bytesOf(name: string, value: string): string | Uint8Array {
  return name.endsWith("-bin") ? new Uint8Array(Buffer.from(value, "hex")) : value;
}

/** A message of a type that only the descriptor set knows. */
export function make(desc: DescMessage, fields: Readonly<Record<string, unknown>> = {}): Message {
  return create(desc, fields as never);
}
