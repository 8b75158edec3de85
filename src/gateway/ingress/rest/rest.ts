/**
 * REST/JSON from `google.api.http` annotations, and `POST /package.Service/Method` for every method.
 *
 * The story of a request: match the route, read the call, dispatch, reply. Strict about what it takes (unknown parameters and
 * fields are errors that name the nearest known one) and uniform in what it says: every failure is a `google.rpc.Status`, or
 * `application/problem+json` where the client asks for it. A stream is one JSON text a line, server-sent events or one array, as the client
 * asks; a client's stream is lines or an array, or a file where a method is an upload.
 */

import type { HttpRoute } from "#gateway/catalog/catalog.ts";
import { fieldError } from "#gateway/codec/field-error.ts";
import type { Runtime } from "#gateway/dispatch/dispatch.ts";
import { requestIdFrom } from "#gateway/wire/request-id.ts";
import { type AdapterCall, type Call, clientGone } from "#rpc/call.ts";
import { RpcError, toRpcError } from "#rpc/error.ts";
import { hasUnaryReply } from "#rpc/method.ts";
import type { Reply } from "#rpc/reply.ts";
import type { Clock } from "#std/clock.ts";
import { closeCall, refuseExchange } from "../close.ts";
import type { Adapter, Exchange } from "../exchange.ts";
import { httpBody, negotiate, type StreamType } from "./accept.ts";
import { preconditionOf } from "./etag.ts";
import { matchPath, onOwnPlane } from "./plane-prefix.ts";
import { readPretty } from "./pretty.ts";
import { defaultRestLimits, type RestLimits, readCall } from "./read.ts";
import {
  createTiming,
  replyError,
  replyMessage,
  replyNothingMore,
  replyOptions,
  type Timing,
} from "./reply.ts";
import { endedId, replyStream } from "./stream-reply.ts";

export type { RestLimits } from "./read.ts";

export interface RestOptions {
  /** The runtime of the moment; a call keeps the one it began with. */
  runtime(): Runtime;
  readonly limits?: Partial<RestLimits>;
  /** Where Portico is, without a slash at the end: `Location` and `Link` begin with it. */
  serverUrl(): string;
  /** What answers say in `Server-Timing` is measured with; absent: they do not say it. */
  readonly timingClock?: Clock | undefined;
}

export function createRest(options: RestOptions): Adapter {
  const limits: RestLimits = { ...defaultRestLimits, ...options.limits };
  const timing = options.timingClock && createTiming(options.timingClock);
  return {
    handle: (exchange) => {
      const context: Context = {
        runtime: options.runtime(),
        id: requestIdFrom(exchange.headers["x-request-id"]),
        limits,
        serverUrl: options.serverUrl,
        timing,
        call: undefined,
        pretty: false,
      };
      try {
        const answered = serve(exchange, context);
        if (answered === undefined) close(exchange, context);
        else
          answered.then(
            () => close(exchange, context),
            (thrown: unknown) => refuse(exchange, thrown, context),
          );
      } catch (thrown) {
        refuse(exchange, thrown, context);
      }
    },
  };
}

interface Context {
  readonly runtime: Runtime;
  readonly id: string;
  readonly limits: RestLimits;
  serverUrl(): string;
  readonly timing: Timing | undefined;
  /** Whether the answer is to be laid out for people. */
  pretty: boolean;
  /** Once it was read. */
  call: Call | undefined;
}

/** A promise only where something must be waited for: a read of what is at hand is answered in the turn it came in. */
function serve(exchange: Exchange, context: Context): Promise<void> | void {
  const matched = route(exchange, context.runtime);
  if (matched === undefined) return replyOptions(exchange, context.runtime, context.id);
  const { target, variables } = matched;
  const query = exchange.query.includes("prettyPrint")
    ? withoutPretty(exchange, target, context)
    : exchange.query;
  const type = negotiate(exchange, target);
  if (type === "text/event-stream" && exchange.headers["last-event-id"] === endedId)
    return replyNothingMore(exchange, context.id);
  const call = readCall(exchange, target, { variables, query, id: context.id, limits: context.limits });
  return call instanceof Promise
    ? call.then((read) => run(exchange, target, { context, call: read, type }))
    : run(exchange, target, { context, call, type });
}

/** The query that is left. @throws RpcError FIELD_INVALID where there is nothing to lay out. */
function withoutPretty(exchange: Exchange, { method }: HttpRoute, context: Context): string {
  const { pretty, query } = readPretty(exchange.query);
  if (pretty && (!hasUnaryReply(method.kind) || method.output.desc.typeName === httpBody))
    throw fieldError(
      "FIELD_INVALID",
      "$prettyPrint",
      "this method answers with a stream or a file, not with one JSON text",
    );
  context.pretty = pretty;
  return query;
}

function run(
  exchange: Exchange,
  target: HttpRoute,
  step: { readonly context: Context; readonly call: AdapterCall<Call>; readonly type: StreamType },
): Promise<void> | void {
  const { context, call, type } = step;
  context.call = call;
  const reply = context.runtime.dispatch(call);
  if (!(reply instanceof Promise) && reply.kind === "unary")
    return write(exchange, target, { reply, call, context, type });
  exchange.onAbort(() => call.cancel(clientGone()));
  return reply instanceof Promise
    ? reply.then((made) => write(exchange, target, { reply: made, call, context, type }))
    : write(exchange, target, { reply, call, context, type });
}

function close(exchange: Exchange, { call }: Context): void {
  if (call !== undefined) closeCall(call, exchange);
}

function refuse(exchange: Exchange, thrown: unknown, context: Context): void {
  const { runtime, id, call, timing, pretty } = context;
  const error = preconditionOf(exchange, credentialHint(exchange, toRpcError(thrown)));
  // Only a failure while an answer was being written finds it started.
  if (exchange.started) exchange.reset();
  else replyError(exchange, error, { id, call, pretty, timing });
  if (call === undefined) refuseExchange(runtime, exchange, { id, protocol: "rest", error });
  else closeCall(call, exchange, error);
}

/** Who sent a credential in the query is told so, instead of that none came. */
function credentialHint(exchange: Exchange, error: RpcError): RpcError {
  if (error.code !== "unauthenticated" || exchange.headers.authorization !== undefined) return error;
  if (!/(?:^|&)(?:x-)?(?:api[_-]?key|access_token)=/i.test(exchange.query)) return error;
  return new RpcError("invalid_argument", {
    reason: "CREDENTIAL_IN_URL",
    message:
      "credentials are not taken from the URL, which logs keep: send `X-API-Key` or `Authorization: Bearer`, and replace this one",
  });
}

interface Found {
  readonly target: HttpRoute;
  readonly variables: readonly string[];
}

/** Undefined: an OPTIONS request for a path that exists. */
function route(exchange: Exchange, runtime: Runtime): Found | undefined {
  const { match, plane } = matchPath(runtime.catalog, exchange.method, exchange.path);
  switch (match.kind) {
    case "found":
      if (plane !== undefined && !onOwnPlane(runtime.catalog, match.target, plane))
        throw noRoute(exchange.path);
      return match;
    case "method_not_allowed":
      if (exchange.method === "OPTIONS") return undefined;
      throw new RpcError("unimplemented", {
        reason: "METHOD_NOT_BOUND",
        message: `${exchange.method.slice(0, 20)} is not possible here; use ${match.allow.join(", ")}${connectHint(exchange, runtime)}`,
        metadata: { allow: match.allow.join(", ") },
      });
    case "bad_path":
      throw new RpcError("invalid_argument", { reason: "PATH_INVALID", message: match.message });
    case "not_found":
      throw noRoute(exchange.path);
  }
}

/** Who forgets the one parameter that makes a GET of a method's own path one of Connect. */
function connectHint({ method, path }: Exchange, { catalog }: Runtime): string {
  const called = method === "GET" ? catalog.methods.get(path) : undefined;
  return called?.sideEffectFree === true && called.kind === "unary"
    ? ", or GET as Connect has it: ?connect=v1&encoding=json&message={…}"
    : "";
}

function noRoute(path: string): RpcError {
  if (path === "/ws")
    return new RpcError("not_found", {
      reason: "ROUTE_NOT_FOUND",
      message:
        "/ws is a WebSocket: open it with one (Connection: Upgrade, Upgrade: websocket), not with a request",
    });
  return new RpcError("not_found", {
    reason: "ROUTE_NOT_FOUND",
    message: `there is nothing at ${path.slice(0, 200)}; ${path.startsWith("/schemas/") ? "/schemas" : "/openapi.json"} lists what is here`,
  });
}

interface Answer {
  readonly reply: Reply;
  readonly call: Call;
  readonly context: Context;
  readonly type: StreamType;
}

function write(exchange: Exchange, target: HttpRoute, answer: Answer): Promise<void> | void {
  const { reply, call, type } = answer;
  const { id, limits, pretty, serverUrl, timing } = answer.context;
  if (reply.kind === "unary")
    return replyMessage(exchange, target, {
      ...{ payload: reply.response, call, id },
      ...{ pretty, serverUrl, timing },
    });
  return replyStream(exchange, target, {
    responses: reply.responses,
    ...{ call, id, type },
    heartbeatMs: limits.heartbeatMs,
    maxEventBytes: limits.maxEventBytes,
  });
}
