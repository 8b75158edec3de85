/** Something that serves paths of its own, mounted beside the API: plain requests in, plain answers out, over any HTTP. */

import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import { type RpcError, toRpcError } from "#rpc/error.ts";
import { refuseExchange } from "../close.ts";
import type { Exchange, ResponseHeaders } from "../exchange.ts";
import type { Pages } from "./pages.ts";
import { refusalOf } from "./refusal-of.ts";

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

/** @param runtime hears of what was refused. */
export function createMount(mounted: Mounted, runtime: () => Pick<Runtime, "refused">): Pages {
  return {
    owns: (path) => mounted.owns(path),
    handle: (exchange) => void serve(mounted, exchange, runtime),
  };
}

async function serve(
  mounted: Mounted,
  exchange: Exchange,
  runtime: () => Pick<Runtime, "refused">,
): Promise<void> {
  const id = requestIdFrom(exchange.headers["x-request-id"]);
  const refused = (error: RpcError | undefined): void => {
    if (error !== undefined) refuseExchange(runtime(), exchange, { id, protocol: "rest", error });
  };
  const common: ResponseHeaders = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-request-id": id,
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
    refused(refusalOf(answer.status, "OAUTH_REFUSED"));
  } catch (error) {
    const tooLarge = toRpcError(error).reason === "PAYLOAD_TOO_LARGE";
    const text = { ...common, "content-type": "text/plain; charset=utf-8" };
    if (tooLarge) exchange.reply(413, text, `a request here has at most ${maxBodyBytes} bytes\n`);
    else exchange.reply(500, text, "internal error: try again\n");
    refused(toRpcError(error));
  }
}
