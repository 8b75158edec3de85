/**
 * The Model Context Protocol at `/mcp`: methods that their contract makes tools, over streamable HTTP without sessions, in the revisions
 * 2026-07-28 and 2025-11-25 (and what those take of older clients).
 *
 * What is said on the wire is the official library's, loaded with the first request; what a tool is, who may use it and what it
 * answers is the catalogue's and the policies'.
 *
 * @see https://modelcontextprotocol.io/specification/2026-07-28/basic/transports
 */
import type { McpHttpHandler, McpRequestContext, Server as McpServer } from "@modelcontextprotocol/server";
import { checkJsonDepth } from "#gateway/codec/json-depth.ts";
import { describeTool, type Tool } from "#gateway/describe/describe.ts";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import { httpStatusOf } from "#rpc/code.ts";
import { RpcError, toRpcError } from "#rpc/error.ts";
import type { Metadata } from "#rpc/metadata.ts";
import type { Method } from "#rpc/method.ts";
import { allows, localPrincipal, type Principal } from "#rpc/principal.ts";
import { readMetadata } from "../connect/read.ts";
import type { Adapter, Exchange, ResponseHeaders } from "../exchange.ts";
import { secure } from "../rest/security-headers.ts";
import { callTool } from "./call.ts";
import { type MetaTools, metaTools } from "./meta-tools.ts";
import { replyWith, toRequest } from "./web.ts";

export interface McpOptions {
  runtime(): Runtime;
  readonly version: string;
  /** Where Portico is, without a slash at the end. */
  serverUrl(): string;
  /** Pages that may call; others than these, and those of `serverUrl` and of this machine, are refused. */
  readonly origins?: readonly string[];
  /** Absent: nobody asks who calls. */
  readonly authenticator?: {
    principalOf(caller: {
      readonly metadata: Metadata;
      readonly peer: Exchange["peer"];
    }): Principal | Promise<Principal>;
  };
  /** `search_methods` and `call_method`, which reach every method. Default false. */
  readonly metaTools?: boolean;
}

const path = "/mcp";
/** RFC 9728: which authorization server's tokens are good here; under both addresses that clients look at. */
const metadataPath = "/.well-known/oauth-protected-resource";
/** Where this protocol is: no method of a contract can be there. */
export const mcpPaths = [path, metadataPath, metadataPath + path] as const;
const maxBodyBytes = 1024 * 1024;
const pageSize = 100;

interface ToolOf {
  readonly tool: Tool;
  readonly method: Method;
}

export function createMcp(options: McpOptions): Adapter & { owns(path: string): boolean } {
  const mcp = new Mcp(options);
  return {
    owns: (asked) => (mcpPaths as readonly string[]).includes(asked),
    handle: (exchange) => void mcp.handle(exchange),
  };
}

/** What of the HTTP request a tool needs. */
interface Caller {
  readonly exchange: Exchange;
  readonly principal: Principal;
  readonly metadata: Metadata;
}

class Mcp {
  readonly #options: McpOptions;
  readonly #meta: MetaTools | undefined;
  #handler: Promise<McpHttpHandler> | undefined;
  #toolsOf: Runtime | undefined;
  #tools: ReadonlyMap<string, ToolOf> = new Map();

  constructor(options: McpOptions) {
    this.#options = options;
    this.#meta = options.metaTools === true ? metaTools : undefined;
  }

  async handle(exchange: Exchange): Promise<void> {
    const id = requestIdFrom(exchange.headers["x-request-id"]);
    const own = secure("application/json; charset=utf-8", id);
    try {
      if (exchange.path !== path) replyJson(exchange, this.#resource(), own);
      else await this.#serve(exchange, own);
    } catch (thrown) {
      const error = toRpcError(thrown);
      if (exchange.started) exchange.reset();
      else this.#refuse(exchange, error, own);
    }
  }

  async #serve(exchange: Exchange, own: ResponseHeaders): Promise<void> {
    this.#checkOrigin(exchange);
    const metadata = readMetadata(exchange.headers);
    const principal = await this.#principalOf(exchange, metadata);
    const body = exchange.method === "POST" ? await exchange.readBody(maxBodyBytes) : undefined;
    if (body !== undefined) checkJsonDepth(body);
    const request = toRequest(exchange, this.#options.serverUrl(), body);
    // The library hands on what it was given here, and nothing of it to the client.
    const extra = { caller: { exchange, principal, metadata } satisfies Caller };
    const authInfo = { token: "", clientId: principal.name, scopes: [...principal.scopes], extra };
    this.#handler ??= this.#load();
    const handler = await this.#handler;
    await replyWith(exchange, await handler.fetch(request, { authInfo }), own);
  }

  /** A page that found its way here by a name that it controls is a page of a foreign origin (DNS rebinding). */
  #checkOrigin({ headers }: Exchange): void {
    const { origin } = headers;
    if (origin === undefined) return;
    const text = String(origin);
    const host = String(headers.host ?? headers[":authority"] ?? "");
    const local =
      /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(text) && text.endsWith(`//${host}`);
    if (local || this.#options.origins?.includes(text) === true) return;
    if (text === new URL(this.#options.serverUrl()).origin) return;
    throw new RpcError("permission_denied", {
      reason: "CORS_ORIGIN_FOREIGN",
      message: `pages of ${text.slice(0, 200)} may not use these tools; the operator lists those that may`,
    });
  }

  async #principalOf(exchange: Exchange, metadata: Metadata): Promise<Principal> {
    const { authenticator } = this.#options;
    if (authenticator === undefined) return localPrincipal;
    const principal = await authenticator.principalOf({ metadata, peer: exchange.peer });
    if (principal.name !== "") return principal;
    throw new RpcError("unauthenticated", {
      reason: "CREDENTIAL_MISSING",
      message:
        "tools are for callers who show who they are: `Authorization: Bearer <token>` or `X-API-Key: <key>`",
    });
  }

  #refuse(exchange: Exchange, error: RpcError, own: ResponseHeaders): void {
    const { code, reason, message } = error;
    if (code === "unauthenticated") {
      const invalid = reason === "CREDENTIAL_MISSING" ? "" : ', error="invalid_token"';
      own["www-authenticate"] =
        `Bearer resource_metadata="${this.#options.serverUrl()}${metadataPath}${path}"${invalid}`;
    }
    const body = { jsonrpc: "2.0", id: null, error: { code: -32_000, message, data: { reason } } };
    replyJson(exchange, body, own, httpStatusOf(error));
  }

  #resource(): object {
    const url = this.#options.serverUrl();
    const { catalog } = this.#options.runtime();
    const scopes = [...this.#all().values()].flatMap(
      ({ method }) => catalog.optionsOf(method).access?.scopes ?? [],
    );
    return {
      resource: url + path,
      authorization_servers: this.#options.authenticator === undefined ? [] : [url],
      bearer_methods_supported: ["header"],
      scopes_supported: [...new Set(scopes)].filter((scope) => scope !== "self").sort(),
      resource_name: "Portico",
    };
  }

  async #load(): Promise<McpHttpHandler> {
    const { createMcpHandler, Server } = await import("@modelcontextprotocol/server");
    return createMcpHandler((context) => this.#serverFor(context, Server));
  }

  #serverFor(context: McpRequestContext, Server: typeof McpServer): McpServer {
    const server = new Server(
      { name: "portico", title: "Portico", version: this.#options.version },
      { capabilities: { tools: {} } },
    );
    const caller = context.authInfo?.extra?.caller as Caller;
    server.setRequestHandler("tools/list", ({ params }) => this.#list(caller, params?.cursor) as never);
    server.setRequestHandler("tools/call", async ({ params }, { mcpReq }) => {
      const token = mcpReq._meta?.progressToken;
      const progress = async (count: number, message: string): Promise<void> => {
        if (token === undefined) return;
        const about = { progressToken: token, progress: count, message };
        await mcpReq.notify({ method: "notifications/progress", params: about });
      };
      return (await this.#call(caller, { ...params, signal: mcpReq.signal, progress })) as never;
    });
    return server;
  }

  /** Only those that the caller may use: what is refused anyway would waste a model's attention. */
  #list({ principal }: Caller, cursor: string | undefined): object {
    const { catalog } = this.#options.runtime();
    const from = cursor === undefined ? 0 : Number(cursor);
    if (!Number.isSafeInteger(from) || from < 0) throw new TypeError("the cursor is none of this server's");
    const mine = [...this.#all().values()].filter(({ method }) => {
      const rule = catalog.optionsOf(method).access;
      if (rule?.public === true || rule?.scopes.includes("self") === true) return true;
      const wanted = rule === undefined || rule.scopes.length === 0 ? ["*"] : rule.scopes;
      return wanted.some((scope) => allows(principal.scopes, scope));
    });
    const all = [...mine.map(({ tool }) => tool), ...(this.#meta?.tools ?? [])];
    const next = from + pageSize;
    return { tools: all.slice(from, next), ...(next < all.length ? { nextCursor: String(next) } : {}) };
  }

  async #call(
    { exchange, metadata }: Caller,
    use: {
      readonly name: string;
      readonly arguments?: unknown;
      readonly signal: AbortSignal;
      progress(count: number, message: string): Promise<void>;
    },
  ): Promise<object> {
    const runtime = this.#options.runtime();
    const { peer, startedAtMs } = exchange;
    const id = requestIdFrom(exchange.headers["x-request-id"]);
    const { signal, progress } = use;
    const run = (method: Method, given: unknown): Promise<object> =>
      callTool({
        runtime,
        method,
        arguments: given,
        ...{ id, metadata, peer, startedAtMs, signal, progress },
      });
    const found = this.#all().get(use.name);
    if (found !== undefined) return await run(found.method, use.arguments);
    const meta = await this.#meta?.call(use.name, use.arguments, { catalog: runtime.catalog, run });
    if (meta !== undefined) return meta;
    const { ProtocolError, ProtocolErrorCode } = await import("@modelcontextprotocol/server");
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      `there is no tool ${use.name.slice(0, 100)}; tools/list has those that there are`,
    );
  }

  #all(): ReadonlyMap<string, ToolOf> {
    const runtime = this.#options.runtime();
    if (this.#toolsOf === runtime) return this.#tools;
    const tools = new Map<string, ToolOf>();
    for (const method of runtime.catalog.methods.values()) {
      const tool = describeTool(runtime.catalog, method);
      if (tool !== undefined) tools.set(tool.name, { tool, method });
    }
    this.#toolsOf = runtime;
    this.#tools = tools;
    return tools;
  }
}

function replyJson(exchange: Exchange, value: object, own: ResponseHeaders, status = 200): void {
  exchange.reply(
    status,
    { ...own, "content-type": "application/json; charset=utf-8" },
    JSON.stringify(value),
  );
}
