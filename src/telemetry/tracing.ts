/**
 * Traces as those who watch calls see them. What makes them is in otel.ts, which is loaded only where an exporter is configured: a process
 * without one does not even read its libraries.
 */
import type { Call } from "#rpc/call.ts";
import type { RpcError } from "#rpc/error.ts";
import type { Handler } from "#rpc/interceptor.ts";
import type { Reply } from "#rpc/reply.ts";
import type { Clock } from "#std/clock.ts";
import type { Family } from "./instruments.ts";

export interface CallSpan {
  /** Undefined: of a call that nobody traces. */
  readonly traceId: string | undefined;
  readonly spanId: string | undefined;
  /** Whether it will be sent. */
  readonly sampled: boolean;
}

export interface Tracing {
  begin(call: Call): CallSpan;
  /** Runs the handler with the span, and with the caller's baggage, as what is active. */
  run(span: CallSpan | undefined, handler: Handler, call: Call): Reply | Promise<Reply>;
  end(span: CallSpan, call: Call, error: RpcError | undefined): void;
  /** What of it was sent, and what was not. */
  families(): readonly Family[];
  /** Sends what was not sent yet, for five seconds at most. */
  close(): Promise<void>;
}

export interface TracingOptions {
  /** Of the OTLP/HTTP receiver, without `/v1/traces`. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Of the calls whose caller did not decide; 0 … 1. */
  readonly ratio: number;
  readonly serviceName: string;
  readonly version: string;
  /** One of several processes that are told the same. */
  readonly isWorker: boolean;
  /** Of every answer's scheme. */
  readonly encrypted: boolean;
}

export interface TracingParts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Record<"info" | "warn", (about: object, message: string) => void>;
}
