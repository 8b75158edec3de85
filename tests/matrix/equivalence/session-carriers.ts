/** Carriers with a protocol of their own above HTTP: WebSockets, GraphQL, MCP. */
import { fromBinary, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { WebSocket } from "ws";
import { StatusSchema } from "#gen/google/rpc/status_pb.ts";
import { ClientFrameSchema, ServerFrameSchema } from "#gen/portico/websocket/v1/websocket_pb.ts";
import { codes, type ErrorCode } from "#rpc/code.ts";
import { parseEvent } from "../../support/byte-stream.ts";
import { make } from "../../support/echo-service.ts";
import { mcpRequest, type Revision, statusIn, type ToolAnswer } from "../../support/mcp-driver.ts";
import { Inbox } from "../../support/websocket-driver.ts";
import type { Caller, Carrier } from "./carriers.ts";
import {
  carriedByGraphql,
  fromGraphql,
  graphqlName,
  selectAll,
  toGraphql,
  withoutMinusZero,
} from "./losses.ts";
import type { Answer } from "./mirror.ts";

/** One socket; what comes is waited for one after the other. */
class Line {
  readonly socket: WebSocket;
  readonly inbox = new Inbox<Buffer>();
  readonly opened: Promise<void>;

  constructor(url: string, protocol?: string) {
    this.socket = protocol === undefined ? new WebSocket(url) : new WebSocket(url, protocol);
    this.socket.on("message", (data: Buffer) => this.inbox.push(data));
    this.socket.on("close", () => this.inbox.close());
    this.opened = new Promise((resolve, reject) => this.socket.once("open", resolve).once("error", reject));
  }

  async ask(...frames: (string | Uint8Array)[]): Promise<Buffer> {
    await this.opened;
    for (const frame of frames) this.socket.send(frame);
    const answer = await this.inbox.take();
    if (answer === undefined) throw new Error("the socket was closed without an answer");
    return answer;
  }
}

interface JsonFrame {
  readonly message?: JsonValue;
  readonly end?: { readonly status: { code: number; message: string; details?: JsonValue[] } };
}

export function socketCarriers(caller: Caller): Carrier[] {
  const { mirror, port } = caller;
  const base = `ws://127.0.0.1:${port}`;
  const method = "test.v1.Mirror/Reflect";
  const json = new Line(`${base}/ws`, "portico.v1+json");
  const proto = new Line(`${base}/ws`, "portico.v1+proto");
  let calls = 0;
  return [
    {
      ...{ name: "websocket json", encoding: "json", readsJson: true },
      send: async (bytes) => {
        calls += 1;
        const id = String(calls);
        const call = JSON.stringify({ id, call: { method } });
        const { message, end } = JSON.parse(
          (await json.ask(call, `{"id":"${id}","message":${bytes.toString()}}`)).toString(),
        ) as JsonFrame;
        if (message !== undefined) return { kind: "message", message: mirror.fromJson(message) };
        return mirror.failure(end?.status.code ?? 2, end?.status.message ?? "", end?.status.details ?? []);
      },
      close: () => json.socket.terminate(),
    },
    {
      ...{ name: "websocket proto", encoding: "proto" },
      send: async (bytes) => {
        calls += 1;
        const id = String(calls);
        const write = (frame: object): Uint8Array =>
          toBinary(ClientFrameSchema, make(ClientFrameSchema, { id, ...frame }) as never);
        const call = write({ call: { method } });
        const { message, end } = fromBinary(
          ServerFrameSchema,
          await proto.ask(call, write({ message: bytes })),
        );
        return message === undefined
          ? mirror.status(toBinary(StatusSchema, end!.status!))
          : mirror.answer(message, "proto");
      },
      close: () => proto.socket.terminate(),
    },
    {
      ...{ name: "websocket at the method's path", encoding: "json" },
      send: async (bytes) => {
        const line = new Line(`${base}/v1/mirror:stream`);
        const text = (await line.ask(bytes.toString())).toString();
        line.socket.terminate();
        const value = JSON.parse(text) as { error?: { code: number; message: string; details: JsonValue[] } };
        if (value.error === undefined) return mirror.answer(Buffer.from(text), "json");
        return mirror.failure(value.error.code, value.error.message, value.error.details);
      },
    },
  ];
}

interface GraphqlResult {
  readonly data?: Readonly<Record<string, JsonValue>> | null;
  readonly errors?: readonly {
    readonly message: string;
    readonly extensions?: { readonly code?: string; readonly details?: JsonValue[] };
  }[];
}

export function graphqlCarriers(caller: Caller): Carrier[] {
  const { mirror, port } = caller;
  const { desc } = mirror;
  const fields = desc.fields;
  const { spread, fragments } = selectAll(desc, 3);
  const variables = fields
    .map(({ jsonName, message }) => `$${jsonName}: ${graphqlName(message!)}Input`)
    .join(", ");
  const given = fields.map(({ jsonName }) => `${jsonName}: $${jsonName}`).join(", ");
  const ask = (type: string, field: string, bytes: Buffer): object => ({
    query: `${type} (${variables}) { ${field}(${given}) { ${spread} } }\n${fragments}`,
    variables: toGraphql(desc, JSON.parse(bytes.toString()) as JsonValue),
  });
  const answer = ({ data, errors = [] }: GraphqlResult): Answer => {
    const [error] = errors;
    if (error === undefined)
      return { kind: "message", message: mirror.fromJson(fromGraphql(desc, Object.values(data ?? {})[0]!)) };
    const { code = "", details = [] } = error.extensions ?? {};
    return mirror.failure(codes[code.toLowerCase() as ErrorCode]?.number ?? -1, error.message, details);
  };
  const common = {
    encoding: "json",
    readsJson: true,
    carried: (json: JsonValue) => carriedByGraphql(desc, json),
  } as const;
  const socket = new Line(`ws://127.0.0.1:${port}/graphql`, "graphql-transport-ws");
  const acknowledged = socket.ask(JSON.stringify({ type: "connection_init" }));
  return [
    {
      ...{ name: "graphql", ...common },
      send: async (bytes) => {
        const headers = { "content-type": "application/json", accept: "application/json" };
        const { body } = await caller.post(
          "/graphql",
          headers,
          Buffer.from(JSON.stringify(ask("query", "reflect", bytes))),
        );
        return answer(JSON.parse(body.toString()) as GraphqlResult);
      },
    },
    {
      ...{ name: "graphql events", ...common },
      send: async (bytes) => {
        const headers = { "content-type": "application/json", accept: "text/event-stream" };
        const query = ask("subscription", "reflectStream", bytes);
        const { body } = await caller.post("/graphql", headers, Buffer.from(JSON.stringify(query)));
        const [first] = body.toString().split("\n\n").map(parseEvent);
        return answer(JSON.parse(first?.data ?? "") as GraphqlResult);
      },
    },
    {
      ...{ name: "graphql on a websocket", ...common },
      send: async (bytes) => {
        await acknowledged;
        const payload = ask("query", "reflect", bytes);
        const text = (await socket.ask(JSON.stringify({ type: "subscribe", id: "1", payload }))).toString();
        const { type, payload: result } = JSON.parse(text) as { type: string; payload: GraphqlResult };
        if (type === "error")
          return answer({ errors: result as unknown as NonNullable<GraphqlResult["errors"]> });
        await socket.inbox.take();
        return answer(result);
      },
      close: () => socket.socket.terminate(),
    },
  ];
}

export function mcpCarriers(caller: Caller): Carrier[] {
  const { mirror } = caller;
  const revisions: readonly Revision[] = ["2026-07-28", "2025-11-25"];
  return revisions.flatMap((revision) =>
    ["reflect", "reflect_stream"].map(
      (tool): Carrier => ({
        ...{ name: `mcp ${revision} ${tool}`, encoding: "json", readsJson: true, carried: withoutMinusZero },
        send: async (bytes) => {
          const { headers, body } = mcpRequest(revision, tool, JSON.parse(bytes.toString()));
          const reply = await caller.post("/mcp", headers, Buffer.from(body));
          const text = reply.body.toString();
          const isStream = String(reply.headers["content-type"]).startsWith("text/event-stream");
          const messages = isStream
            ? text.split("\n\n").flatMap((block) => parseEvent(block)?.data ?? [])
            : [text];
          const { result } = JSON.parse(messages.at(-1) ?? "") as { result: ToolAnswer };
          if (result.isError === true) {
            const { code, message, details = [] } = statusIn(result);
            return mirror.failure(code, message, details as unknown as JsonValue[]);
          }
          const value = result.structuredContent as unknown as { messages?: JsonValue[] };
          const message = tool === "reflect" ? (value as JsonValue) : value.messages![0]!;
          return { kind: "message", message: mirror.fromJson(message) };
        },
      }),
    ),
  );
}
