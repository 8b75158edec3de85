/**
 * What stands between a protocol and a handler. Folded once per method at load: list order is running order, the first
 * is outermost. An interceptor that is not concerned with a method returns `next` itself and costs nothing per call.
 */
import type { Call } from "./call.ts";
import type { Method } from "./method.ts";
import type { Reply } from "./reply.ts";

export type Handler = (call: Call) => Promise<Reply>;
export type Interceptor = (next: Handler, method: Method) => Handler;
