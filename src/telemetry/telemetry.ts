/**
 * What happened: one access line a call, and rate, errors and duration per method and protocol.
 *
 * An interceptor watches calls from outside every other; it changes nothing. Lines are JSON on standard output. Metrics are
 * Prometheus text; labels are method, protocol and code only, so their number is bounded by the contract. Credentials are
 * never written: metadata does not enter the log.
 */
import { pino } from "pino";
import type { Call } from "#rpc/call.ts";
import type { RpcError } from "#rpc/error.ts";
import { toRpcError } from "#rpc/error.ts";
import type { Interceptor } from "#rpc/interceptor.ts";
import type { Method } from "#rpc/method.ts";
import type { Payload } from "#rpc/payload.ts";
import type { Reply } from "#rpc/reply.ts";
import type { Clock } from "#std/clock.ts";
import { CallMetrics } from "./call-metrics.ts";
import { traceOf } from "./trace.ts";

export interface Telemetry {
  /** Belongs outermost. */
  readonly interceptor: Interceptor;
  /** Prometheus text exposition format 0.0.4. */
  renderMetrics(): string;
  /** Writes what is still buffered. */
  flush(): void;
}

export interface TelemetryOptions {
  readonly logLevel: "trace" | "debug" | "info" | "warn" | "error" | "silent";
  readonly clock: Clock;
}

export function createTelemetry(options: TelemetryOptions): Telemetry {
  // Buffered for a moment: a write per call would cost more than the call.
  const destination = pino.destination({ fd: 1, minLength: 4096, sync: true });
  const timer = setInterval(() => destination.flushSync(), 200).unref();
  const log = pino(
    { level: options.logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    destination,
  );
  const metrics = new CallMetrics();
  const finish = (call: Call, error: RpcError | undefined): void => {
    const durationMs = options.clock.monotonic() - call.startedAtMs;
    metrics.observe(call, error?.code ?? "ok", durationMs);
    if (error?.code === "internal")
      log.error({ ...lineOf(call, error, durationMs), cause: causeOf(error) }, "call failed");
    else if (log.isLevelEnabled("info")) log.info(lineOf(call, error, durationMs), "call");
  };
  return {
    interceptor: (next, method) => watch(next, method, finish),
    renderMetrics: () => metrics.render(),
    flush: () => {
      clearInterval(timer);
      destination.flushSync();
    },
  };
}

type Finish = (call: Call, error: RpcError | undefined) => void;

function watch(
  next: Parameters<Interceptor>[0],
  _method: Method,
  finish: Finish,
): Parameters<Interceptor>[0] {
  const done = (reply: Reply, call: Call): Reply => {
    if (reply.kind === "stream")
      return { kind: "stream", responses: followed(reply.responses, call, finish) };
    finish(call, undefined);
    return reply;
  };
  const failed = (thrown: unknown, call: Call): never => {
    const error = toRpcError(thrown);
    finish(call, error);
    throw error;
  };
  return (call) => {
    let reply: Reply | Promise<Reply>;
    try {
      reply = next(call);
    } catch (thrown) {
      return failed(thrown, call);
    }
    if (!(reply instanceof Promise)) return done(reply, call);
    return reply.then(
      (value) => done(value, call),
      (thrown: unknown) => failed(thrown, call),
    );
  };
}

/** A stream is over when its last message is, or when its reader leaves. */
async function* followed(
  responses: AsyncIterable<Payload>,
  call: Call,
  finish: Finish,
): AsyncGenerator<Payload> {
  let error: RpcError | undefined;
  try {
    yield* responses;
  } catch (thrown) {
    error = toRpcError(thrown);
    throw error;
  } finally {
    finish(call, error ?? call.canceledBy);
  }
}

function lineOf(call: Call, error: RpcError | undefined, durationMs: number) {
  return {
    method: call.method.name,
    protocol: call.protocol,
    code: error?.code ?? "ok",
    ...(error === undefined ? {} : { reason: error.reason }),
    durationMs: Math.round(durationMs * 1000) / 1000,
    requestId: call.id,
    peer: call.peer.address,
    principal: call.principal.name,
    traceId: traceOf(call)?.traceId,
  };
}

function causeOf(error: RpcError): string | undefined {
  if (error.cause instanceof Error) return error.cause.stack ?? error.cause.message;
  return error.cause === undefined ? undefined : String(error.cause);
}
