/**
 * What is not the API: the API reference, its OpenAPI document, health and metrics, under exact paths.
 *
 * Pages come whole from this process and ask nothing of any other: no script, no font and no style from elsewhere. Metrics have
 * readers of their own (`metrics-page.ts`).
 */
import { createHash } from "node:crypto";
import type { DescMessage } from "@bufbuild/protobuf";
import {
  describeAsyncApi,
  describeMessage,
  describeOpenApi,
  messagesOf,
} from "#gateway/describe/describe.ts";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import { type RpcError, toRpcError } from "#rpc/error.ts";
import type { Reasons } from "#rpc/reasons.ts";
import { refuseExchange } from "../close.ts";
import type { Adapter, Exchange, ResponseHeaders } from "../exchange.ts";
import { retryAfterSeconds } from "../rest/error-body.ts";
import { secure } from "../rest/security-headers.ts";
import { docsPage } from "./docs-page.ts";
import { errorsPage } from "./errors-page.ts";
import { contentSecurityPolicy } from "./html.ts";
import { type MetricsReaders, refuseReader } from "./metrics-page.ts";
import { refusalOf } from "./refusal-of.ts";

/** Where the pages are: no method of a contract can be there. */
export const pagePaths = [
  "/",
  "/docs",
  "/docs/errors",
  "/openapi.json",
  "/asyncapi.json",
  "/schemas",
  "/livez",
  "/readyz",
  "/health",
  "/metrics",
  "/.well-known/jwks.json",
] as const;

/** For who runs the server: CORS opens them to nobody. */
const operatorPages: ReadonlySet<string> = new Set(["/livez", "/readyz", "/health", "/metrics"]);

export function isForOperators(path: string): boolean {
  return operatorPages.has(path);
}

export interface PagesOptions extends MetricsReaders {
  runtime(): Runtime;
  /** False while starting and draining. */
  ready(): boolean;
  renderMetrics(): string | Promise<string>;
  /** RFC 7517: the keys that verify access tokens. */
  publicKeys(): Promise<object>;
  /** Every area's: what `/docs/errors` explains. */
  readonly reasons: readonly Reasons[];
  /** Whether there is a page to try methods on. Default true. */
  readonly docs?: boolean;
  readonly version: string;
}

type MakePage = (exchange: Exchange) => Page | Promise<Page>;

export type Pages = Adapter & { owns(path: string): boolean };

interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string | Uint8Array;
  /** May be kept by a client and asked for again by this; absent: not. */
  readonly etag?: string;
  /** Why there is none, for those who watch; absent: there is one, or who asks is told to come again. */
  readonly refusal?: RpcError | undefined;
}

export function createPages(options: PagesOptions): Pages {
  const { version, authentication } = options;
  const about = () => ({ serverUrl: options.serverUrl(), version, authentication });
  const whole = oncePerRuntime(options, ({ catalog }) => describeOpenApi(catalog, about()));
  const asyncApi = oncePerRuntime(options, ({ catalog }) => json(describeAsyncApi(catalog, about())));
  const messages = oncePerRuntime(options, ({ catalog }) => messagesOf(catalog));
  // Made once: a page of half a megabyte takes milliseconds, and anybody may ask for it as often as it likes.
  const noDocs = (): Page => text(404, "the documentation is not served here; /openapi.json is");
  const docsOf = oncePerRuntime(options, (): Page => lasting(htmlPage(docsPage(whole(), options.version))));
  const docs = options.docs === false ? noDocs : docsOf;
  const errors = oncePerRuntime(options, (): Page => lasting(htmlPage(errorsPage(options.reasons))));
  const openApis = oncePerRuntime(options, ({ catalog }) => {
    const made = new Map<string, Page>();
    return (service: string): Page => {
      const known = made.get(service);
      if (known !== undefined) return known;
      const page = json(service === "" ? whole() : describeOpenApi(catalog, { ...about(), service }));
      // As many as there are services.
      made.set(service, page);
      return page;
    };
  });
  const ready = (): Page => (options.ready() ? text(200, "ready") : text(503, "draining"));
  const keys = async (): Promise<Page> => json(await options.publicKeys(), "application/jwk-set+json");
  const pages: Readonly<Record<(typeof pagePaths)[number], MakePage>> = {
    "/": docs,
    "/docs": docs,
    "/docs/errors": errors,
    "/openapi.json": (exchange) => openApi(exchange, options, openApis()),
    "/asyncapi.json": asyncApi,
    "/schemas": () => schemaList(messages()),
    "/livez": () => text(200, "alive"),
    "/readyz": ready,
    "/health": ready,
    "/metrics": (exchange) => metrics(exchange, options),
    "/.well-known/jwks.json": keys,
  };
  const byPath = new Map(Object.entries(pages));
  return {
    // A contract may have paths below it as well.
    owns: (path) =>
      byPath.has(path) || (path.startsWith(schemaPrefix) && messages().has(path.slice(schemaPrefix.length))),
    handle: (exchange) => {
      const id = requestIdFrom(exchange.headers["x-request-id"]);
      if (exchange.method !== "GET" && exchange.method !== "HEAD") {
        exchange.reply(
          405,
          { ...pageHeaders("text/plain; charset=utf-8", id), allow: "GET, HEAD" },
          "use GET\n",
        );
        tell(exchange, refusalOf(405, "METHOD_NOT_BOUND"), { id, options });
        return;
      }
      const make = byPath.get(exchange.path) ?? (() => schema(exchange.path, options, messages()));
      const page = makePage(make, exchange);
      const answer = (made: Page): void => {
        send(exchange, made, id);
        tell(exchange, made.refusal, { id, options });
      };
      if (page instanceof Promise) void page.then(answer);
      else answer(page);
    },
  };
}

function tell(
  exchange: Exchange,
  error: RpcError | undefined,
  { id, options }: { readonly id: string; readonly options: PagesOptions },
): void {
  if (error !== undefined) refuseExchange(options.runtime(), exchange, { id, protocol: "rest", error });
}

/** A page that cannot be made is an answer like any other: what went wrong inside is not for its reader. */
function makePage(make: MakePage, exchange: Exchange): Page | Promise<Page> {
  const broken = (thrown: unknown): Page => ({
    ...text(500, "internal error: the page could not be made"),
    refusal: toRpcError(thrown),
  });
  try {
    const page = make(exchange);
    return page instanceof Promise ? page.catch(broken) : page;
  } catch (thrown) {
    return broken(thrown);
  }
}

function send(exchange: Exchange, page: Page, id: string): void {
  const headers = pageHeaders(page.type, id);
  if (page.status === 503) headers["retry-after"] = retryAfterSeconds;
  if (page.etag !== undefined) {
    headers.etag = page.etag;
    headers["cache-control"] = "no-cache";
    if (exchange.headers["if-none-match"] === headers.etag) {
      exchange.reply(304, headers, undefined);
      return;
    }
  }
  exchange.reply(page.status, headers, page.body);
}

/** Pages have scripts and styles of their own; nothing else has any. */
function pageHeaders(type: string, id: string): ResponseHeaders {
  const headers = secure(type, id);
  if (type.startsWith("text/html")) headers["content-security-policy"] = contentSecurityPolicy;
  return headers;
}

/** @param reason of what is not given. */
function text(status: number, body: string, reason = "PAGE_REFUSED"): Page {
  // That the process is not ready is for who asks whether it is.
  const refusal = status === 503 ? undefined : refusalOf(status, reason);
  return { status, type: "text/plain; charset=utf-8", body: `${body}\n`, refusal };
}

function htmlPage(body: string): Page {
  return { status: 200, type: "text/html; charset=utf-8", body };
}

function openApi(exchange: Exchange, options: PagesOptions, pageOf: (service: string) => Page): Page {
  const service = new URLSearchParams(exchange.query).get("service");
  const { catalog } = options.runtime();
  if (service !== null && !catalog.services.some((known) => known.typeName === service)) {
    return text(404, `there is no service "${service.slice(0, 200)}"; without ?service= all are described`);
  }
  return pageOf(service ?? "");
}

function json(document: object, type = "application/json; charset=utf-8"): Page {
  return lasting({ status: 200, type, body: JSON.stringify(document) });
}

/** As bytes with a name, so that nothing is encoded or hashed when it is asked for. */
function lasting({ status, type, body }: Page): Page {
  return { status, type, body: Buffer.from(body), etag: etagOf(body) };
}

function etagOf(body: string | Uint8Array): string {
  return `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
}

const schemaPrefix = "/schemas/";

type Messages = ReadonlyMap<string, DescMessage>;

function schemaList(messages: Messages): Page {
  return json({ schemas: [...messages.keys()].map((name) => ({ name, url: schemaPrefix + name })) });
}

function schema(path: string, options: PagesOptions, messages: Messages): Page {
  const desc = messages.get(path.slice(schemaPrefix.length));
  if (desc === undefined) return text(404, "not found");
  const id = options.serverUrl() + path;
  return json(describeMessage(options.runtime().catalog, desc, id), "application/schema+json");
}

/** Documents of the catalogue are made when they are first asked for, and again for the next catalogue. */
function oncePerRuntime<T>(options: PagesOptions, make: (runtime: Runtime) => T): () => T {
  let of: Runtime | undefined;
  let made: T;
  return () => {
    const runtime = options.runtime();
    if (of !== runtime) {
      made = make(runtime);
      of = runtime;
    }
    return made;
  };
}

async function metrics(exchange: Exchange, options: PagesOptions): Promise<Page> {
  const refused = await refuseReader(exchange, options);
  if (refused !== undefined) return text(403, refused, "METRICS_CLOSED");
  return {
    status: 200,
    type: "text/plain; version=0.0.4; charset=utf-8",
    body: await options.renderMetrics(),
  };
}
