/**
 * What spans are called and what they say: OpenTelemetry's semantic conventions for RPC, or for HTTP where the call came to a route, and for
 * GraphQL's operations. Nothing that a caller chooses the content of, apart from the path: queries and metadata carry credentials.
 *
 * @see https://opentelemetry.io/docs/specs/semconv/rpc/
 * @see https://opentelemetry.io/docs/specs/semconv/http/http-spans/
 * @see https://opentelemetry.io/docs/specs/semconv/graphql/graphql-spans/
 */
import type { Attributes } from "@opentelemetry/api";
import type { Call } from "#rpc/call.ts";
import { codes, type ErrorCode, httpStatusOf } from "#rpc/code.ts";
import { withoutCredentials } from "#rpc/credentials-in-text.ts";
import type { RpcError } from "#rpc/error.ts";
import type { Peer, Protocol } from "#rpc/peer.ts";
import type { Refusal } from "#rpc/refusal.ts";

/** Of the server, as its operator says where it is. */
export interface ServerPlace {
  readonly encrypted: boolean;
  /** Without a slash at the end. */
  serverUrl(): string;
}

/** How something ended, for its span. */
export interface End {
  readonly attributes: Attributes;
  /** Whether it is the server's failure; a caller's mistake leaves a server's span as it is. */
  readonly failed: boolean;
}

/** Codes that are the server's failure. */
const serverErrors: ReadonlySet<ErrorCode> = new Set([
  ...(["unknown", "deadline_exceeded", "unimplemented", "internal", "unavailable", "data_loss"] as const),
]);

const systems: Readonly<Record<Exclude<Protocol, "rest">, string>> = {
  grpc: "grpc",
  "grpc-web": "grpc",
  connect: "connectrpc",
  websocket: "portico.websocket",
  graphql: "graphql",
  mcp: "jsonrpc",
};

const httpMethods: ReadonlySet<string | undefined> = new Set([
  ...["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"],
]);

export function nameOfCall({ protocol, route, method, httpMethod }: Call): string {
  if (protocol !== "rest" || route === undefined) return method.name;
  return `${httpMethods.has(httpMethod) ? httpMethod : "HTTP"} ${route.template}`;
}

export function attributesOfCall(call: Call, place: ServerPlace): Attributes {
  const { protocol, route, method } = call;
  const common = commonOf(call, place);
  if (protocol !== "rest")
    return { ...common, "rpc.method": method.name, "rpc.system.name": systems[protocol] };
  return {
    ...common,
    ...httpOf(call, place),
    "rpc.method": method.name,
    ...(route === undefined ? {} : { "http.route": route.template }),
  };
}

export function nameOfRefusal({ protocol, method, httpMethod }: Refusal): string {
  if (protocol !== "rest") return method?.name ?? systems[protocol];
  return httpMethods.has(httpMethod) ? String(httpMethod) : "HTTP";
}

export function attributesOfRefusal(refusal: Refusal, place: ServerPlace): Attributes {
  const { protocol, method } = refusal;
  const common = commonOf(refusal, place);
  if (protocol === "rest") return { ...common, ...httpOf(refusal, place) };
  return { ...common, "rpc.method": method?.name ?? "_OTHER", "rpc.system.name": systems[protocol] };
}

/** Of a request that is several calls. */
export function attributesOfRequest(head: Came, place: ServerPlace): Attributes {
  return commonOf(head, place);
}

/** @param httpStatus what the client was answered over HTTP; 0: nothing. Absent: the code's. */
export function endOf(
  protocol: Protocol,
  error: RpcError | undefined,
  httpStatus = error === undefined ? 200 : httpStatusOf(error),
): End {
  const reason = error === undefined || error.reason === "" ? {} : { "portico.reason": error.reason };
  if (protocol === "rest") {
    const failed = httpStatus >= 500 || (httpStatus === 0 && error !== undefined && isServers(error));
    const type = httpStatus >= 500 ? String(httpStatus) : error?.reason;
    return {
      attributes: {
        ...(httpStatus === 0 ? {} : { "http.response.status_code": httpStatus }),
        ...reason,
        ...(failed ? { "error.type": type } : {}),
      },
      failed,
    };
  }
  const code = error?.code ?? "ok";
  // Connect has codes for errors alone, and its own spelling of them.
  const status = protocol === "connect" ? (error === undefined ? undefined : code) : codes[code].label;
  const failed = error !== undefined && isServers(error);
  return {
    attributes: {
      ...(status === undefined ? {} : { "rpc.status_code": status }),
      ...reason,
      ...(failed ? { "error.type": status } : {}),
    },
    failed,
  };
}

function isServers({ code }: RpcError): boolean {
  return serverErrors.has(code);
}

interface Came {
  readonly id: string;
  readonly protocol: Protocol;
  readonly peer: Peer;
}

function commonOf({ peer, protocol, id }: Came, place: ServerPlace): Attributes {
  return {
    ...serverOf(protocol, place),
    "client.address": peer.address,
    "network.peer.address": peer.address,
    "network.peer.port": peer.port,
    "portico.protocol": protocol,
    "portico.request_id": id,
  };
}

/** By the operator's word, not by what a caller puts into Host. gRPC has a port of its own besides: which it was is not known here. */
function serverOf(protocol: Protocol, { serverUrl }: ServerPlace): Attributes {
  const { hostname, port, protocol: scheme } = new URL(serverUrl());
  const number = Number(port === "" ? (scheme === "https:" ? 443 : 80) : port);
  return { "server.address": hostname, ...(protocol === "grpc" ? {} : { "server.port": number }) };
}

function httpOf(
  { httpMethod, path }: { readonly httpMethod?: string | undefined; readonly path?: string | undefined },
  { encrypted }: ServerPlace,
): Attributes {
  return {
    "http.request.method": httpMethods.has(httpMethod) ? httpMethod : "_OTHER",
    "url.path": withoutCredentials(path ?? ""),
    "url.scheme": encrypted ? "https" : "http",
  };
}
