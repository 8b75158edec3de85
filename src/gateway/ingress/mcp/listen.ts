/**
 * Streams of changes of the newest revision: `subscriptions/listen`, for the resources that a client names.
 *
 * What is said on the stream is the library's; what happens comes from calls of the caller's own, one a resource, which end with it.
 */
import type { AuthInfo, McpHttpHandler, ServerEventBus } from "@modelcontextprotocol/server";
import type { RpcError } from "#rpc/error.ts";
import { type Library, protocolFailure } from "./failures.ts";
import type { Use } from "./use.ts";
import { watch } from "./watch.ts";

const maxResources = 100;

/** @returns the resources that a request wants to hear of; none: it is another request. */
export function listenedTo(body: unknown): readonly string[] {
  const { method, params } = (body ?? {}) as {
    readonly method?: unknown;
    readonly params?: { readonly notifications?: { readonly resourceSubscriptions?: unknown } };
  };
  if (method !== "subscriptions/listen") return [];
  const named = params?.notifications?.resourceSubscriptions;
  return Array.isArray(named)
    ? [...new Set(named.filter((uri): uri is string => typeof uri === "string"))]
    : [];
}

/** A listener's own events: it alone hears of them, and its leaving ends what makes them. */
class Followed implements ServerEventBus {
  #listener: Parameters<ServerEventBus["subscribe"]>[0] | undefined;
  #stops: (() => void)[] = [];
  /** What happened before the stream was there to tell it. */
  readonly #early: Parameters<ServerEventBus["publish"]>[0][] = [];
  #ended = false;

  publish(event: Parameters<ServerEventBus["publish"]>[0]): void {
    if (this.#listener !== undefined) this.#listener(event);
    else if (!this.#ended && this.#early.length < maxResources) this.#early.push(event);
  }

  subscribe(listener: Parameters<ServerEventBus["subscribe"]>[0]): () => void {
    this.#listener = listener;
    for (const event of this.#early.splice(0)) listener(event);
    return () => this.end();
  }

  get heard(): boolean {
    return this.#listener !== undefined;
  }

  add(stop: () => void): void {
    if (this.#ended) stop();
    else this.#stops.push(stop);
  }

  end(): void {
    this.#ended = true;
    this.#listener = undefined;
    for (const stop of this.#stops.splice(0)) stop();
  }
}

export interface Listening {
  readonly library: Library;
  /** As the caller. */
  readonly use: Use;
  readonly uris: readonly string[];
  /** The library's handler over a bus of its own. */
  handler(bus: ServerEventBus): McpHttpHandler;
}

export interface ListenStream {
  readonly response: Response;
  /** Ends it in the protocol's words. */
  close(): void;
}

/** @throws RpcError or the library's error where one of them cannot be followed by the caller. */
export async function openListen(
  { library, use, uris, handler: handlerOver }: Listening,
  request: Request,
  asked: { readonly authInfo: AuthInfo; readonly parsedBody: unknown },
): Promise<ListenStream> {
  if (uris.length > maxResources)
    throw new library.ProtocolError(
      library.ProtocolErrorCode.InvalidParams,
      `at most ${maxResources} resources can be followed on one stream`,
    );
  const bus = new Followed();
  const handler = handlerOver(bus);
  const close = (): void => void handler.close().catch(() => {});
  try {
    const watcher = {
      changed: (uri: string) => bus.publish({ kind: "resource_updated", uri }),
      // A client that hears of some only would not know it: it comes again.
      ended: (_uri: string, _error: RpcError | undefined) => close(),
    };
    const stops = await Promise.allSettled(uris.map((uri) => watch(use, uri, watcher)));
    for (const stop of stops) if (stop.status === "fulfilled") bus.add(stop.value);
    for (const [index, stop] of stops.entries())
      if (stop.status === "rejected") throw protocolFailure(library, stop.reason, uris[index]);
    const response = await handler.fetch(request, asked);
    if (!bus.heard) bus.end();
    return { response, close };
  } catch (thrown) {
    bus.end();
    throw thrown;
  }
}
