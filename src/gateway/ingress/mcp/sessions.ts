/**
 * Sessions of clients of the revision 2025-11-25: what they declared, what they follow, and the stream over which they hear of it.
 *
 * A session holds no rights: each request shows its credential again, and a session is of no use to anybody but the principal that began it. It
 * is in this process alone; a client that comes to another one is told 404 and begins again, as the revision says.
 *
 * @see https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management
 */
import { randomUUID } from "node:crypto";
import type {
  AuthInfo,
  Server,
  ServerContext,
  WebStandardStreamableHTTPServerTransport,
} from "@modelcontextprotocol/server";
import type { Principal } from "#rpc/principal.ts";
import { type Library, protocolFailure } from "./failures.ts";
import { callerOf, createServer, type ServerParts } from "./server.ts";
import { type Asked, Unanswered } from "./unanswered.ts";
import { watch } from "./watch.ts";

export interface SessionLimits {
  /** Sessions of all; the one that was longest without a request makes room. Default 10 000. */
  readonly maxSessions: number;
  /** Of one principal. Default 100. */
  readonly maxOfPrincipal: number;
  /** How long one lives without a request or an open stream, in milliseconds. Default 30 minutes. */
  readonly idleMs: number;
  /** Resources that one follows. Default 100. */
  readonly maxWatches: number;
}

export const sessionDefaults: SessionLimits = {
  maxSessions: 10_000,
  maxOfPrincipal: 100,
  idleMs: 30 * 60_000,
  maxWatches: 100,
};

interface Transport {
  handleRequest(request: Request, asked: Asked): Promise<Response>;
}

interface Session {
  readonly owner: string;
  readonly transport: WebStandardStreamableHTTPServerTransport;
  readonly server: Server;
  readonly watches: Map<string, () => void>;
  /** Requests that are being answered, the open stream among them: not idle while there are any. */
  open: number;
  readonly unanswered: Unanswered;
  timer: NodeJS.Timeout | undefined;
}

export class Sessions {
  readonly #parts: ServerParts;
  readonly #limits: SessionLimits;
  /** In the order of their last request. */
  readonly #sessions = new Map<string, Session>();

  constructor(parts: ServerParts, limits: Partial<SessionLimits> = {}) {
    this.#parts = parts;
    this.#limits = { ...sessionDefaults, ...limits };
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** A client begins: its first request makes the session. */
  async begin(request: Request, asked: { authInfo: AuthInfo; parsedBody: unknown }, principal: Principal) {
    const { library } = this.#parts;
    const watches = new Map<string, () => void>();
    const server = createServer(this.#parts, "session");
    const unanswered = new Unanswered();
    const transport = new library.WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      onsessioninitialized: (id) => {
        const owner = ownerOf(principal);
        this.#makeRoom(owner);
        this.#sessions.set(id, { owner, transport, server, watches, unanswered, open: 1, timer: undefined });
      },
      onsessionclosed: (id) => this.#close(id),
    });
    this.#follow(server, watches);
    await server.connect(transport);
    unanswered.watch(transport);
    try {
      return { response: await transport.handleRequest(request, asked), transport };
    } catch (thrown) {
      // Nobody was told its name: nobody would ever ask for it, or end it.
      if (transport.sessionId !== undefined) this.#close(transport.sessionId);
      throw thrown;
    }
  }

  /** @returns undefined where there is no such session, or it is another's. */
  find(id: string, principal: Principal): Transport | undefined {
    const session = this.#sessions.get(id);
    if (session === undefined || session.owner !== ownerOf(principal)) return undefined;
    this.#sessions.delete(id);
    this.#sessions.set(id, session);
    session.open += 1;
    clearTimeout(session.timer);
    return {
      handleRequest: (request, asked) => session.unanswered.handle(session.transport, request, asked),
    };
  }

  /** A request of it was answered. */
  done(id: string | undefined): void {
    const session = id === undefined ? undefined : this.#sessions.get(id);
    if (session === undefined || id === undefined) return;
    session.open -= 1;
    if (session.open > 0) return;
    session.timer = setTimeout(() => this.#close(id), this.#limits.idleMs).unref();
  }

  closeAll(): void {
    for (const id of this.#sessions.keys()) this.#close(id);
  }

  #close(id: string): void {
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    this.#sessions.delete(id);
    clearTimeout(session.timer);
    for (const stop of session.watches.values()) stop();
    session.watches.clear();
    // Closing writes to streams whose clients may be gone: nobody is left to be told.
    session.server.close().catch(() => {});
  }

  #makeRoom(owner: string): void {
    const own = [...this.#sessions].filter(([, session]) => session.owner === owner);
    const [oldestOwn] = own;
    if (oldestOwn !== undefined && own.length >= this.#limits.maxOfPrincipal) this.#close(oldestOwn[0]);
    const [oldest] = this.#sessions.keys();
    if (oldest !== undefined && this.#sessions.size >= this.#limits.maxSessions) this.#close(oldest);
  }

  #follow(server: Server, watches: Session["watches"]): void {
    const { library } = this.#parts;
    server.setRequestHandler("resources/subscribe", async ({ params: { uri } }, context) => {
      if (watches.has(uri)) return {};
      if (watches.size >= this.#limits.maxWatches)
        throw tooMany(library, `${watches.size} resources are followed already; unsubscribe from one`);
      // Holds the place while the stream begins.
      const place = (): void => {};
      watches.set(uri, place);
      try {
        const stop = await this.#watch(server, { uri, context, watches });
        if (watches.get(uri) === place) watches.set(uri, stop);
        // Meanwhile it was given up, with its session or alone, or it is over by itself.
        else stop();
      } catch (thrown) {
        if (watches.get(uri) === place) watches.delete(uri);
        throw protocolFailure(library, thrown, uri);
      }
      return {};
    });
    server.setRequestHandler("resources/unsubscribe", ({ params: { uri } }) => {
      watches.get(uri)?.();
      watches.delete(uri);
      return {};
    });
  }

  async #watch(
    server: Server,
    { uri, context, watches }: { uri: string; context: ServerContext; watches: Session["watches"] },
  ): Promise<() => void> {
    const { runtime, clock } = this.#parts;
    // It goes on after the request that began it.
    const caller = { ...callerOf(context), gone: new AbortController().signal };
    const options = { runtime: runtime(), caller, signal: caller.gone, startedAtMs: clock.monotonic() };
    return await watch(options, uri, {
      // Without an open stream the client asks anew when it comes back.
      changed: () => void server.sendResourceUpdated({ uri }).catch(() => {}),
      ended: () => watches.delete(uri),
    });
  }
}

function ownerOf({ tenant, name }: Principal): string {
  return `${tenant}\0${name}`;
}

function tooMany({ ProtocolError, ProtocolErrorCode }: Library, message: string): Error {
  return new ProtocolError(ProtocolErrorCode.InvalidRequest, message);
}
