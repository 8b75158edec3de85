/** An exchange as the web's Request and Response, which libraries speak that serve HTTP anywhere. */
import type { Exchange, ResponseHeaders } from "../exchange.ts";

/** @param base of the URL that the request names. */
export function toRequest(exchange: Exchange, base: string, body: Uint8Array | undefined): Request {
  const headers = new Headers();
  for (const [name, value] of Object.entries(exchange.headers))
    if (value !== undefined && !name.startsWith(":"))
      for (const one of Array.isArray(value) ? value : [value]) headers.append(name, one);
  const gone = new AbortController();
  exchange.onAbort(() => gone.abort());
  return new Request(base + exchange.path, {
    method: exchange.method,
    headers,
    signal: gone.signal,
    ...(body === undefined ? {} : { body: body as Uint8Array<ArrayBuffer> }),
  });
}

/** @param own headers of every answer. */
export async function replyWith(exchange: Exchange, response: Response, own: ResponseHeaders): Promise<void> {
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
  exchange.onAbort(() => void reader.cancel().catch(() => {}));
  for (let piece = await reader.read(); !piece.done; piece = await reader.read())
    await exchange.write(piece.value);
  exchange.end();
}
