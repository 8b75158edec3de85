/**
 * The Model Context Protocol at `/mcp`: methods that their contract makes tools, resources and prompts, over streamable HTTP, in the
 * revisions 2026-07-28 and 2025-11-25 (and what those take of older clients).
 *
 * What is said on the wire is the official library's, loaded with the first request; what there is, who may use it and what it
 * answers is the catalogue's and the policies'. Clients of the older revision have sessions, for what is asked of them and told them.
 *
 * @see https://modelcontextprotocol.io/specification/2026-07-28/basic/transports
 */
import { createHmac, randomBytes } from "node:crypto";
import type { AuthInfo, McpHttpHandler, ServerEventBus } from "@modelcontextprotocol/server";
import { defaultMaxInflation } from "#gateway/codec/compression.ts";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { readTimeout } from "#gateway/wire/grpc-timeout.ts";
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import { clientGone } from "#rpc/call.ts";
import { httpStatusOf } from "#rpc/code.ts";
import { type Door, Entry, openDoor } from "#rpc/door.ts";
import { type RpcError, toRpcError } from "#rpc/error.ts";
import type { Principal } from "#rpc/principal.ts";
import { type Clock, systemClock } from "#std/clock.ts";
import { refuseExchange } from "../close.ts";
import { readMetadata } from "../connect/read.ts";
import type { Adapter, Exchange, ResponseHeaders } from "../exchange.ts";
import { readPackedBody } from "../packed-body.ts";
import { retryAfter } from "../rest/error-body.ts";
import { secure } from "../rest/security-headers.ts";
import { SharedRequest } from "../shared-request.ts";
import { enter } from "../told-headers.ts";
import { readBody } from "./body.ts";
import { checkOrigin, type Gate, principalOf } from "./gate.ts";
import { type ListenStream, listenedTo, openListen } from "./listen.ts";
import { metaTools } from "./meta-tools.ts";
import { offersOf } from "./offers.ts";
import { refusalIn } from "./refusal-in.ts";
import { callerOf, createServer, type ServerParts } from "./server.ts";
import { type SessionLimits, Sessions } from "./sessions.ts";
import type { Caller } from "./use.ts";
import { replyWith, toRequest } from "./web.ts";

export interface McpOptions extends Gate {
  /** What each request passes before it is read. Default: nothing. */
  readonly door?: Door;
  runtime(): Runtime;
  readonly version: string;
  /** `search_methods` and `call_method`, which reach every method. Default false. */
  readonly metaTools?: boolean;
  /** Signs what clients carry between two rounds of a call: all processes of an installation have the same. Default: made at random. */
  readonly secret?: Uint8Array;
  /** Size of a request as sent and as inflated, in bytes. Default 1 048 576. */
  readonly maxBodyBytes?: number;
  /** How many times its size a compressed body may inflate to, above `inflationFreeBytes`. Default 100. */
  readonly maxInflation?: number;
  /** What it may inflate to whatever its size, in bytes. Default 65 536. */
  readonly inflationFreeBytes?: number;
  /** Keys and list elements around a tool's arguments. Default 1000. */
  readonly maxEnvelope?: number;
  /** Keys and list elements of a tool's arguments. Default 100 000. */
  readonly maxElements?: number;
  /** Nesting of arrays and objects in a request. Default 64. */
  readonly maxJsonDepth?: number;
  readonly sessionLimits?: Partial<SessionLimits>;
  /** Default: the system's. */
  readonly clock?: Clock;
}

export type McpAdapter = Adapter & {
  owns(path: string): boolean;
  /** Ends sessions and streams: their clients begin again elsewhere. */
  drain(): void;
};

const path = "/mcp";
/** RFC 9728: which authorization server's tokens are good here; under both addresses that clients look at. */
const metadataPath = "/.well-known/oauth-protected-resource";
/** Where this protocol is: no method of a contract can be there. */
export const mcpPaths = [path, metadataPath, metadataPath + path] as const;
const defaultMaxBodyBytes = 1024 * 1024;
/** What a request without a body has in one. */
const nothing = { body: undefined, arguments: undefined };
const sessionHeader = "mcp-session-id";

export function createMcp(options: McpOptions): McpAdapter {
  const mcp = new Mcp(options);
  return {
    owns: (asked) => (mcpPaths as readonly string[]).includes(asked),
    handle: (exchange) => void mcp.handle(exchange),
    drain: () => mcp.drain(),
  };
}

/** What was made with the library, once it is there. */
interface Loaded {
  readonly parts: ServerParts;
  readonly sessions: Sessions;
  readonly handler: McpHttpHandler;
  handlerOver(bus: ServerEventBus): McpHttpHandler;
}

/** One request, as the library takes it. */
interface Asked {
  readonly request: Request;
  readonly body: unknown;
  readonly authInfo: AuthInfo;
  readonly caller: Caller;
}

/** Of a request, as far as it is known. */
interface Known {
  readonly id: string;
  readonly own: ResponseHeaders;
  readonly began: SharedRequest;
  principal: Principal | undefined;
}

class Mcp {
  readonly #options: McpOptions;
  readonly #streams = new Set<ListenStream>();
  #loaded: Promise<Loaded> | undefined;

  constructor(options: McpOptions) {
    this.#options = options;
  }

  drain(): void {
    for (const stream of this.#streams) stream.close();
    void this.#loaded?.then(({ sessions }) => sessions.closeAll());
  }

  async handle(exchange: Exchange): Promise<void> {
    const id = requestIdFrom(exchange.headers["x-request-id"]);
    const own = secure("application/json; charset=utf-8", id);
    const { clock = systemClock } = this.#options;
    const began = new SharedRequest({ clock, startedAtMs: exchange.startedAtMs });
    const known: Known = { id, own, began, principal: undefined };
    try {
      if (exchange.path !== path) replyJson(exchange, this.#resource(), own);
      else await this.#serve(exchange, known);
    } catch (thrown) {
      const error = toRpcError(thrown);
      if (exchange.started) exchange.reset();
      else this.#refuse(exchange, error, own);
      this.#tellRefused(exchange, known, error);
    } finally {
      began.end();
    }
  }

  #tellRefused(exchange: Exchange, { id, principal }: Known, error: RpcError): void {
    refuseExchange(this.#options.runtime(), exchange, { id, principal, protocol: "mcp", error });
  }

  async #serve(exchange: Exchange, known: Known): Promise<void> {
    const { id, own, began } = known;
    checkOrigin(this.#options, exchange);
    const { door = openDoor } = this.#options;
    const metadata = readMetadata(exchange.headers);
    const entry = new Entry(metadata, exchange.peer);
    await enter(door, entry, own);
    const principal = await principalOf(this.#options, entry);
    known.principal = principal;
    const gone = new AbortController();
    exchange.onAbort(() => gone.abort());
    exchange.onStalled((error) => gone.abort(error));
    const { signal } = gone;
    began.wait();
    const body =
      exchange.method === "POST"
        ? await readPackedBody(exchange, {
            maxBytes: this.#options.maxBodyBytes ?? defaultMaxBodyBytes,
            maxInflation: this.#options.maxInflation ?? defaultMaxInflation,
            inflationFreeBytes: this.#options.inflationFreeBytes,
          })
        : undefined;
    began.resume();
    const timeoutMs = readTimeout(exchange.headers);
    const caller: Caller = {
      ...{ principal, metadata, peer: exchange.peer, id, entry },
      ...{ gone: signal, timeoutMs, told: own, request: began },
    };
    this.#loaded ??= this.#load();
    const loaded = await this.#loaded;
    await door.run("mcp", () => {
      // It left while it waited for its turn.
      if (signal.aborted) throw clientGone();
      return this.#answer(exchange, body, { loaded, caller, known });
    });
  }

  async #answer(
    exchange: Exchange,
    body: Uint8Array | undefined,
    about: { readonly loaded: Loaded; readonly caller: Caller; readonly known: Known },
  ): Promise<void> {
    const { loaded, caller: asking, known } = about;
    const { principal, told: own, gone: signal } = asking;
    const read = body === undefined ? nothing : readBody(body, this.#options);
    const request = toRequest(exchange, { base: this.#options.serverUrl(), body, signal });
    const caller: Caller = { ...asking, arguments: read.arguments };
    // The library hands on what it was given here, and nothing of it to the client.
    const authInfo = {
      ...{ token: "", clientId: principal.name, scopes: [...principal.scopes] },
      extra: { caller },
    };
    const asked: Asked = { request, body: read.body, authInfo, caller };
    const { id: of } = (asked.body ?? {}) as { readonly id?: unknown };
    await this.#respond(loaded, asked, async (response) => {
      const answer = await replyWith(exchange, response, { own, signal, id: of });
      const refused = known.began.called ? undefined : refusalIn(answer);
      if (refused !== undefined) this.#tellRefused(exchange, known, refused);
    });
  }

  /** To a session, to the stream of a listener, or by itself. */
  async #respond(loaded: Loaded, asked: Asked, reply: (response: Response) => Promise<void>): Promise<void> {
    const { request, body, authInfo, caller } = asked;
    const { sessions, handler, parts } = loaded;
    // What is no JSON is the library's to refuse.
    const given = body === undefined ? { authInfo } : { authInfo, parsedBody: body };
    const id = request.headers.get(sessionHeader);
    const isFirst = (body as { readonly method?: unknown } | undefined)?.method === "initialize";
    // The newest revision has no sessions, whatever a request says.
    const isOlder = (id !== null || isFirst) && (await parts.library.isLegacyRequest(request, body));
    if (isOlder && id !== null) {
      const transport = sessions.find(id, caller.principal);
      if (transport === undefined) return await reply(sessionGone());
      return await transport
        .handleRequest(request, given)
        .then(reply)
        .finally(() => sessions.done(id));
    }
    if (isOlder) {
      const { response, transport } = await sessions.begin(
        request,
        { authInfo, parsedBody: body },
        caller.principal,
      );
      return await reply(response).finally(() => sessions.done(transport.sessionId));
    }
    const uris = listenedTo(body);
    if (uris.length === 0) return await reply(await handler.fetch(request, given));
    const stream = await this.#listen(loaded, asked, uris);
    this.#streams.add(stream);
    await reply(stream.response).finally(() => this.#streams.delete(stream));
  }

  async #listen(
    { parts, handlerOver }: Loaded,
    { request, body, authInfo, caller }: Asked,
    uris: readonly string[],
  ): Promise<ListenStream> {
    const { library, clock } = parts;
    const use = { runtime: parts.runtime(), caller, signal: caller.gone, startedAtMs: clock.monotonic() };
    try {
      return await openListen({ library, use, uris, handler: handlerOver }, request, {
        authInfo,
        parsedBody: body,
      });
    } catch (thrown) {
      if (!(thrown instanceof library.ProtocolError)) throw thrown;
      const { code, message, data } = thrown;
      const { id = null } = body as { readonly id?: unknown };
      const answer = { jsonrpc: "2.0", id, error: { code, message, data } };
      return { response: Response.json(answer), close: () => {} };
    }
  }

  #refuse(exchange: Exchange, error: RpcError, own: ResponseHeaders): void {
    const { code, reason, message } = error;
    if (code === "unauthenticated") {
      const invalid = reason === "CREDENTIAL_MISSING" ? "" : ', error="invalid_token"';
      own["www-authenticate"] =
        `Bearer resource_metadata="${this.#options.serverUrl()}${metadataPath}${path}"${invalid}`;
    }
    const wait = retryAfter(error);
    if (wait !== undefined) own["retry-after"] = wait;
    const body = { jsonrpc: "2.0", id: null, error: { code: -32_000, message, data: { reason } } };
    replyJson(exchange, body, own, httpStatusOf(error));
  }

  #resource(): object {
    const url = this.#options.serverUrl();
    const runtime = this.#options.runtime();
    const { tools, resources, prompts } = offersOf(runtime);
    const scopes = [...tools.values(), ...resources, ...prompts.values()].flatMap(
      ({ method }) => runtime.catalog.optionsOf(method).access?.scopes ?? [],
    );
    return {
      resource: url + path,
      authorization_servers: this.#options.authenticator === undefined ? [] : [url],
      bearer_methods_supported: ["header"],
      scopes_supported: [...new Set(scopes)].filter((scope) => scope !== "self").sort(),
      resource_name: "Portico",
    };
  }

  async #load(): Promise<Loaded> {
    const library = await import("@modelcontextprotocol/server");
    const { runtime, version, secret = randomBytes(32), clock = systemClock } = this.#options;
    const rounds = library.createRequestStateCodec({
      key: createHmac("sha256", secret).update("mcp-rounds").digest(),
      bind: (context) => {
        const { tenant, name } = callerOf(context).principal;
        return `${tenant}\0${name}\0${context.mcpReq.method}`;
      },
    });
    const meta = this.#options.metaTools === true ? metaTools : undefined;
    const parts: ServerParts = { library, runtime, version, meta, clock, rounds };
    const handlerOver = (bus?: ServerEventBus): McpHttpHandler =>
      library.createMcpHandler(
        ({ era }) => createServer(parts, era === "modern" ? "modern" : "stateless"),
        bus === undefined ? {} : { bus },
      );
    const sessions = new Sessions(parts, this.#options.sessionLimits);
    return { parts, sessions, handler: handlerOver(), handlerOver };
  }
}

/** The client begins a new one: another process, or too long without a request. */
function sessionGone(): Response {
  const error = { code: -32_001, message: "there is no such session here; begin with initialize" };
  return Response.json({ jsonrpc: "2.0", id: null, error }, { status: 404 });
}

function replyJson(exchange: Exchange, value: object, own: ResponseHeaders, status = 200): void {
  exchange.reply(
    status,
    { ...own, "content-type": "application/json; charset=utf-8" },
    JSON.stringify(value),
  );
}
