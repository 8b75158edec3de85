/** Lines of JSON on standard output, written together a moment later: a write a call would cost more than the call. */
import { type Logger, pino } from "pino";
import type { Call } from "#rpc/call.ts";
import type { RpcError } from "#rpc/error.ts";
import type { Refusal } from "#rpc/refusal.ts";
import { LineWriter } from "#std/line-writer.ts";
import { scrubbed } from "./scrub.ts";

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "silent";

export interface Log extends Logger {
  /** Lines that were never written: nobody read those before them. */
  dropped(): number;
  /** Waits until everything is written, a second at most; what comes later is lost. */
  end(): Promise<void>;
}

/** How long the end waits for whoever reads, in milliseconds. */
const endMs = 1000;

/** @param file in the place of standard output. */
export function createLog(level: LogLevel, file?: string): Log {
  const lines = new LineWriter({
    to: file ?? 1,
    onResumed: (dropped) => log.warn({ dropped }, "lines of the log were dropped: nobody read them in time"),
  });
  const log = pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, lines);
  return Object.assign(log, { dropped: () => lines.dropped, end: () => lines.end(endMs) });
}

/** How long it took, in milliseconds. */
export interface Times {
  /** From the head of the request to the end of the answer. */
  readonly durationMs: number;
  /** The service's part. What is neither's is the time in which the request was still coming. */
  readonly serviceMs: number;
  readonly gatewayMs: number;
}

export interface Line {
  readonly error: RpcError | undefined;
  readonly times: Times;
  readonly messagesIn: number;
  readonly messagesOut: number;
  readonly traceId: string | undefined;
  readonly spanId: string | undefined;
  /** Bodies without what is sensitive; undefined: not of this call. */
  readonly bodies: { readonly request: unknown; readonly response: unknown } | undefined;
}

/** What is written of a call. Metadata is not: credentials are in it. */
export function lineOf(call: Call, line: Line): object {
  const { error, times, bodies } = line;
  const isStream = call.method.kind !== "unary";
  return {
    method: call.method.name,
    protocol: call.protocol,
    code: error?.code ?? "ok",
    ...(error === undefined ? {} : { reason: error.reason }),
    durationMs: rounded(times.durationMs),
    gatewayMs: rounded(times.gatewayMs),
    serviceMs: rounded(times.serviceMs),
    bytesIn: call.bytesIn,
    bytesOut: call.bytesOut,
    ...(isStream ? { messagesIn: line.messagesIn, messagesOut: line.messagesOut } : {}),
    peer: call.peer.address,
    principal: call.principal.name,
    requestId: call.id,
    traceId: line.traceId,
    spanId: line.spanId,
    ...bodies,
    ...(error === undefined ? {} : causeIn(error)),
  };
}

export function refusalLineOf(refusal: Refusal, durationMs: number): object {
  const { error } = refusal;
  return {
    // Not what was asked for: it may be anything.
    method: refusal.method?.name,
    protocol: refusal.protocol,
    code: error.code,
    reason: error.reason,
    durationMs: rounded(durationMs),
    bytesIn: refusal.bytesIn,
    bytesOut: refusal.bytesOut,
    peer: refusal.peer.address,
    requestId: refusal.id,
    ...causeIn(error),
  };
}

/** To the microsecond. */
function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

/** Where it was our fault, or that of what we stand on: of that its own words, which callers are not told. */
function causeIn({ code, cause }: RpcError): { readonly cause?: string } {
  if (cause === undefined || (code !== "internal" && code !== "unavailable")) return {};
  const text = cause instanceof Error ? cause.message : String(cause);
  const stack = code === "internal" && cause instanceof Error ? cause.stack : undefined;
  return { cause: scrubbed(stack ?? text) };
}
