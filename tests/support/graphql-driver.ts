/** The echo service over GraphQL: a mutation for its unary method, a subscription as server-sent events for its stream. */
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { codes } from "#rpc/code.ts";
import { type Driver, type End, type OpenOptions, planHeader, type Running } from "./drivers.ts";

export function graphqlDriver(options: { readonly port: number }): Driver {
  return { open: (call) => new GraphqlRunning(options.port, call), close: () => {} };
}

interface Result {
  readonly data?: Readonly<Record<string, { readonly text: string } | null>> | null;
  readonly errors?: readonly {
    readonly message: string;
    readonly extensions: {
      readonly code: string;
      readonly reason: string;
      readonly details?: readonly { readonly "@type": string }[];
    };
  }[];
}

const numbers = new Map<string, number>(Object.values(codes).map(({ label, number }) => [label, number]));
const good: End = { code: 0, message: "", reason: undefined, details: [] };

class GraphqlRunning implements Running {
  readonly accepted = 0;
  readonly #request: ClientRequest;
  readonly #stream: boolean;
  readonly #results: AsyncGenerator<Result>;
  #end: End | undefined;

  constructor(port: number, { kind, id, plan, timeoutMs }: OpenOptions) {
    this.#stream = kind === "server_stream";
    this.#request = request({
      ...{ host: "127.0.0.1", port, path: "/graphql", method: "POST", agent: false },
      headers: {
        "content-type": "application/json",
        accept: this.#stream ? "text/event-stream" : "application/graphql-response+json",
        "x-request-id": id,
        "echo-plan": planHeader(plan ?? {}),
        ...(timeoutMs === undefined ? {} : { "portico-timeout": `${timeoutMs}m` }),
      },
    });
    this.#request.on("error", () => {});
    this.#results = this.#read();
  }

  send(text: string): void {
    const field = this.#stream
      ? "subscription ($text: String) { serverStream"
      : "mutation ($text: String) { unary";
    this.#request.end(JSON.stringify({ query: `${field}(text: $text) { text } }`, variables: { text } }));
  }

  endSending(): void {}

  async next(): Promise<string | undefined> {
    const { done, value } = await this.#results.next();
    if (done === true) return undefined;
    const [error] = value.errors ?? [];
    if (error === undefined) return Object.values(value.data ?? {})[0]?.text;
    const { code, reason, details = [] } = error.extensions;
    this.#end = {
      ...{ code: numbers.get(code) ?? 2, message: error.message, reason },
      details: details.map((detail) => detail["@type"].split(".").at(-1) ?? ""),
    };
    return undefined;
  }

  async end(): Promise<End> {
    while (this.#end === undefined && (await this.next()) !== undefined);
    return this.#end ?? good;
  }

  cancel(): void {
    this.#request.destroy();
  }

  /** Nothing is read off the socket unless somebody asks. */
  async *#read(): AsyncGenerator<Result> {
    const response = await new Promise<IncomingMessage>((resolve, reject) =>
      this.#request.on("response", resolve).on("error", reject),
    );
    const isStream = response.headers["content-type"]?.startsWith("text/event-stream") === true;
    let text = "";
    for await (const chunk of response.setEncoding("utf8")) {
      text += chunk as string;
      if (!isStream) continue;
      for (let end = text.indexOf("\n\n"); end !== -1; end = text.indexOf("\n\n")) {
        const event = text.slice(0, end);
        text = text.slice(end + 2);
        const [, data] = /^event: next\ndata: (.*)$/s.exec(event) ?? [];
        if (data !== undefined) yield JSON.parse(data) as Result;
      }
    }
    if (!isStream) yield JSON.parse(text) as Result;
  }
}
