/**
 * What one call with one credential is told, over each protocol: the columns of the table of who may call what. Everything goes over
 * TLS, so that a certificate is a credential like the others.
 */
import https from "node:https";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import {
  buildClientSchema,
  type GraphQLArgument,
  type GraphQLField,
  type GraphQLInputField,
  type GraphQLInputType,
  type GraphQLSchema,
  getIntrospectionQuery,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isNonNullType,
  isRequiredArgument,
  isRequiredInputField,
} from "graphql";
import { WebSocket } from "ws";
import { hasUnaryReply, hasUnaryRequest, type Method } from "#rpc/method.ts";
import type { Pem } from "./certificates.ts";
import { frame } from "./grpc-driver.ts";

/** "unauthenticated" is 401 and 16, "forbidden" 403 and 7, and "allowed" is neither. */
export type Verdict = "unauthenticated" | "forbidden" | "allowed";

export interface Shown {
  readonly headers: Readonly<Record<string, string>>;
  readonly certificate?: Pem;
}

/** Ways to call one server with one credential. */
export interface Caller {
  /** With the smallest request there is: an empty message, or none where messages are streamed. */
  call(method: Method): Promise<Verdict>;
  close(): void;
}

export interface Target {
  readonly base: string;
  readonly grpcPort: number;
  /** Whose certificate the server has. */
  readonly ca: string;
}

export type Protocol = "REST" | "Connect" | "gRPC" | "gRPC-Web" | "WebSocket" | "MCP" | "GraphQL";

export const protocols: Readonly<Record<Protocol, (target: Target, shown: Shown) => Caller>> = {
  REST: restCaller,
  Connect: connectCaller,
  gRPC: grpcCaller,
  "gRPC-Web": grpcWebCaller,
  WebSocket: webSocketCaller,
  MCP: mcpCaller,
  GraphQL: graphqlCaller,
};

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** Status and code say the same, or it is a mistake worth the end of the test. */
function judge(status: number, code: number | string | undefined): Verdict {
  const byStatus = status === 401 ? "unauthenticated" : status === 403 ? "forbidden" : "allowed";
  const byCode = code === 16 || code === "unauthenticated" ? "unauthenticated" : undefined;
  const found = byCode ?? (code === 7 || code === "permission_denied" ? "forbidden" : "allowed");
  if (status !== 200 && byStatus !== found) throw new Error(`HTTP ${status} beside code ${code}`);
  return found;
}

class Poster {
  readonly #target: Target;
  readonly #shown: Shown;
  readonly #agent: https.Agent;

  constructor(target: Target, shown: Shown) {
    this.#target = target;
    this.#shown = shown;
    const { cert, key } = shown.certificate ?? {};
    this.#agent = new https.Agent({ keepAlive: true, ca: target.ca, ...(cert && key ? { cert, key } : {}) });
  }

  post(path: string, headers: Record<string, string>, body: string | Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const options = { method: "POST", agent: this.#agent, headers: { ...this.#shown.headers, ...headers } };
      const request = https.request(this.#target.base + path, options, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const { statusCode = 0, headers: answered } = response;
          resolve({ status: statusCode, headers: answered, body: Buffer.concat(chunks) });
        });
      });
      request.on("error", reject);
      request.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

function restCaller(target: Target, shown: Shown): Caller {
  const poster = new Poster(target, shown);
  return {
    close: () => poster.close(),
    call: async (method) => {
      const unary = hasUnaryRequest(method.kind);
      const type = unary ? "application/json" : "application/x-ndjson";
      const { status, body } = await poster.post(method.path, { "content-type": type }, unary ? "{}" : "");
      const { code } = status === 200 ? {} : (JSON.parse(body.toString()) as { code?: number });
      return judge(status, code);
    },
  };
}

function connectCaller(target: Target, shown: Shown): Caller {
  const poster = new Poster(target, shown);
  return {
    close: () => poster.close(),
    call: async (method) => {
      const unary = hasUnaryRequest(method.kind) && hasUnaryReply(method.kind);
      const headers = {
        "connect-protocol-version": "1",
        "content-type": unary ? "application/json" : "application/connect+json",
      };
      const message = hasUnaryRequest(method.kind) ? frame(Buffer.from("{}")) : Buffer.alloc(0);
      const { status, body } = await poster.post(method.path, headers, unary ? "{}" : message);
      if (!unary) return judge(status, endOfConnectStream(body));
      const { code } = status === 200 ? {} : (JSON.parse(body.toString()) as { code?: string });
      return judge(status, code);
    },
  };
}

/** The code in the frame that ends a stream: the one with flag 2. */
function endOfConnectStream(body: Buffer): string | undefined {
  for (let at = 0; at < body.length; at += 5 + body.readUInt32BE(at + 1)) {
    if (body[at] !== 2) continue;
    const text = body.subarray(at + 5).toString();
    return (JSON.parse(text) as { error?: { code: string } }).error?.code;
  }
  throw new Error("the stream has no end");
}

function grpcWebCaller(target: Target, shown: Shown): Caller {
  const poster = new Poster(target, shown);
  return {
    close: () => poster.close(),
    call: async (method) => {
      const headers = { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" };
      const message = hasUnaryRequest(method.kind) ? frame(Buffer.alloc(0)) : Buffer.alloc(0);
      const answer = await poster.post(method.path, headers, message);
      const status = answer.headers["grpc-status"] ?? trailerOf(answer.body);
      return judge(answer.status, Number(status));
    },
  };
}

/** `grpc-status` of the frame that holds the trailers: the one with flag 128. */
function trailerOf(body: Buffer): string {
  for (let at = 0; at < body.length; at += 5 + body.readUInt32BE(at + 1)) {
    if (body[at] !== 128) continue;
    const found = /^grpc-status: ?(\d+)/m.exec(body.subarray(at + 5).toString());
    if (found?.[1] !== undefined) return found[1];
  }
  throw new Error("the answer has no trailers");
}

function grpcCaller(target: Target, shown: Shown): Caller {
  const pem = (text: string | undefined) => (text === undefined ? null : Buffer.from(text));
  const channel = credentials.createSsl(
    Buffer.from(target.ca),
    pem(shown.certificate?.key),
    pem(shown.certificate?.cert),
  );
  const client = new Client(`localhost:${target.grpcPort}`, channel);
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(shown.headers)) metadata.set(name, value);
  const same = (bytes: Buffer): Buffer => bytes;
  return {
    close: () => client.close(),
    call: async ({ path, kind }) => {
      const options = { deadline: Date.now() + 5000 };
      const stream = client.makeBidiStreamRequest(path, same, same, metadata, options);
      if (hasUnaryRequest(kind)) stream.write(Buffer.alloc(0));
      stream.end();
      const code = await new Promise<number>((resolve) => {
        stream.on("data", () => {});
        stream.on("error", (error: ServiceError) => resolve(error.code));
        stream.on("end", () => resolve(0));
      });
      if (code === 14 || code === 4) throw new Error(`gRPC ${code}: the server did not answer`);
      return judge(200, code);
    },
  };
}

interface EndFrame {
  readonly id?: string;
  readonly end?: { readonly status?: { readonly code?: number } };
}

/** All calls on one socket, each with the credential in its metadata; a certificate comes with the socket. */
function webSocketCaller(target: Target, shown: Shown): Caller {
  const { cert, key } = shown.certificate ?? {};
  const tls = { ca: target.ca, ...(cert && key ? { cert, key } : {}) };
  const socket = new WebSocket(`${target.base.replace("https", "wss")}/ws`, ["portico.v1+json"], tls);
  const waiting = new Map<string, (verdict: Verdict) => void>();
  let refused: Verdict | undefined;
  const refuse = (status: number) => {
    if (status !== 401 && status !== 4401) return;
    refused = "unauthenticated";
    for (const resolve of waiting.values()) resolve(refused);
  };
  socket.on("error", () => {});
  socket.on("unexpected-response", (_request, response) => refuse(response.statusCode ?? 0));
  socket.on("close", (code) => refuse(code));
  socket.on("message", (data: Buffer) => {
    const { id = "", end } = JSON.parse(data.toString()) as EndFrame;
    if (end !== undefined) waiting.get(id)?.(judge(200, end.status?.code ?? 0));
  });
  let calls = 0;
  return {
    close: () => socket.terminate(),
    call: async (method) => {
      if (socket.readyState === WebSocket.CONNECTING)
        await new Promise<void>((resolve) => {
          for (const event of ["open", "close", "unexpected-response"]) socket.once(event, () => resolve());
        });
      calls += 1;
      const id = String(calls);
      const answered = new Promise<Verdict>((resolve, reject) => {
        setTimeout(() => reject(new Error("nothing came on the socket")), 5000).unref();
        waiting.set(id, resolve);
        if (refused !== undefined) resolve(refused);
      });
      if (refused === undefined) {
        const call = { method: method.name, metadata: shown.headers };
        const message = hasUnaryRequest(method.kind) ? { message: {} } : { end: true };
        socket.send(JSON.stringify({ id, call, ...message }));
      }
      return await answered.finally(() => waiting.delete(id));
    },
  };
}

interface ToolAnswer {
  readonly result?: { readonly isError?: boolean; readonly content?: readonly { readonly text?: string }[] };
  readonly error?: unknown;
}

/** A tool's answer has no code, only the reason. */
const mcpVerdicts: Readonly<Record<string, Verdict>> = {
  CREDENTIAL_MISSING: "unauthenticated",
  CREDENTIAL_INVALID: "unauthenticated",
  REFRESH_TOKEN_INVALID: "unauthenticated",
  SCOPE_MISSING: "forbidden",
};

/** Through the tool that calls every method. */
function mcpCaller(target: Target, shown: Shown): Caller {
  const poster = new Poster(target, shown);
  return {
    close: () => poster.close(),
    call: async (method) => {
      const use = { name: "call_method", arguments: { method: method.name, arguments: {} } };
      const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: use });
      const headers = { "content-type": "application/json", accept: "application/json, text/event-stream" };
      const answer = await poster.post("/mcp", headers, body);
      if (answer.status === 401) return "unauthenticated";
      const text = answer.body.toString();
      const json = text.startsWith("{") ? text : (/^data: (\{.*\})$/m.exec(text)?.[1] ?? "");
      const { result, error } = JSON.parse(json) as ToolAnswer;
      if (result === undefined) throw new Error(`${answer.status} ${JSON.stringify(error)}`);
      const reason = result.isError === true ? /^\w+(?=: )/.exec(result.content?.[0]?.text ?? "")?.[0] : "";
      return mcpVerdicts[reason ?? ""] ?? "allowed";
    },
  };
}

interface GraphqlAnswer {
  readonly errors?: readonly {
    readonly message: string;
    readonly extensions?: { readonly code?: string; readonly reason?: string };
  }[];
}

/** With the smallest query that the method's field takes, made from the schema that the server tells. */
function graphqlCaller(target: Target, shown: Shown): Caller {
  const poster = new Poster(target, shown);
  const post = async (query: string, accept: string) => {
    const headers = { "content-type": "application/json", accept };
    return await poster.post("/graphql", headers, JSON.stringify({ query }));
  };
  let schema: GraphQLSchema | undefined;
  return {
    close: () => poster.close(),
    call: async (method) => {
      if (schema === undefined) {
        const { body } = await post(getIntrospectionQuery(), "application/json");
        schema = buildClientSchema((JSON.parse(body.toString()) as { data: never }).data);
      }
      const isStream = !hasUnaryReply(method.kind);
      const { status, body } = await post(
        smallestQuery(schema, method),
        isStream ? "text/event-stream" : "application/json",
      );
      const text = body.toString();
      const json = text.startsWith("{") ? text : (/^data: (\{.*\})$/m.exec(text)?.[1] ?? "{}");
      const [error, ...more] = (JSON.parse(json) as GraphqlAnswer).errors ?? [];
      if (more.length > 0) throw new Error(`${method.name}: ${text}`);
      const { code, reason } = error?.extensions ?? {};
      if (reason?.startsWith("QUERY_")) throw new Error(`${method.name}: ${error?.message}`);
      const verdict = judge(status, code?.toLowerCase());
      if (verdict !== "allowed" && status === 200) throw new Error(`HTTP 200 beside ${code}`);
      return verdict;
    },
  };
}

function smallestQuery(schema: GraphQLSchema, method: Method): string {
  const root = hasUnaryReply(method.kind) ? (method.sideEffectFree ? "query" : "mutation") : "subscription";
  const types = {
    query: schema.getQueryType(),
    mutation: schema.getMutationType(),
    subscription: schema.getSubscriptionType(),
  };
  const { name, parent } = method.desc;
  const plain = name.slice(0, 1).toLowerCase() + name.slice(1);
  const fields = types[root]?.getFields() ?? {};
  const field = fields[plain] ?? fields[`${parent.name}_${plain}`];
  if (field === undefined) throw new Error(`there is no ${root} for ${method.name}`);
  return `${root} { ${fieldWithArguments(field)} }`;
}

function fieldWithArguments(field: GraphQLField<unknown, unknown>): string {
  const args = field.args.filter(isRequiredArgument).map(zeroOf);
  const selection = isLeafType(getNamedType(field.type)) ? "" : " { __typename }";
  return `${field.name}${args.length === 0 ? "" : `(${args.join(", ")})`}${selection}`;
}

function zeroOf({ name, type }: GraphQLArgument | GraphQLInputField): string {
  return `${name}: ${zeroValue(type)}`;
}

function zeroValue(type: GraphQLInputType): string {
  if (isNonNullType(type)) return zeroValue(type.ofType);
  if (isListType(type)) return "[]";
  if (isEnumType(type)) return type.getValues()[0]?.name ?? "null";
  if (isInputObjectType(type))
    return `{ ${Object.values(type.getFields()).filter(isRequiredInputField).map(zeroOf).join(", ")} }`;
  return { Boolean: "false", Int: "0", Float: "0" }[type.name] ?? '""';
}
