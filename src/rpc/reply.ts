/**
 * What a handler answers. A failure is thrown (or rejects, or the iterable throws): always an RpcError by the time an
 * adapter sees it, because dispatch wraps everything else.
 */
import type { Payload } from "./payload.ts";

export type Reply = UnaryReply | StreamReply;
export interface UnaryReply {
  readonly kind: "unary";
  readonly response: Payload;
}
export interface StreamReply {
  readonly kind: "stream";
  /** Pulled by the adapter as fast as its client reads; `return()` is called when the client leaves early. */
  readonly responses: AsyncIterable<Payload>;
}
