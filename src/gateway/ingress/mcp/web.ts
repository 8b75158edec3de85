/** An exchange as the web's Request and Response, which libraries speak that serve HTTP anywhere. */
import { setTimeout as sleep } from "node:timers/promises";
import { RpcError } from "#rpc/error.ts";
import type { Exchange, ResponseHeaders } from "../exchange.ts";

/** @param base of the URL that the request names. @param signal fires when the client leaves. */
export function toRequest(
  exchange: Exchange,
  {
    base,
    body,
    signal,
  }: { readonly base: string; readonly body: Uint8Array | undefined; readonly signal: AbortSignal },
): Request {
  const headers = new Headers();
  for (const [name, value] of Object.entries(exchange.headers))
    if (value !== undefined && !name.startsWith(":"))
      for (const one of Array.isArray(value) ? value : [value]) headers.append(name, one);
  return new Request(base + exchange.path, {
    method: exchange.method,
    headers,
    signal,
    ...(body === undefined ? {} : { body: body as Uint8Array<ArrayBuffer> }),
  });
}

/** Longest wait for the first message of a stream before its headers go out without what it tells, in milliseconds. */
const holdHeadersMs = 1000;

/**
 * @param own headers of every answer; what is added to them while the first message is made is said too.
 * @param signal fires when the client leaves, or reads nothing: with the RpcError that says so. @param id of the request.
 * @returns the answer; of a stream its last piece.
 */
export async function replyWith(
  exchange: Exchange,
  response: Response,
  { own, signal, id }: { readonly own: ResponseHeaders; readonly signal: AbortSignal; readonly id: unknown },
): Promise<Uint8Array> {
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") === true;
  if (response.body === null || !isStream) {
    const body = new Uint8Array(await response.arrayBuffer());
    exchange.reply(response.status, headersOf(response, own), body.length === 0 ? undefined : body);
    return body;
  }
  const reader = response.body.getReader();
  // Who stops reading ends what is made for it.
  const leave = (): void => void reader.cancel().catch(() => {});
  if (signal.aborted) leave();
  signal.addEventListener("abort", leave);
  let next = reader.read();
  if (exchange.method === "POST") await Promise.race([next, sleep(holdHeadersMs, undefined, { ref: false })]);
  exchange.start(response.status, headersOf(response, own));
  let last: Uint8Array = new Uint8Array();
  try {
    for (let piece = await next; !piece.done; piece = await next) {
      last = piece.value;
      await exchange.write(last);
      next = reader.read();
    }
  } catch (thrown) {
    if (thrown !== signal.reason) throw thrown;
  }
  if (signal.reason instanceof RpcError) exchange.endWith(stalledEvent(signal.reason, id, last));
  else exchange.end();
  return last;
}

/** Ends a stream that nobody reads: the request's answer, where it has none yet. What waits goes before it, as long again. */
function stalledEvent({ reason, message }: RpcError, id: unknown, last: Uint8Array): Uint8Array {
  const answered = /^data: (.+)$/m.exec(Buffer.from(last).toString("utf8"))?.[1];
  const isAnswer = answered !== undefined && !("method" in (JSON.parse(answered) as object));
  // A stream that is no request's has nothing to be answered: its client opens another.
  if (isAnswer || (typeof id !== "string" && typeof id !== "number")) return new Uint8Array();
  const error = { code: -32_000, message, data: { reason } };
  return Buffer.from(`event: message\ndata: ${JSON.stringify({ jsonrpc: "2.0", id, error })}\n\n`);
}

function headersOf(response: Response, own: ResponseHeaders): ResponseHeaders {
  const headers: ResponseHeaders = { ...own, ...Object.fromEntries(response.headers) };
  // What a tool says is for who asked alone; the library lets it be kept.
  if (headers["cache-control"] !== own["cache-control"]) headers["cache-control"] = "no-store, no-transform";
  // Those of one connection are not the library's to say.
  for (const name of ["connection", "keep-alive", "transfer-encoding"]) delete headers[name];
  return headers;
}
