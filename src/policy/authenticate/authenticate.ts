/**
 * Who calls: from the credential in the call's metadata to a principal.
 *
 * `Authorization: Bearer` with an access token or an API key, or `X-API-Key`; the same names in gRPC metadata. A call without
 * any, and every call of a public method, goes on as nobody. What a credential stands for is kept for two seconds, so a suspension or revocation is seen in less
 * than five on every process; its form and signature are checked once.
 */
import type { Call } from "#rpc/call.ts";
import { RpcError, toRpcError } from "#rpc/error.ts";
import type { Handler, Interceptor } from "#rpc/interceptor.ts";
import type { Method } from "#rpc/method.ts";
import { anonymous, type Principal } from "#rpc/principal.ts";
import type { Authenticator } from "./authenticator.ts";

export interface AuthenticateOptions {
  readonly authenticator: Authenticator;
  /** Whether a method is for everybody: its callers are nobody, whatever they show. */
  isPublic(method: Method): boolean;
}

export function createAuthenticate({ authenticator, isPublic }: AuthenticateOptions): Interceptor {
  return (next, method) => {
    // A stale token beside a refresh token, or any at a health check, is no reason to refuse.
    if (isPublic(method))
      return (call) => {
        call.principal = anonymous;
        return next(call);
      };
    return method.kind === "server_stream" || method.kind === "bidi_stream"
      ? watched(authenticator, next)
      : (call) => authenticated(authenticator, next, call);
  };
}

function authenticated(authenticator: Authenticator, next: Handler, call: Call): ReturnType<Handler> {
  const found = authenticator.principalOf(call);
  if (found instanceof Promise)
    return found.then((principal) => {
      call.principal = principal;
      return next(call);
    });
  call.principal = found;
  return next(call);
}

/** How often a stream's caller is looked at again, in milliseconds: what it may do can end before its call does. */
const lookAgainMs = 2000;

/** A stream may go on for days: it ends when its credential does, and when what it may do is no longer the same. */
function watched(authenticator: Authenticator, next: Handler): Handler {
  return async (call) => {
    const reply = await authenticated(authenticator, next, call);
    const { principal } = call;
    if (reply.kind !== "stream" || principal.name === "") return reply;
    const timer = setInterval(() => void lookAgain(authenticator, call, principal), lookAgainMs).unref();
    call.onCancel(() => clearInterval(timer));
    return { kind: "stream", responses: untilEnd(reply.responses, () => clearInterval(timer)) };
  };
}

async function* untilEnd<T>(messages: AsyncIterable<T>, ended: () => void): AsyncGenerator<T> {
  try {
    yield* messages;
  } finally {
    ended();
  }
}

async function lookAgain(authenticator: Authenticator, call: Call, before: Principal): Promise<void> {
  try {
    const now = await authenticator.principalAgain(call, before);
    if (now.name !== before.name || !isSameSet(now.scopes, before.scopes)) call.cancel(rightsChanged());
  } catch (thrown) {
    const error = toRpcError(thrown);
    // A database that is away now is asked again at the next look.
    if (error.code === "unauthenticated") call.cancel(error);
  }
}

function isSameSet(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one === other || (one.size === other.size && [...one].every((scope) => other.has(scope)));
}

function rightsChanged(): RpcError {
  return new RpcError("unavailable", {
    reason: "RIGHTS_CHANGED",
    message: "what the caller may do changed while the stream was open; call again",
  });
}
