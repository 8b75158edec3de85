/** What the protocol's requests mean here: one server object of the library a request, or a session. */

import type { ServerContext, Server as ServerType } from "@modelcontextprotocol/server";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { toRpcError } from "#rpc/error.ts";
import { Metadata } from "#rpc/metadata.ts";
import type { Method } from "#rpc/method.ts";
import type { Clock } from "#std/clock.ts";
import { callTool } from "./call.ts";
import { checkedServerOf } from "./checked-server.ts";
import { complete, type Reference } from "./completion.ts";
import { invalidParams, type Library, protocolFailure } from "./failures.ts";
import {
  type Capabilities,
  digestOf,
  inputOf,
  questionsIn,
  type RoundState,
  toInputRequests,
} from "./input.ts";
import type { MetaTools } from "./meta-tools.ts";
import { mayUse, offersOf } from "./offers.ts";
import { getPrompt, listPrompts } from "./prompts.ts";
import { listResources, listTemplates, readResource } from "./resources.ts";
import { type Caller, toBytes, type Use } from "./use.ts";

export interface ServerParts {
  readonly library: Library;
  runtime(): Runtime;
  readonly version: string;
  readonly meta: MetaTools | undefined;
  readonly clock: Clock;
  readonly rounds: ReturnType<Library["createRequestStateCodec"]>;
}

/** Of the newest revision; of an older client with a session; of an older client's single request. */
export type Era = "modern" | "session" | "stateless";

/** What is used, for which a person may be asked something first. */
interface Asked {
  readonly name: string;
  readonly uri?: string;
  /** What came with it, made of JSON when somebody wants it. */
  arguments(): unknown;
}

interface AskedTool extends Asked {
  /** The same as it was written. */
  request(): Uint8Array;
}

const toolsOnPage = 100;

/** What an HTTP client could have sent as a header: metadata is that for everybody who reads it. */
const headerText = /^[\x20-\x7e]{0,8192}$/;

/** An agent's trace comes with the use, where its HTTP client knows of none: what is there wins over the headers. */
function tracedCallerOf(context: ServerContext): Caller {
  const caller = callerOf(context);
  const meta = context.mcpReq._meta as Readonly<Record<string, unknown>> | undefined;
  const given = ["traceparent", "tracestate", "baggage"].flatMap((name) => {
    const value = meta?.[name];
    return typeof value === "string" && headerText.test(value) ? [[name, value] as const] : [];
  });
  if (given.length === 0) return caller;
  const metadata = new Metadata(() => caller.metadata.entries());
  for (const [name, value] of given) metadata.set(name, value);
  return { ...caller, metadata };
}

/** @throws TypeError where the adapter did not say who calls: a mistake of the program. */
export function callerOf({ http }: Pick<ServerContext, "http">): Caller {
  const caller = http?.authInfo?.extra?.caller;
  if (caller === undefined) throw new TypeError("the request came without its caller");
  return caller as Caller;
}

function toolOf(
  context: ServerContext,
  { name, arguments: given }: { readonly name: string; readonly arguments?: unknown },
): AskedTool {
  const written = callerOf(context).arguments;
  if (written === undefined) return { name, arguments: () => given, request: () => toBytes(given) };
  return {
    name,
    arguments: () => JSON.parse(written) as unknown,
    request: () => Buffer.from(written, "utf8"),
  };
}

export function createServer(parts: ServerParts, era: Era): ServerType {
  const { library, rounds } = parts;
  // A single request of an older client has nowhere to hear from us again.
  const notices = era !== "stateless";
  const { resources, prompts } = offersOf(parts.runtime());
  const watched = resources.some(({ options }) => options.watch !== undefined);
  const Server = checkedServerOf(library);
  const server = new Server(
    { name: "portico", title: "Portico", version: parts.version },
    {
      capabilities: {
        tools: {},
        ...(resources.length === 0 ? {} : { resources: notices && watched ? { subscribe: true } : {} }),
        ...(prompts.size === 0 ? {} : { prompts: {} }),
        ...(resources.length + prompts.size === 0 ? {} : { completions: {} }),
        ...(notices ? { logging: {} } : {}),
      },
      requestState: { verify: rounds.verify },
    },
  );
  const handlers = new Handlers(parts, server, era);
  if (era === "session") handlers.logs();
  handlers.tools();
  if (resources.length > 0) handlers.resources();
  if (prompts.size > 0) handlers.prompts();
  if (resources.length + prompts.size > 0) handlers.completions();
  return server;
}

class Handlers {
  readonly #parts: ServerParts;
  readonly #server: ServerType;
  /** Of a session: what its client asked for. Undefined: it says so with each request, or did not ask. */
  #level: string | undefined;
  readonly #era: Era;

  constructor(parts: ServerParts, server: ServerType, era: Era) {
    this.#era = era;
    this.#parts = parts;
    this.#server = server;
  }

  logs(): void {
    this.#server.setRequestHandler("logging/setLevel", ({ params }) => {
      this.#level = params.level;
      return {};
    });
  }

  tools(): void {
    this.#server.setRequestHandler("tools/list", ({ params }, context) =>
      this.#answer(() => this.#listTools(callerOf(context), params?.cursor)),
    );
    this.#server.setRequestHandler("tools/call", ({ params }, context) =>
      this.#asking(context, toolOf(context, params), (options, tool) =>
        this.#callTool(options, tool, context),
      ),
    );
  }

  resources(): void {
    this.#server.setRequestHandler("resources/list", ({ params }, context) =>
      this.#answer(() => listResources(this.#use(context), params?.cursor)),
    );
    this.#server.setRequestHandler("resources/templates/list", (_, context) =>
      this.#answer(() => listTemplates(this.#use(context))),
    );
    this.#server.setRequestHandler("resources/read", ({ params: { uri } }, context) =>
      this.#asking(context, { name: uri, uri, arguments: () => undefined }, (options) =>
        readResource(options, uri),
      ),
    );
  }

  prompts(): void {
    this.#server.setRequestHandler("prompts/list", (_, context) =>
      this.#answer(() => listPrompts(this.#use(context))),
    );
    this.#server.setRequestHandler("prompts/get", ({ params }, context) =>
      this.#asking(context, { name: params.name, arguments: () => params.arguments }, (options) =>
        getPrompt(options, params.name, params.arguments),
      ),
    );
  }

  completions(): void {
    this.#server.setRequestHandler("completion/complete", ({ params }, context) =>
      this.#answer(() => complete(this.#use(context), params.ref as Reference, params.argument)),
    );
  }

  #use(context: ServerContext, input?: Use["input"]): Use {
    const { runtime, clock } = this.#parts;
    // A round began when it was answered, however long the person took.
    return {
      ...{ runtime: runtime(), caller: tracedCallerOf(context), signal: context.mcpReq.signal, input },
      startedAtMs: clock.monotonic(),
    };
  }

  /** The library's types are those of the wire's schemas, which it checks; ours are of what we make. */
  async #answer(make: () => object | Promise<object>, uri?: string): Promise<never> {
    try {
      return (await make()) as never;
    } catch (thrown) {
      throw protocolFailure(this.#parts.library, thrown, uri);
    }
  }

  /** Runs it; where it asks for something first, that is the answer. */
  #asking<T extends Asked>(
    context: ServerContext,
    of: T,
    run: (options: Use, of: T) => Promise<object>,
  ): Promise<never> {
    return this.#answer(async () => {
      const { rounds, library } = this.#parts;
      const before = context.mcpReq.requestState<RoundState>();
      if (before !== undefined && before.of !== digestOf(of.name, of.arguments()))
        throw invalidParams(library, "the requestState is that of another request");
      const capabilities = this.#server.getClientCapabilities() as Capabilities | undefined;
      try {
        return await run(this.#use(context, inputOf(capabilities, context, before)), of);
      } catch (thrown) {
        const questions = questionsIn(toRpcError(thrown));
        if (questions === undefined) throw thrown;
        const state: RoundState = {
          of: digestOf(of.name, of.arguments()),
          state: questions.state,
        };
        return {
          resultType: "input_required",
          inputRequests: toInputRequests(questions),
          requestState: await rounds.mint(state, context),
        };
      }
    }, of.uri);
  }

  #listTools({ principal }: Caller, cursor: string | undefined): object {
    const runtime = this.#parts.runtime();
    const from = cursor === undefined ? 0 : Number(cursor);
    if (!Number.isSafeInteger(from) || from < 0)
      throw invalidParams(this.#parts.library, "the cursor is none of this server's");
    const mine = [...offersOf(runtime).tools.values()].filter(({ method }) =>
      mayUse(runtime, method, principal),
    );
    const all = [...mine.map(({ tool }) => tool), ...(this.#parts.meta?.tools ?? [])];
    const next = from + toolsOnPage;
    return { tools: all.slice(from, next), ...(next < all.length ? { nextCursor: String(next) } : {}) };
  }

  async #callTool(options: Use, tool: AskedTool, context: ServerContext): Promise<object> {
    const { name } = tool;
    const progress = this.#tellerOf(name, context);
    const run = (method: Method, asked: Uint8Array): Promise<object> =>
      callTool({ ...options, method, request: asked, progress });
    const found = offersOf(options.runtime).tools.get(name);
    if (found !== undefined) return await run(found.method, tool.request());
    const { catalog } = options.runtime;
    const meta = await this.#parts.meta?.call(name, tool.request(), { catalog, run });
    if (meta !== undefined) return meta;
    throw invalidParams(
      this.#parts.library,
      `there is no tool ${name.slice(0, 100)}; tools/list has those that there are`,
    );
  }

  /** Tells of a stream's messages: as progress where that was asked for, else as logs where those were. */
  #tellerOf(logger: string, { mcpReq }: ServerContext): (count: number, message: string) => Promise<void> {
    const progressToken = mcpReq._meta?.progressToken;
    return async (progress, data) => {
      if (progressToken !== undefined) {
        const params = { progressToken, progress, message: data };
        await mcpReq.notify({ method: "notifications/progress", params });
      } else if (this.#era !== "session") await mcpReq.log("info", data, logger);
      else if (this.#level === "info" || this.#level === "debug")
        await mcpReq.notify({ method: "notifications/message", params: { level: "info", logger, data } });
    };
  }
}
