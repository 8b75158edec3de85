/** Following a resource: a call of the method that its contract names, as the caller, for as long as the caller listens. */
import { clientGone } from "#rpc/call.ts";
import { RpcError, toRpcError } from "#rpc/error.ts";
import { findResource } from "./resources.ts";
import { callOf, type Use } from "./use.ts";

export interface Watcher {
  changed(uri: string): void;
  /** The stream ended by itself: nothing tells of changes any more. */
  ended(uri: string, error: RpcError | undefined): void;
}

/** Longest wait for the stream to begin before it counts as begun, in milliseconds: some say nothing until there is something. */
const beginsWithinMs = 1000;

/**
 * @returns what ends it.
 * @throws RpcError the method's own, where the caller may not follow it; `not_found`, `unimplemented`.
 */
export async function watch(options: Use, uri: string, watcher: Watcher): Promise<() => void> {
  const { offer, variables } = findResource(options, uri);
  const about = offer.options.watch;
  if (about === undefined)
    throw new RpcError("unimplemented", {
      reason: "METHOD_UNKNOWN",
      message: `nothing tells of changes of ${uri.slice(0, 200)}; read it again instead`,
    });
  options.caller.request.delegate();
  const call = callOf(options, about.method, about.request(variables));
  const began = Promise.withResolvers<undefined>();
  call.flushHeaders = () => began.resolve(undefined);
  const late = setTimeout(() => began.resolve(undefined), beginsWithinMs);
  let running = true;
  const follow = async (): Promise<void> => {
    const reply = await options.runtime.dispatch(call);
    if (reply.kind !== "stream") return;
    for await (const message of reply.responses) {
      began.resolve(undefined);
      if (about.isChange(message.message())) watcher.changed(uri);
    }
  };
  const ended = (error: RpcError | undefined): void => {
    if (error !== undefined) began.reject(error);
    began.resolve(undefined);
    if (running) watcher.ended(uri, error);
    running = false;
    call.close(error);
  };
  follow().then(
    () => ended(undefined),
    (thrown: unknown) => ended(toRpcError(thrown)),
  );
  const stop = (): void => {
    running = false;
    call.cancel(clientGone());
  };
  try {
    await began.promise;
  } finally {
    clearTimeout(late);
  }
  return stop;
}
