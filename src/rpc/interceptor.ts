/**
 * What stands between a protocol and a handler. Folded once per method at load: list order is running order, the first
 * is outermost. An interceptor that is not concerned with a method returns `next` itself and costs nothing per call.
 */
import type { Call } from "./call.ts";
import type { Method } from "./method.ts";
import type { Reply } from "./reply.ts";

/**
 * Answers at once where it can, with a promise where it must wait: a call that reads what is at hand costs no turn of the
 * event loop, no timer and no listener. Fails by throwing or by rejecting.
 */
export type Handler = (call: Call) => Reply | Promise<Reply>;
export type Interceptor = (next: Handler, method: Method) => Handler;
