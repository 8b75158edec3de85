/** Something that serves paths of its own, mounted beside the API: plain requests in, plain answers out, over any HTTP. */
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import { httpStatusOf } from "#rpc/code.ts";
import { type Door, Entry, openDoor } from "#rpc/door.ts";
import { RpcError, toRpcError } from "#rpc/error.ts";
import { Metadata } from "#rpc/metadata.ts";
import { refuseExchange } from "../close.ts";
import type { Exchange, ResponseHeaders } from "../exchange.ts";
import { retryAfter, retryAfterSeconds } from "../rest/error-body.ts";
import { enter } from "../told-headers.ts";
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

export interface MountOptions {
  /** What each request passes before it is read. Default: nothing. */
  readonly door?: Door;
  runtime(): Pick<Runtime, "refused">;
}

/** Forms and their like: nothing mounted takes files. */
const maxBodyBytes = 64 * 1024;

export function createMount(mounted: Mounted, options: MountOptions): Pages {
  return {
    owns: (path) => mounted.owns(path),
    handle: (exchange) => void serve(mounted, exchange, options),
  };
}

async function serve(
  mounted: Mounted,
  exchange: Exchange,
  { door = openDoor, runtime }: MountOptions,
): Promise<void> {
  const id = requestIdFrom(exchange.headers["x-request-id"]);
  const common: ResponseHeaders = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-request-id": id,
  };
  const told = (error: RpcError): void =>
    refuseExchange(runtime(), exchange, { id, protocol: "rest", error });
  try {
    const { address, port } = exchange.peer;
    // Its callers are applications, which show what only it knows: what they have in common is where they are.
    await enter(door, new Entry(new Metadata(), { address, port }), common);
    const { method, path, query, headers } = exchange;
    const body = exchange.hasBody ? await exchange.readBody(maxBodyBytes) : new Uint8Array(0);
    const asked = { method, path, query, headers, body, address };
    const answer = await door.run("oauth", () => mounted.handle(asked));
    exchange.reply(answer.status, { ...common, ...answer.headers }, answer.body);
    // A limit of its own.
    const refused = answer.status === 429 ? limited() : refusalOf(answer.status, "OAUTH_REFUSED");
    if (refused !== undefined) told(refused);
  } catch (thrown) {
    const error = toRpcError(thrown);
    refuse(exchange, error, common);
    told(error);
  }
}

/** RFC 6749 section 5.2, as its callers read errors; what is no such is for people. */
function refuse(exchange: Exchange, error: RpcError, common: ResponseHeaders): void {
  const { reason, message } = error;
  const text = { ...common, "content-type": "text/plain; charset=utf-8" };
  if (reason === "RATE_LIMITED" || reason === "OVERLOADED")
    exchange.reply(
      httpStatusOf(error),
      {
        ...{ ...common, "content-type": "application/json; charset=utf-8" },
        "retry-after": retryAfter(error) ?? retryAfterSeconds,
      },
      JSON.stringify({ error: "temporarily_unavailable", error_description: message }),
    );
  else if (reason === "PAYLOAD_TOO_LARGE")
    exchange.reply(413, text, `a request here has at most ${maxBodyBytes} bytes\n`);
  else exchange.reply(500, text, "internal error: try again\n");
}

function limited(): RpcError {
  return new RpcError("resource_exhausted", {
    reason: "RATE_LIMITED",
    message: "too many requests from this address",
  });
}
