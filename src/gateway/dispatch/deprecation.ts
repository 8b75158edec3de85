/** Tells callers of methods that are not to be used any more: `Deprecation`, `Sunset` and `Link`, over every protocol that has headers. */
import type { Interceptor } from "#rpc/interceptor.ts";
import type { Method } from "#rpc/method.ts";

export interface DeprecationOptions {
  /** Of a method; undefined: it is not deprecated. */
  noticeOf(method: Method): { readonly headers: readonly (readonly [string, string])[] } | undefined;
}

export function createDeprecation({ noticeOf }: DeprecationOptions): Interceptor {
  return (next, method) => {
    const notice = noticeOf(method);
    if (notice === undefined) return next;
    return (call) => {
      for (const [name, value] of notice.headers) call.responseHeaders.set(name, value);
      return next(call);
    };
  };
}
