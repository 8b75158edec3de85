/** The echo service over REST: JSON over HTTP, with the forms of its streams. */
import { Blocks, type ByteStream, openHttp, parseEvent } from "./byte-stream.ts";
import {
  type Compression,
  type Driver,
  type DriverOptions,
  type End,
  endOfJson,
  type JsonStatus,
  type Kind,
  methods,
  ok,
  pack,
  planHeader,
  type Running,
} from "./drivers.ts";

/** `upload` is the client stream of a file's bytes. */
export type RestForm = "lines" | "events" | "array" | "upload";

export interface RestOptions extends DriverOptions {
  readonly http: 1 | 2;
  readonly form: RestForm;
  /** A content type that REST does not take. */
  readonly proto: boolean;
}

const accepts: Readonly<Record<RestForm, string>> = {
  lines: "application/x-ndjson, application/json;q=0.1",
  events: "text/event-stream, application/json;q=0.1",
  array: "application/json",
  upload: "application/json",
};

const paths: Readonly<Record<Kind, string>> = {
  unary: "/v1/echo",
  server_stream: "/v1/stream",
  client_stream: `/test.v1.Echo/${methods.client_stream}`,
  bidi_stream: `/test.v1.Echo/${methods.bidi_stream}`,
};

function contentTypeOf({ form, proto }: RestOptions, kind: Kind): string {
  if (form === "upload") return "text/plain";
  if (proto) return "application/x-protobuf";
  if (kind === "unary" || kind === "server_stream") return "application/json";
  // Events are an answer's form alone.
  return form === "array" ? "application/json" : "application/x-ndjson";
}

export function restDriver(options: RestOptions): Driver {
  const { form, compression } = options;
  const http = openHttp(options.port, options.http);
  return {
    close: () => http.close(),
    open: ({ kind, id, plan, timeoutMs }) => {
      const stream = http.open({
        method: "POST",
        path: form === "upload" ? "/v1/upload" : paths[kind],
        headers: {
          "content-type": contentTypeOf(options, kind),
          accept: accepts[form],
          "x-request-id": id,
          ...(compression === "identity" ? {} : { "content-encoding": compression }),
          ...(plan === undefined ? {} : { "echo-plan": planHeader(plan) }),
          ...(timeoutMs === undefined ? {} : { "grpc-timeout": `${timeoutMs}m` }),
        },
      });
      const streams = kind === "client_stream" || kind === "bidi_stream";
      const requests = form === "upload" ? "raw" : streams ? (form === "array" ? "array" : "lines") : "one";
      return new RestCall(stream, { requests, compression });
    },
  };
}

interface Sending {
  readonly requests: "raw" | "one" | "lines" | "array";
  readonly compression: Compression;
}

interface Message {
  readonly text?: string;
}

class RestCall implements Running {
  accepted = 0;
  readonly #stream: ByteStream;
  readonly #sending: Sending;
  readonly #blocks: Blocks;
  #sent = 0;
  #over = false;
  #error: JsonStatus | undefined;

  constructor(stream: ByteStream, sending: Sending) {
    this.#stream = stream;
    this.#sending = sending;
    this.#blocks = new Blocks(stream);
  }

  send(text: string): void {
    const { requests, compression } = this.#sending;
    const json = JSON.stringify({ text });
    const before = this.#sent === 0 ? "[" : ",";
    const bytes = { raw: text, one: json, lines: `${json}\n`, array: before + json }[requests];
    this.#sent += 1;
    this.#stream.write(pack[compression](Buffer.from(bytes)), () => {
      this.accepted += 1;
    });
  }

  endSending(): void {
    if (this.#sending.requests === "array") this.#stream.write(Buffer.from(this.#sent === 0 ? "[]" : "]"));
    this.#stream.end();
  }

  async next(): Promise<string | undefined> {
    const { status, headers } = await this.#stream.head;
    const type = String(headers["content-type"]);
    if (status === 200 && type.startsWith("application/x-ndjson")) return await this.#line();
    if (status === 200 && type.startsWith("text/event-stream")) return await this.#event();
    // A stream says that nobody may keep it; what it holds is an array.
    if (status === 200 && headers["x-accel-buffering"] !== undefined) return await this.#element();
    const text = await this.#blocks.rest();
    if (text === "") return undefined;
    const body = JSON.parse(text) as Message & JsonStatus;
    if (status === 200) return body.text ?? "";
    this.#error = body;
    return undefined;
  }

  async #line(): Promise<string | undefined> {
    for (;;) {
      const line = await this.#blocks.next("\n");
      if (line === undefined) return undefined;
      if (line === "") continue;
      const { result, error } = JSON.parse(line) as { result?: Message; error?: JsonStatus };
      if (error === undefined) return result?.text ?? "";
      this.#error = error;
    }
  }

  async #event(): Promise<string | undefined> {
    for (;;) {
      const block = await this.#blocks.next("\n\n");
      if (block === undefined) return undefined;
      const found = parseEvent(block);
      if (found === undefined || found.event === "end") continue;
      if (found.event !== "error") return (JSON.parse(found.data) as Message).text ?? "";
      this.#error = JSON.parse(found.data) as JsonStatus;
    }
  }

  /** `[` and an element, `,` line feed and the next, `]`. An error is the last element, and no bracket follows. */
  async #element(): Promise<string | undefined> {
    if (this.#over) return undefined;
    const piece = await this.#blocks.take(elementIn);
    if (piece === undefined) {
      this.#over = true;
      const rest = (await this.#blocks.rest()).trim();
      const closed = rest === "]" || rest === "[]";
      if (!this.#stream.cut && closed === (this.#error !== undefined))
        throw new Error(`an array that ends in ${rest}`);
      return undefined;
    }
    const element = JSON.parse(piece.replace(/^(\[|,\n)/, "")) as Message & { error?: JsonStatus };
    if (element.error === undefined) return element.text ?? "";
    this.#error = element.error;
    return undefined;
  }

  async end(): Promise<End> {
    while ((await this.next()) !== undefined);
    if (this.#error !== undefined) return endOfJson(this.#error);
    return this.#stream.cut ? { ...ok, code: 1, message: "cut" } : ok;
  }

  cancel(): void {
    this.#stream.cancel();
  }
}

/** Up to the next comma, or all where it is a whole element already. */
function elementIn(held: string): number | undefined {
  const from = held.startsWith("[") ? 1 : held.startsWith(",\n") ? 2 : undefined;
  if (from === undefined) return undefined;
  const end = held.indexOf(",\n", from);
  if (end !== -1) return end;
  const closed = held.endsWith("}]") ? held.length - 1 : held.trimEnd().length;
  try {
    JSON.parse(held.slice(from, closed));
    return closed;
  } catch {
    // More of it is on its way.
    return undefined;
  }
}
