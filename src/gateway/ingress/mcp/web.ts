/** An exchange as the web's Request and Response, which libraries speak that serve HTTP anywhere. */
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

/** @param own headers of every answer. @param signal fires when the client leaves. */
export async function replyWith(
  exchange: Exchange,
  response: Response,
  { own, signal }: { readonly own: ResponseHeaders; readonly signal: AbortSignal },
): Promise<void> {
  const headers: ResponseHeaders = { ...own, ...Object.fromEntries(response.headers) };
  // Those of one connection are not the library's to say.
  for (const name of ["connection", "keep-alive", "transfer-encoding"]) delete headers[name];
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") === true;
  if (response.body === null || !isStream) {
    const body = new Uint8Array(await response.arrayBuffer());
    exchange.reply(response.status, headers, body.length === 0 ? undefined : body);
    return;
  }
  exchange.start(response.status, headers);
  const reader = response.body.getReader();
  // Who stops reading ends what is made for it.
  const leave = (): void => void reader.cancel().catch(() => {});
  if (signal.aborted) leave();
  signal.addEventListener("abort", leave);
  for (let piece = await reader.read(); !piece.done; piece = await reader.read())
    await exchange.write(piece.value);
  exchange.end();
}
