/** The end of what came over an exchange, for those who watch: a call, or what never became one. */
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import type { Call } from "#rpc/call.ts";
import type { RpcError } from "#rpc/error.ts";
import type { Method } from "#rpc/method.ts";
import type { Protocol } from "#rpc/peer.ts";
import type { Principal } from "#rpc/principal.ts";
import { traceHeadersOf } from "#rpc/refusal.ts";
import type { TracedRequest } from "#rpc/request.ts";
import type { Exchange } from "./exchange.ts";

/** When the answer is written. @param error what was answered, where it is not dispatch's. */
export function closeCall(call: Call, exchange: Exchange, error?: RpcError): void {
  call.bytesIn = exchange.bytesIn;
  call.bytesOut = exchange.bytesOut;
  call.httpStatus = exchange.status;
  call.close(error);
}

/** When the answer is written that says why there is no call. */
export function refuseExchange(
  runtime: Pick<Runtime, "refused">,
  exchange: Exchange,
  about: {
    readonly id: string;
    readonly protocol: Protocol;
    readonly error: RpcError;
    readonly method?: Method | undefined;
    readonly principal?: Principal | undefined;
    readonly request?: TracedRequest | undefined;
  },
): void {
  const { peer, startedAtMs, bytesIn, bytesOut } = exchange;
  const { id, protocol, error, method, principal, request } = about;
  runtime.refused({
    ...{ id, protocol, error, method, principal, request, peer, startedAtMs, bytesIn, bytesOut },
    trace: traceHeadersOf(exchange.headers),
    ...{ httpMethod: exchange.method, path: exchange.path, httpStatus: exchange.status },
  });
}
