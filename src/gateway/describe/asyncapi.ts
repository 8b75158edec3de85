/**
 * AsyncAPI 3 of what goes on after its first message: the WebSocket of many calls, and for each method that streams a WebSocket of its own
 * and, where it answers a GET with a stream, server-sent events.
 *
 * @see https://www.asyncapi.com/docs/reference/specification/v3.0.0
 */
import type { DescMessage } from "@bufbuild/protobuf";
import type { Catalog, HttpRoute } from "#gateway/catalog/catalog.ts";
import { ClientFrameSchema, ServerFrameSchema } from "#gen/portico/websocket/v1/websocket_pb.ts";
import { hasUnaryReply, hasUnaryRequest, type Method } from "#rpc/method.ts";
import { problemSchema } from "./error-answers.ts";
import type { OpenApiOptions } from "./openapi.ts";
import { type Parameter, parameterNames, parameters, toPath } from "./parameters.ts";
import { type Schema, Schemas } from "./schemas.ts";

type AsyncApiOptions = Pick<OpenApiOptions, "serverUrl" | "version" | "authentication">;

export function describeAsyncApi(catalog: Catalog, options: AsyncApiOptions): Schema {
  const document = new Document(catalog);
  document.addCalls();
  for (const method of catalog.methods.values())
    if (!hasUnaryReply(method.kind) || !hasUnaryRequest(method.kind)) document.addMethod(method);
  const { protocol, host } = new URL(options.serverUrl);
  const encrypted = protocol === "https:" ? "s" : "";
  const security = options.authentication
    ? {
        security: [
          { $ref: "#/components/securitySchemes/bearer" },
          { $ref: "#/components/securitySchemes/apiKey" },
        ],
      }
    : {};
  return {
    asyncapi: "3.0.0",
    info: {
      title: "Portico",
      version: options.version,
      description:
        "What is streamed over WebSocket and server-sent events. The same methods are in `/openapi.json`, and served over gRPC.",
      license: { name: "Apache-2.0" },
      contact: { name: "The operators of this installation", url: options.serverUrl },
    },
    id: "urn:portico",
    defaultContentType: "application/json",
    servers: {
      sockets: { host, protocol: `ws${encrypted}`, description: "WebSocket, RFC 6455.", ...security },
      events: { host, protocol: `http${encrypted}`, description: "Server-sent events.", ...security },
    },
    ...document.parts(options.authentication),
  };
}

const socketServers = [{ $ref: "#/servers/sockets" }];
const eventServers = [{ $ref: "#/servers/events" }];

/** What the credential is when a page can send no header. */
const ticket: Parameter = {
  name: "ticket",
  in: "query",
  description: "A single-use ticket, where no header can be sent; `POST /api/v1/auth:ticket` makes one.",
  schema: { type: "string" },
};

class Document {
  readonly #catalog: Catalog;
  readonly #schemas: Schemas;
  readonly #channels: Record<string, Schema> = {};
  readonly #operations: Record<string, Schema> = {};
  readonly #messages: Record<string, Schema> = {
    Error: {
      name: "Error",
      title: "The call failed",
      summary: "The last message of a call that failed.",
      payload: { $ref: "#/components/schemas/Problem" },
    },
    End: {
      name: "end",
      title: "The stream is over",
      summary: "The last event of a stream that ended well; its `event` is `end`.",
      payload: { type: "object" },
    },
  };

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
    this.#schemas = new Schemas(catalog);
  }

  parts(authentication: boolean): Schema {
    const schemas: Record<string, Schema> = { ...this.#schemas.all(), Problem: problemSchema };
    for (const { typeName } of [ClientFrameSchema, ServerFrameSchema])
      schemas[typeName] = withMessage(schemas[typeName] ?? {});
    return {
      channels: this.#channels,
      operations: this.#operations,
      components: {
        schemas,
        messages: this.#messages,
        ...(authentication ? { securitySchemes } : {}),
      },
    };
  }

  /** `/ws`. */
  addCalls(): void {
    const frames = [
      [ClientFrameSchema, "What a client sends."],
      [ServerFrameSchema, "What the server sends."],
    ] as const;
    const known = this.#catalog.registry;
    for (const [desc, summary] of frames) this.#message(known.getMessage(desc.typeName) ?? desc, summary);
    this.#channel("calls", {
      address: "/ws",
      title: "Many calls on one socket",
      description:
        "Subprotocol `portico.v1+json`: every frame is one of these messages. With `portico.v1+proto` it is the same in binary.",
      servers: socketServers,
      messages: [ClientFrameSchema.typeName, ServerFrameSchema.typeName],
      query: [ticket],
    });
    this.#operation("callsReceive", "receive", "calls", [ClientFrameSchema.typeName]);
    this.#operation("callsSend", "send", "calls", [ServerFrameSchema.typeName]);
  }

  addMethod(method: Method): void {
    const route =
      this.#catalog.routes.find((one) => one.method === method && one.httpMethod === "GET") ??
      this.#catalog.routes.find((one) => one.method === method);
    const name = method.name.replaceAll(/[./]/g, "_");
    const summary = this.#catalog.commentOf(method.desc) || method.desc.name;
    const streamsRequests = !hasUnaryRequest(method.kind);
    // A raw body has no messages that a socket could carry.
    if (this.#catalog.optionsOf(method).upload) return;
    this.#message(method.output.desc, this.#catalog.commentOf(method.output.desc));
    if (streamsRequests) this.#message(method.input.desc, this.#catalog.commentOf(method.input.desc));
    const { address, path, query } = this.#addressOf(method, route);
    const answers = [method.output.desc.typeName, "Error"];
    const asked = streamsRequests ? [method.input.desc.typeName] : [];
    this.#channel(`${name}_socket`, {
      ...{ address, path, query: [...query, ticket], title: `${method.desc.name} on a WebSocket of its own` },
      description: summary,
      servers: socketServers,
      messages: [...new Set([...answers, ...asked])],
    });
    this.#operation(`${name}_socketSend`, "send", `${name}_socket`, answers);
    if (streamsRequests) this.#operation(`${name}_socketReceive`, "receive", `${name}_socket`, asked);
    // A file is answered as it is, whatever the client accepts.
    if (method.output.desc.typeName === "google.api.HttpBody") return;
    if (route?.httpMethod !== "GET" || hasUnaryReply(method.kind) || streamsRequests) return;
    this.#channel(`${name}_events`, {
      ...{ address, path, query: [...query, ticket], title: `${method.desc.name} as server-sent events` },
      description: summary,
      servers: eventServers,
      messages: [...answers, "End"],
    });
    this.#operation(`${name}_eventsSend`, "send", `${name}_events`, [...answers, "End"]);
  }

  #addressOf(
    method: Method,
    route: HttpRoute | undefined,
  ): { readonly address: string; readonly path: readonly Parameter[]; readonly query: readonly Parameter[] } {
    if (route === undefined) return { address: `/${method.name}`, path: [], query: [] };
    const names = parameterNames(route);
    const all = parameters(this.#catalog, this.#schemas, { route, names });
    return {
      address: toPath(route, names),
      path: all.filter((parameter) => parameter.in === "path"),
      query: all.filter((parameter) => parameter.in === "query"),
    };
  }

  #message(desc: DescMessage, summary: string): void {
    this.#messages[desc.typeName] ??= {
      name: desc.typeName,
      title: desc.name,
      ...(summary === "" ? {} : { summary }),
      payload: this.#schemas.ofMessage(desc),
    };
  }

  #channel(
    id: string,
    about: {
      readonly address: string;
      readonly title: string;
      readonly description: string;
      readonly servers: readonly Schema[];
      readonly messages: readonly string[];
      readonly path?: readonly Parameter[];
      readonly query: readonly Parameter[];
    },
  ): void {
    const { address, title, description, servers, messages, path = [], query } = about;
    const properties = Object.fromEntries(
      query.map(({ name, schema, description: text }) => [
        name,
        { ...schema, ...(text === undefined ? {} : { description: text }) },
      ]),
    );
    const required = query.filter((parameter) => parameter.required).map(({ name }) => name);
    this.#channels[id] = {
      ...{ address, title, description, servers },
      messages: Object.fromEntries(
        messages.map((name) => [idOf(name), { $ref: `#/components/messages/${name}` }]),
      ),
      ...(path.length === 0
        ? {}
        : {
            parameters: Object.fromEntries(
              path.map(({ name, description: text = name }) => [name, { description: text }]),
            ),
          }),
      ...(servers === socketServers
        ? {
            bindings: {
              ws: {
                method: "GET",
                query: { type: "object", properties, ...(required.length === 0 ? {} : { required }) },
                bindingVersion: "0.1.0",
              },
            },
          }
        : {}),
    };
  }

  #operation(id: string, action: "send" | "receive", channel: string, messages: readonly string[]): void {
    this.#operations[id] = {
      action,
      channel: { $ref: `#/channels/${channel}` },
      messages: messages.map((name) => ({ $ref: `#/channels/${channel}/messages/${idOf(name)}` })),
    };
  }
}

const securitySchemes: Readonly<Record<string, Schema>> = {
  bearer: { type: "http", scheme: "bearer", description: "An access token, or an API key." },
  apiKey: { type: "httpApiKey", in: "header", name: "X-API-Key", description: "An API key." },
};

function idOf(name: string): string {
  return name.replaceAll(".", "_");
}

/** In JSON a call's message is itself, not bytes. */
function withMessage(schema: Schema): Schema {
  const properties = schema.properties as Readonly<Record<string, Schema>> | undefined;
  const message = { type: "object", description: "The request or answer, in ProtoJSON of its own type." };
  return { ...schema, properties: { ...properties, message } };
}
