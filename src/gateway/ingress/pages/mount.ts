/** Something that serves paths of its own, mounted beside the API: plain requests in, plain answers out, over any HTTP. */
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import { toRpcError } from "#rpc/error.ts";
import type { Exchange, ResponseHeaders } from "../exchange.ts";
import type { Pages } from "./pages.ts";

export interface Mounted {
  owns(path: string): boolean;
  /** A failure is answered with 500 and nothing of it. */
  handle(request: {
    readonly method: string;
    readonly path: string;
    /** Without `?`. */
    readonly query: string;
    readonly headers: Exchange["headers"];
    readonly body: Uint8Array;
    readonly address: string;
  }): Promise<{
    readonly status: number;
    readonly headers: Readonly<Record<string, string | number | readonly string[]>>;
    readonly body: Uint8Array | string;
  }>;
}

/** Forms and their like: nothing mounted takes files. */
const maxBodyBytes = 64 * 1024;

export function createMount(mounted: Mounted): Pages {
  return {
    owns: (path) => mounted.owns(path),
    handle: (exchange) => void serve(mounted, exchange),
  };
}

async function serve(mounted: Mounted, exchange: Exchange): Promise<void> {
  const common: ResponseHeaders = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-request-id": requestIdFrom(exchange.headers["x-request-id"]),
  };
  try {
    const { method, path, query, headers } = exchange;
    const body = exchange.hasBody ? await exchange.readBody(maxBodyBytes) : new Uint8Array(0);
    const answer = await mounted.handle({
      method,
      path,
      query,
      headers,
      body,
      address: exchange.peer.address,
    });
    exchange.reply(answer.status, { ...common, ...answer.headers }, answer.body);
  } catch (error) {
    const tooLarge = toRpcError(error).reason === "PAYLOAD_TOO_LARGE";
    const text = { ...common, "content-type": "text/plain; charset=utf-8" };
    if (tooLarge) exchange.reply(413, text, `a request here has at most ${maxBodyBytes} bytes\n`);
    else exchange.reply(500, text, "internal error: try again\n");
  }
}
