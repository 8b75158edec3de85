/** The echo service as tools of MCP, in both revisions: a POST for each use, answered with JSON or with events. */
import { Blocks, type ByteStream, openHttp, parseEvent } from "./byte-stream.ts";
import {
  type Driver,
  type DriverOptions,
  type End,
  endOfJson,
  type JsonStatus,
  type Kind,
  ok,
  pack,
  planHeader,
  type Running,
} from "./drivers.ts";

export type Revision = "2026-07-28" | "2025-11-25";

export interface McpDriverOptions extends DriverOptions {
  readonly http: 1 | 2;
  readonly revision: Revision;
}

const tools: Readonly<Partial<Record<Kind, string>>> = { unary: "unary", server_stream: "server_stream" };

/** What a client of that revision says with each use of a tool. */
export function mcpRequest(
  revision: Revision,
  name: string,
  given: unknown,
): { readonly headers: Record<string, string>; readonly body: string } {
  const own =
    revision === "2025-11-25"
      ? {}
      : {
          "io.modelcontextprotocol/protocolVersion": revision,
          "io.modelcontextprotocol/clientInfo": { name: "test", version: "1" },
          "io.modelcontextprotocol/clientCapabilities": {},
        };
  const params = { name, arguments: given, _meta: { ...own, progressToken: "1" } };
  return {
    headers: {
      accept: "application/json, text/event-stream",
      "content-type": "application/json",
      "mcp-protocol-version": revision,
      ...(revision === "2025-11-25" ? {} : { "mcp-method": "tools/call", "mcp-name": name }),
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params }),
  };
}

export function mcpDriver(options: McpDriverOptions): Driver {
  const { revision, compression } = options;
  const http = openHttp(options.port, options.http);
  return {
    close: () => http.close(),
    open: ({ kind, id, plan, timeoutMs }) => {
      const name = tools[kind] ?? "";
      const stream = http.open({
        method: "POST",
        path: "/mcp",
        headers: {
          ...mcpRequest(revision, name, {}).headers,
          "x-request-id": id,
          ...(compression === "identity" ? {} : { "content-encoding": compression }),
          ...(plan === undefined ? {} : { "echo-plan": planHeader(plan) }),
          ...(timeoutMs === undefined ? {} : { "grpc-timeout": `${timeoutMs}m` }),
        },
      });
      const write = (text: string): Buffer =>
        pack[compression](Buffer.from(mcpRequest(revision, name, { text }).body));
      return new McpRunning(stream, write);
    },
  };
}

export interface ToolAnswer {
  readonly isError?: boolean;
  readonly content: readonly { readonly text: string }[];
  readonly structuredContent?: {
    readonly text?: string;
    readonly messages?: readonly { readonly text?: string }[];
  };
}

interface RpcMessage {
  readonly method?: string;
  readonly params?: { readonly message: string };
  readonly result?: ToolAnswer;
  readonly error?: { readonly message: string; readonly data?: { readonly reason?: string } };
}

/** A failed use is a text: the reason and the message, and google.rpc.Status on a line of its own. */
export function statusIn({ content: [first] }: ToolAnswer): JsonStatus {
  return JSON.parse(first?.text.slice(first.text.indexOf("\n") + 1) ?? "") as JsonStatus;
}

class McpRunning implements Running {
  accepted = 0;
  readonly #stream: ByteStream;
  readonly #write: (text: string) => Buffer;
  readonly #blocks: Blocks;
  #end: End | undefined;
  /** Messages that were told of already. */
  #told = 0;
  readonly #untold: string[] = [];

  constructor(stream: ByteStream, write: (text: string) => Buffer) {
    this.#stream = stream;
    this.#write = write;
    this.#blocks = new Blocks(stream);
  }

  send(text: string): void {
    this.#stream.write(this.#write(text), () => {
      this.accepted += 1;
    });
  }

  endSending(): void {
    this.#stream.end();
  }

  async next(): Promise<string | undefined> {
    for (;;) {
      const untold = this.#untold.shift();
      if (untold !== undefined) return untold;
      const text = await this.#message();
      if (text === undefined || text === "") return undefined;
      const { method, params, result, error } = JSON.parse(text) as RpcMessage;
      if (method === "notifications/progress") {
        this.#told += 1;
        return (JSON.parse(params?.message ?? "{}") as { text?: string }).text ?? "";
      }
      if (error !== undefined) await this.#refused(error);
      else if (result !== undefined) this.#answered(result);
    }
  }

  async #message(): Promise<string | undefined> {
    const { headers } = await this.#stream.head;
    if (!String(headers["content-type"]).startsWith("text/event-stream")) return await this.#blocks.rest();
    for (;;) {
      const block = await this.#blocks.next("\n\n");
      if (block === undefined) return undefined;
      const found = parseEvent(block);
      if (found !== undefined) return found.data;
    }
  }

  /** Before a tool is used, what is wrong is HTTP's to say. */
  async #refused({ message, data }: NonNullable<RpcMessage["error"]>): Promise<void> {
    const { status } = await this.#stream.head;
    const code = { 413: 8, 415: 3 }[status] ?? 2;
    this.#end = { code, message, reason: data?.reason, details: [] };
  }

  #answered(result: ToolAnswer): void {
    if (result.isError === true) this.#end = endOfJson(statusIn(result));
    else {
      this.#end = ok;
      const { messages, text = "" } = result.structuredContent ?? {};
      for (const message of messages?.slice(this.#told) ?? []) this.#untold.push(message.text ?? "");
      if (messages === undefined) this.#untold.push(text);
    }
  }

  async end(): Promise<End> {
    while ((await this.next()) !== undefined);
    return this.#end ?? { ...ok, code: 1, message: "cut" };
  }

  cancel(): void {
    this.#stream.cancel();
  }
}
