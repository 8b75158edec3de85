/** The response half of GraphQL over HTTP: one result, several, or a stream of them as server-sent events (graphql-sse, distinct connections). */
import type { ExecutionResult } from "graphql";
import { codes } from "#rpc/code.ts";
import type { RpcError } from "#rpc/error.ts";
import type { Metadata } from "#rpc/metadata.ts";
import type { Exchange, ResponseHeaders } from "../exchange.ts";
import { eventTooLarge, isWithin } from "../rest/event-size.ts";
import { secure } from "../rest/security-headers.ts";
import type { SharedRequest } from "../shared-request.ts";
import type { Refusal } from "./documents.ts";
import type { Results } from "./engine.ts";
import type { AnswerType } from "./request.ts";

export interface Answering {
  readonly exchange: Exchange;
  readonly type: AnswerType;
  /** Of the request. */
  readonly id: string;
  readonly metadata: Metadata;
  /** What its calls are parts of. */
  readonly request: SharedRequest;
  /** Headers of every answer: what was said at the door. */
  readonly told: ResponseHeaders;
}

/** What the caller and the server are to blame for, not the query: HTTP's own clients and proxies act on these. */
const callersCodes: ReadonlyMap<unknown, number> = new Map(
  [
    ...[codes.unauthenticated, codes.permission_denied, codes.resource_exhausted],
    ...[codes.unavailable, codes.deadline_exceeded],
  ].map(({ label, http }) => [label, http]),
);

export function replyResult(answering: Answering, result: ExecutionResult, said: ResponseHeaders): void {
  const status = statusOfAll(result);
  if (status !== undefined) replyErrors(answering, status, { errors: result.errors ?? [], said });
  else if (result.data === undefined)
    replyErrors(answering, queryErrorStatus(answering), { errors: result.errors ?? [], said });
  else answering.exchange.reply(200, { ...headersOf(answering), ...said }, JSON.stringify(result));
}

export function replyResults(
  answering: Answering,
  results: readonly ExecutionResult[],
  said: ResponseHeaders,
): void {
  answering.exchange.reply(200, { ...headersOf(answering), ...said }, JSON.stringify(results));
}

export function replyRefusal(answering: Answering, { errors, status }: Refusal): void {
  replyErrors(answering, status ?? queryErrorStatus(answering), {
    errors,
    said: status === 405 ? { allow: "POST" } : {},
  });
}

export function replyErrors(
  answering: Answering,
  status: number,
  { errors, said }: { readonly errors: readonly object[]; readonly said: ResponseHeaders },
): void {
  const headers = { ...headersOf(answering), ...said };
  if (status === 401) headers["www-authenticate"] = challengeOf(errors[0]);
  answering.exchange.reply(status, headers, JSON.stringify({ errors }));
}

/** The first step of a subscription may fail for its caller; that is told by the status, as of any call. */
export function startStatusOf(result: ExecutionResult): number | undefined {
  return result.data === undefined ? statusOfAll({ ...result, data: {} }) : undefined;
}

/** Of the option. */
export const defaultMaxEventBytes = 256 * 1024;

export interface EventsAbout {
  /** How long nothing is said before a comment is, in milliseconds. */
  readonly heartbeatMs: number;
  /** Larger events are errors, in bytes. */
  readonly maxEventBytes: number;
  /** What the calls said before the first result. */
  readonly said?: ResponseHeaders;
  /** Ends what the results are made by. */
  cancel?(error: RpcError): void;
}

/**
 * `next` for each result, `complete` at the end; a comment now and then where there is none. A client that does not read is
 * asked for nothing more.
 */
export async function replyEvents(
  answering: Answering,
  results: Results | readonly ExecutionResult[],
  { heartbeatMs, maxEventBytes, said = {}, cancel }: EventsAbout,
): Promise<void> {
  const { exchange } = answering;
  exchange.start(200, { ...headersOf(answering), ...said });
  let quiet = true;
  // Whoever does not read is not told either that there is more.
  let waiting = false;
  const stalled: { by?: RpcError } = {};
  exchange.onStalled((error) => {
    stalled.by = error;
    cancel?.(error);
  });
  const beat = setInterval(() => {
    if (quiet && !waiting) void exchange.write(":\n\n")?.catch(gone);
    quiet = true;
  }, heartbeatMs);
  try {
    for await (const result of results) {
      if (stalled.by !== undefined) throw stalled.by;
      quiet = false;
      waiting = true;
      const event = `event: next\ndata: ${JSON.stringify(result)}\n\n`;
      const fits = isWithin(event, maxEventBytes);
      await exchange.write(fits ? event : errorEvent(answering, eventTooLarge(maxEventBytes)));
      waiting = false;
      // Whoever missed one cannot go on as if it had not been.
      if (!fits) break;
    }
    if (stalled.by !== undefined) throw stalled.by;
    exchange.endWith(Buffer.from(completeEvent));
  } catch (error) {
    if (stalled.by === undefined || error !== stalled.by) throw error;
    exchange.endWith(Buffer.from(errorEvent(answering, stalled.by) + completeEvent));
  } finally {
    clearInterval(beat);
  }
}

const completeEvent = "event: complete\ndata:\n\n";

function errorEvent({ id }: Answering, { code, reason, message }: RpcError): string {
  const extensions = { code: codes[code].label, reason, requestId: id };
  return `event: next\ndata: ${JSON.stringify({ errors: [{ message, extensions }] })}\n\n`;
}

/** The client left while being told; there is nobody else to tell. */
function gone(): void {}

function headersOf({ type, id, request, told }: Answering): ResponseHeaders {
  const headers = secure(`${type}; charset=utf-8`, id);
  headers.vary = "Accept";
  const traceparent = request.trace?.traceparent;
  if (traceparent !== undefined) headers.traceparent = traceparent;
  return Object.assign(headers, told);
}

/** graphql-over-http: clients of plain JSON take a status as the gateway's between, not as the answer's. */
function queryErrorStatus({ type }: Answering): number {
  return type === "application/json" ? 200 : 400;
}

/** Where nothing came of an operation, for one reason that is not the query's: that reason's status. */
function statusOfAll({ data, errors }: ExecutionResult): number | undefined {
  if (errors === undefined || errors.length === 0) return undefined;
  if (data === undefined || (data !== null && Object.values(data).some((value) => value !== null)))
    return undefined;
  const [first, ...others] = errors.map(({ extensions }) => extensions.code);
  return others.every((code) => code === first) ? callersCodes.get(first) : undefined;
}

function challengeOf(error: object | undefined): string {
  const { extensions } = (error ?? {}) as { extensions?: { reason?: unknown } };
  return extensions?.reason === "CREDENTIAL_INVALID" ? 'Bearer error="invalid_token"' : "Bearer";
}
